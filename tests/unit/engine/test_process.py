from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scoot_ray.engine.process import EngineProcess, EngineSpec, free_port, pin, start
from scoot_ray.engine.ready import Listener, listening, read_log


def spec(folder: Path, script: str) -> EngineSpec:
    env = {"PATH": os.environ["PATH"], "SECRET": "hidden"}
    return EngineSpec(("bash", "-c", script), env, folder, folder / "logs" / "engine.log", free_port())


def run(folder: Path, script: str) -> EngineProcess:
    return start(spec(folder, script))


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def log_of(process: EngineProcess) -> str:
    return read_log(process.spec.log_path)


def written(process: EngineProcess) -> tuple[int, ...]:
    """The process ids that the script has written to its log, one a line."""
    return tuple(int(line) for line in log_of(process).split() if line.isdigit())


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", -9), ("kill -SEGV $$", -11)])
def test_the_exit_code_is_reported(tmp_path: Path, script: str, code: int) -> None:
    with run(tmp_path, script) as process:
        until(lambda: process.poll() is not None)
        assert process.poll() == code
    assert process.poll() == code


def test_a_program_that_is_not_there_shows_in_code_and_log(tmp_path: Path) -> None:
    there = spec(tmp_path, "")
    with start(EngineSpec(("/no/such/python",), there.env, tmp_path, there.log_path, there.port)) as process:
        until(lambda: process.poll() is not None)
        assert process.poll() == 127
        assert "cannot start /no/such/python: [Errno 2]" in log_of(process)


def test_the_engine_gets_its_environment_folder_and_log_and_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "engine.log").write_text("earlier\n")
    with run(tmp_path, "pwd; echo $SECRET $HOME.; echo wrong >&2; ls /proc/$$/fd | wc -l; cat") as process:
        until(lambda: process.poll() is not None)
        lines = log_of(process).splitlines()
    assert lines[:4] == ["earlier", str(tmp_path), "hidden .", "wrong"]
    assert int(lines[4]) <= 4  # standard streams, and the pipe to wc


def test_secrets_stay_out_of_descriptions(tmp_path: Path) -> None:
    assert "hidden" not in repr(spec(tmp_path, ""))


ORPHANS = "setsid -f bash -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done'; (sleep 600 & echo $!); echo $$; "


def test_stopping_ends_orphans_in_their_own_sessions(tmp_path: Path) -> None:
    process = run(tmp_path, ORPHANS + "sleep 600")
    until(lambda: len(written(process)) == 3)
    pids = (process.guardian_pid, *written(process))
    assert set(written(process)) <= set(process.pids)
    process.stop(grace_s=1)
    until(lambda: not any(map(lives, pids)))
    assert process.pids == ()


def test_an_engine_that_exits_by_itself_leaves_no_orphan(tmp_path: Path) -> None:
    once_all_have_written = "until [ $(wc -l < logs/engine.log) = 3 ]; do sleep 0.05; done; exit 1"
    with run(tmp_path, ORPHANS + once_all_have_written) as process:
        until(lambda: process.poll() is not None and len(written(process)) == 3)
        assert process.poll() == 1
        until(lambda: not any(map(lives, (process.guardian_pid, *written(process)))))


def test_an_engine_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    process = run(tmp_path, "trap '' TERM; echo $$; while :; do sleep 0.1; done")
    until(lambda: len(written(process)) == 1)
    process.stop(grace_s=0.2)
    assert process.poll() == -signal.SIGKILL


def test_an_engine_may_use_its_grace(tmp_path: Path) -> None:
    process = run(tmp_path, "trap 'echo tidy; exit 5' TERM; echo $$; while :; do sleep 0.05; done")
    until(lambda: len(written(process)) == 1)
    process.stop(grace_s=20)
    assert process.poll() == 5
    assert "tidy" in log_of(process)


SHARED_MEMORY = """
import time
from multiprocessing.shared_memory import SharedMemory
block = SharedMemory(create=True, size=4096)
print(block.name, flush=True)
time.sleep(600)
"""


def test_a_killed_engine_leaves_no_shared_memory(tmp_path: Path) -> None:
    there = spec(tmp_path, "")
    argv = (sys.executable, "-c", SHARED_MEMORY)
    with start(EngineSpec(argv, there.env, tmp_path, there.log_path, there.port)) as process:
        until(lambda: log_of(process).endswith("\n"))
        block = Path("/dev/shm", log_of(process).split()[0])
        assert block.exists()
        os.kill(process.pid, signal.SIGKILL)
    assert not block.exists()


def test_stopping_twice_is_once(tmp_path: Path) -> None:
    process = run(tmp_path, "exit 4")
    until(lambda: process.poll() is not None)
    process.stop()
    process.stop()
    assert process.poll() == 4


def test_sigterm_to_the_guardian_ends_everything(tmp_path: Path) -> None:
    with run(tmp_path, ORPHANS + "sleep 600") as process:
        until(lambda: len(written(process)) == 3)
        os.kill(process.guardian_pid, signal.SIGTERM)
        until(lambda: not any(map(lives, (process.guardian_pid, *written(process)))))
        assert process.poll() == -signal.SIGTERM


def test_a_killed_guardian_takes_the_engine_along(tmp_path: Path) -> None:
    with run(tmp_path, "sleep 600 & wait") as process:
        engine, guardian = process.pid, process.guardian_pid
        child = process.pids[-1]
        os.kill(guardian, signal.SIGKILL)
        until(lambda: not lives(engine))
        assert process.poll() == -signal.SIGKILL
        if child != engine and lives(child):
            os.kill(child, signal.SIGKILL)  # the one case that only a guardian could have handled


def test_the_guardian_is_outside_the_starters_tree(tmp_path: Path) -> None:
    with run(tmp_path, "sleep 600") as process:
        assert process.guardian_pid not in [child.pid for child in psutil.Process().children(recursive=True)]
        assert len({os.getsid(pid) for pid in (os.getpid(), process.guardian_pid, process.pid)}) == 3


def test_pinning_binds_every_process(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    with run(tmp_path, "sleep 600 & sleep 600") as process:
        until(lambda: len(process.pids) == 3)
        assert pin(process.pids, {core}) == 3
        assert all(os.sched_getaffinity(pid) == {core} for pid in process.pids)


@pytest.mark.parametrize("cores", [set[int](), {100_000}])
def test_cores_that_are_not_ours_are_refused(cores: set[int]) -> None:
    with pytest.raises(ValueError, match="cannot pin"):
        pin([os.getpid()], cores)


def test_a_port_belongs_to_whoever_listens() -> None:
    port = free_port()
    assert listening(port, [os.getpid()]) is Listener.NOBODY
    with socket.create_server(("127.0.0.1", port)):
        assert listening(port, [os.getpid()]) is Listener.OURS
        assert listening(port, [1]) is Listener.FOREIGN


def test_a_shared_port_is_foreign(tmp_path: Path) -> None:
    port = free_port()
    script = (
        "import socket, time; s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1); "
        f"s.bind(('127.0.0.1', {port})); s.listen(); time.sleep(600)"
    )
    with run(tmp_path, f'exec python3 -c "{script}"') as process, socket.socket() as ours:
        until(lambda: listening(port, process.pids) is Listener.OURS)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        ours.bind(("127.0.0.1", port))
        ours.listen()
        assert listening(port, process.pids) is Listener.FOREIGN


def test_only_the_end_of_a_long_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("x" * 2_000_000 + "\nend")
    assert len(read_log(log)) == 1_000_000
    assert read_log(log).endswith("end")
    assert read_log(tmp_path / "none") == ""
