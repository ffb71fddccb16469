"""What every engine must do, shown on the stand-in and the simulated server always, and on a vLLM where one is named.

SCOOT_RAY_ENGINE_PYTHON names a Python that has vllm; SCOOT_RAY_DEMO_MODEL a model for it (else one is made).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from scoot_ray.engine.catalogue import available_flags
from scoot_ray.engine.launch import EngineOptions, engine_spec
from scoot_ray.engine.process import EngineProcess, free_port, pin, start
from scoot_ray.engine.ready import StartFailed, wait_ready
from scoot_ray.engine.server import max_model_len, reset_prefix_cache, server_version
from scoot_ray.search.trial import Config, FailureKind

ROOT = Path(__file__).parents[2]
FAKE = ROOT / "tests" / "fake_vllm"
READY_S = {"fake": 30.0, "simulated": 30.0, "vllm": 240.0}
MODEL = {
    "num_attention_heads": 4,
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "intermediate_size": 512,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
}


@dataclass(frozen=True)
class Kind:
    """One engine under test."""

    name: str
    options: EngineOptions

    @property
    def ready_s(self) -> float:
        return READY_S[self.name]

    @property
    def fewest_processes(self) -> int:
        """The guardian and the engine's; the simulated one computes in its server."""
        return 2 if self.name == "simulated" else 3


@dataclass(frozen=True)
class Running:
    """A started, ready engine."""

    kind: Kind
    process: EngineProcess

    @property
    def base_url(self) -> str:
        return self.process.spec.base_url

    def post(self, path: str, body: object, token: str | None = None) -> list[str]:
        """POST and return the answer's lines that are not blank."""
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(self.base_url + path, json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=60) as response:
            return [line for line in response.read().decode().splitlines() if line]

    def events(self, path: str, body: dict[str, object]) -> list[Any]:
        """POST with the key and return the stream's events; the last must be [DONE]."""
        lines = self.post(path, body, self.process.spec.api_key)
        assert all(line.startswith("data: ") for line in lines)
        assert lines[-1] == "data: [DONE]"
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


@pytest.fixture(scope="module", params=["fake", "simulated", pytest.param("vllm", marks=pytest.mark.vllm)])
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    if request.param == "fake":
        return Kind("fake", EngineOptions("some/model", env={"PYTHONPATH": str(FAKE), "FAKE_VLLM_SPEED": "10"}))
    if request.param == "simulated":
        return Kind("simulated", simulated(tmp_path_factory.mktemp("model")))
    python = os.environ.get("SCOOT_RAY_ENGINE_PYTHON")
    if not python:
        pytest.skip("SCOOT_RAY_ENGINE_PYTHON names no Python with vllm")
    model = os.environ.get("SCOOT_RAY_DEMO_MODEL") or _demo_model(python, tmp_path_factory.mktemp("model"))
    env = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}
    return Kind("vllm", EngineOptions(model, python, {"max-model-len": 2048, "enforce-eager": True}, env))


def simulated(folder: Path) -> EngineOptions:
    """A small model on a simulated GPU."""
    folder.joinpath("config.json").write_text(json.dumps(MODEL))
    args: Config = {"sim_accelerator": "A10", "sim_start_s": 0.1}
    program = (sys.executable, "-m", "scoot_ray.simulator.server")
    return EngineOptions(str(folder), None, args, {"PYTHONPATH": str(ROOT)}, program=program)


def _demo_model(python: str, folder: Path) -> str:
    script = ROOT / "studies" / "demo" / "make_model.py"
    subprocess.run([python, str(script), str(folder / "model")], check=True, timeout=120)
    return str(folder / "model")


