"""Who drives a study: one driver at a time, the dead ones succeeded, those that slept too long told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from scoot_ray.journal import Journal, JournalError
from scoot_ray.search import Origin, Trial
from scoot_ray.storage import HeldError, LeaseTimes, LocalStorage, hold, holder

QUICK = LeaseTimes(beat_s=0.02, stale_s=0.3, settle_s=0.01)
SLOW = LeaseTimes(beat_s=60.0, stale_s=0.3, settle_s=0.01)


def leave_lease(folder: Path, **changes: object) -> Path:
    """A lease of this very process, but for ``changes``."""
    with hold(LocalStorage(folder), SLOW):
        path = folder / "lease-000001.json"
        document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, **changes}))
    return path


def test_one_at_a_time_and_nothing_stays_behind(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with (
        hold(storage, QUICK),
        pytest.raises(HeldError, match=rf"process {os.getpid()} on .*; stop it first"),
        hold(storage, QUICK),
    ):
        pass
    with hold(storage, QUICK):
        assert holder(storage) is not None
    assert holder(storage) is None
    assert storage.names() == ()


def test_a_driver_killed_on_this_machine_is_succeeded_at_once(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from scoot_ray.storage import LocalStorage, hold\n"
        "with hold(LocalStorage(Path(sys.argv[1]))): os.kill(os.getpid(), signal.SIGKILL)"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, env=env)
    assert (tmp_path / "lease-000001.json").exists()
    assert holder(LocalStorage(tmp_path)) is None
    with hold(LocalStorage(tmp_path), LeaseTimes(stale_s=10**6)):
        assert LocalStorage(tmp_path).names() == ("lease-000002.json",)


def test_a_process_that_only_has_the_number_of_a_dead_driver_is_not_it(tmp_path: Path) -> None:
    leave_lease(tmp_path, pid_began=psutil.Process().create_time() - 1000)
    with hold(LocalStorage(tmp_path), LeaseTimes(stale_s=10**6)):
        pass


@pytest.mark.parametrize("content", [None, b"", b'{"owner": "so'])
def test_a_driver_elsewhere_that_shows_no_life_is_succeeded_after_the_wait(
    tmp_path: Path, content: bytes | None
) -> None:
    path = leave_lease(tmp_path, machine="elsewhere", host="node-7")
    if content is not None:
        path.write_bytes(content)
    told: list[str] = []
    with hold(LocalStorage(tmp_path), SLOW, told.append):
        assert LocalStorage(tmp_path).names() == ("lease-000002.json",)
    (line,) = told
    assert ("on node-7" in line) == (content is None)


def test_a_driver_elsewhere_that_shows_life_is_left_alone(tmp_path: Path) -> None:
    path = leave_lease(tmp_path, machine="elsewhere", host="node-7")
    document = json.loads(path.read_bytes())

    def beat(_: str) -> None:
        again = json.dumps(document | {"beats": 1}).encode()
        threading.Timer(0.1, LocalStorage(tmp_path).write, (path.name, again)).start()

    with (
        pytest.raises(HeldError, match="on node-7"),
        hold(LocalStorage(tmp_path), LeaseTimes(beat_s=0.1, stale_s=60.0), beat),
    ):
        pass
    assert holder(LocalStorage(tmp_path)) is not None


def test_a_driver_renews_its_lease_while_it_lives(tmp_path: Path) -> None:
    path = tmp_path / "lease-000001.json"
    with hold(LocalStorage(tmp_path), QUICK):
        first = path.read_bytes()
        wait = threading.Event()
        for _ in range(500):
            if path.read_bytes() != first:
                return
            wait.wait(0.02)
    pytest.fail("no beat in ten seconds")


def test_a_driver_that_slept_too_long_writes_no_more(tmp_path: Path) -> None:
    sleeper = Journal(tmp_path, lease_times=SLOW)
    log = sleeper.started(sleeper.replay(), {})
    with sleeper.exclusive():
        assert sleeper._lease is not None
        LocalStorage(tmp_path).create("lease-000002.json", b"{}")
        with pytest.raises(HeldError, match="taken this study over"):
            sleeper._lease.renew()
        with pytest.raises(JournalError, match="taken this study over"):
            sleeper.submitted(log, Trial(0, {"x": 1}, Origin.DEFAULT))
    assert (tmp_path / "lease-000002.json").exists()