@pytest.fixture(scope="module")
def running(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One engine for all tests that only talk to it."""
    spec = engine_spec(kind.options, {"max_num_seqs": 16}, tmp_path_factory.mktemp("engine"), free_port())
    with start(spec) as process:
        wait_ready(process, kind.ready_s)
        yield Running(kind, process)


def started(kind: Kind, config: Config, folder: Path) -> EngineProcess:
    return start(engine_spec(kind.options, config, folder, free_port()))


def refused(kind: Kind, config: Config, folder: Path) -> StartFailed:
    with started(kind, config, folder) as process, pytest.raises(StartFailed) as failure:
        wait_ready(process, kind.ready_s, config)
    return failure.value


def completion(running: Running, prompt: list[int], tokens: int) -> dict[str, object]:
    return {
        "model": running.kind.options.model,
        "prompt": prompt,
        "max_tokens": tokens,
        "min_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def gone(pids: tuple[int, ...], within_s: float = 10.0) -> bool:
    """Whether all processes end in time; zombies that nobody reaps count as ended."""
    deadline = time.monotonic() + within_s
    while any(_lives(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_answers_who_it_is(running: Running) -> None:
    assert server_version(running.base_url)
    assert max_model_len(running.base_url, running.process.spec.api_key) == 2048


def test_wants_the_key_of_this_start(running: Running) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401") as refusal:
        running.post("/v1/completions", completion(running, [5, 6], 1), "another")
    refusal.value.close()
    assert max_model_len(running.base_url) is None


def test_counts_tokens(running: Running) -> None:
    answer = json.loads(
        "".join(running.post("/tokenize", {"model": running.kind.options.model, "prompt": "hello world"}))
    )
    assert answer["count"] == len(answer["tokens"]) > 0


def test_streams_exactly_the_length_asked_for(running: Running) -> None:
    *content, usage = running.events("/v1/completions", completion(running, list(range(5, 105)), 7))
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 100, "total_tokens": 107, "completion_tokens": 7}
    assert 1 <= len(content) <= 7
    assert content[-1]["choices"][0]["finish_reason"] == "length"


def test_streams_a_chat_that_begins_with_the_role(running: Running) -> None:
    body = completion(running, [], 5) | {"messages": [{"role": "user", "content": "hello there"}]}
    del body["prompt"]
    role, *content, usage = running.events("/v1/chat/completions", body)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "content" in content[0]["choices"][0]["delta"]
    assert usage["usage"]["completion_tokens"] == 5


def test_empties_its_prefix_cache(running: Running) -> None:
    assert reset_prefix_cache(running.base_url, running.process.spec.api_key)


def test_can_be_pinned(running: Running) -> None:
    core = min(os.sched_getaffinity(0))
    assert pin(running.process.pids, {core}) > 0
    assert all(os.sched_getaffinity(pid) == {core} for pid in running.process.pids)
    assert len(running.events("/v1/completions", completion(running, [5, 6], 2))) >= 2


def test_keeps_the_key_out_of_its_log(running: Running) -> None:
    assert running.process.spec.api_key
    assert running.process.spec.api_key not in running.process.spec.log_path.read_text()


def test_a_refused_configuration_is_rejected_with_the_line_that_says_why(kind: Kind, tmp_path: Path) -> None:
    failure = refused(kind, {"max_num_seqs": 128, "max_num_batched_tokens": 64}, tmp_path)
    assert failure.kind is FailureKind.REJECTED
    assert "max_num_batched_tokens (64) must be greater than or equal to max_num_seqs (128)" in failure.detail
    assert failure.diagnosis.parameters == ("max_num_seqs", "max_num_batched_tokens")


def test_an_unknown_flag_is_rejected_by_name(kind: Kind, tmp_path: Path) -> None:
    failure = refused(kind, {"max_num_seqs": 8, "scheduler_delay_factor": 0.5}, tmp_path)
    assert failure.kind is FailureKind.REJECTED
    assert failure.diagnosis.parameters == ("scheduler_delay_factor",)


def test_a_taken_port_is_nobodys_fault(kind: Kind, running: Running, tmp_path: Path) -> None:
    spec = engine_spec(kind.options, {}, tmp_path, running.process.spec.port)
    with start(spec) as process, pytest.raises(StartFailed) as failure:
        wait_ready(process, kind.ready_s)
    assert failure.value.kind is FailureKind.PORT_TAKEN


def test_a_missing_model_or_python_is_our_fault(kind: Kind, tmp_path: Path) -> None:
    python, program = str(tmp_path / "python"), kind.options.program
    options = replace(kind.options, python=python, program=(python, *program[1:]) if program else ())
    failure = refused(replace(kind, options=options), {}, tmp_path)
    assert failure.kind is FailureKind.ENVIRONMENT
    assert "No such file" in failure.detail


def test_stopping_leaves_no_process(kind: Kind, tmp_path: Path) -> None:
    process = started(kind, {}, tmp_path)
    wait_ready(process, kind.ready_s)
    everything = (process.guardian_pid, *process.pids)
    assert len(everything) >= kind.fewest_processes
    assert process.poll() is None
    process.stop()
    assert process.poll() is not None
    assert gone(everything)


STARTER = """
import json, sys, time
from pathlib import Path
from scoot_ray.engine.launch import EngineOptions, engine_spec
from scoot_ray.engine.process import start
from scoot_ray.engine.ready import wait_ready
given = json.loads(sys.argv[1])
process = start(engine_spec(EngineOptions(**given["options"]), {}, Path(given["folder"]), given["port"]))
wait_ready(process, given["ready_s"])
print(json.dumps([process.guardian_pid, *process.pids]), flush=True)
time.sleep(600)
"""


def test_killing_the_starter_leaves_no_process(kind: Kind, tmp_path: Path) -> None:
    options = {name: getattr(kind.options, name) for name in ("model", "python", "args", "env", "program")}
    given = {"options": options, "folder": str(tmp_path), "port": free_port(), "ready_s": kind.ready_s}
    command = [sys.executable, "-c", STARTER, json.dumps(given)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pids = tuple(json.loads(starter.stdout.readline()))
        assert len(pids) >= kind.fewest_processes
        starter.send_signal(signal.SIGKILL)
    assert gone(pids)


def test_killing_the_engines_first_process_takes_the_others_along(kind: Kind, tmp_path: Path) -> None:
    with started(kind, {}, tmp_path) as process:
        wait_ready(process, kind.ready_s)
        everything = (process.guardian_pid, *process.pids)
        os.kill(process.pid, signal.SIGKILL)
        until(lambda: process.poll() is not None)
        assert process.poll() == -signal.SIGKILL
        assert gone(everything)


def test_says_which_flags_it_takes(kind: Kind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind.name == "simulated":
        pytest.skip("it is asked without starting a Python: settings.flags_of")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = available_flags(kind.options.python, kind.options.env)
    assert engine.version
    assert engine.accepts("max-num-seqs")
    assert not engine.accepts("scheduler_delay_factor")
    assert "disable_log_stats" in engine.switches
    assert "enable_prefix_caching" not in engine.switches
    assert len(list((tmp_path / "scoot-ray").iterdir())) == 1
    assert available_flags(kind.options.python, kind.options.env) == engine
