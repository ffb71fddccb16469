"""The simulated server as a process: its ends, its faults, and its clock.

What it shares with every engine is shown in ``test_engine``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPResponse, IncompleteRead
from pathlib import Path

import pytest

from scoot_ray.engine.diagnose import diagnose
from scoot_ray.engine.launch import EngineOptions, engine_spec
from scoot_ray.engine.process import EngineProcess, free_port, start
from scoot_ray.engine.ready import StartFailed, read_log, wait_ready
from scoot_ray.engine.server import answers
from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.client.target import Target
from scoot_ray.load.figures.metrics import counts_of, metrics_of
from scoot_ray.load.measure import Load, run_replay
from scoot_ray.load.trace import Request
from scoot_ray.search.trial import Config, FailureKind, Value
from scoot_ray.simulator.fitted import Fitted
from scoot_ray.simulator.models import find_model
from scoot_ray.simulator.service import Load as VirtualLoad
from scoot_ray.simulator.service import Service, replay

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "scoot_ray.simulator.server")
MODEL = "Llama-2-7b-hf"
MACHINE = Fitted(0.02, 2e-4, 2e-5, 0.0, 0.0, kv_cache_bytes=8e9)
READY_S = 30.0
ENDED_S = 30.0


def options(folder: Path, **sim: Value) -> EngineOptions:
    if "accelerator" not in sim:
        MACHINE.write(folder / "machine.json")
        sim["calibration"] = str(folder / "machine.json")
    args: Config = {"sim_start_s": 0, **{f"sim_{name}": value for name, value in sim.items()}}
    return EngineOptions(MODEL, None, args, {"PYTHONPATH": str(ROOT)}, program=PROGRAM)


@contextmanager
def serving(folder: Path, config: Config | None = None, **sim: Value) -> Iterator[EngineProcess]:
    with start(engine_spec(options(folder, **sim), config or {}, folder, free_port())) as process:
        wait_ready(process, READY_S)
        yield process


def offered(process: EngineProcess, count: int = 8, prompt: int = 50, output: int = 20, rate: float = 20.0) -> Load:
    assert process.spec.api_key
    requests = tuple(Request(0.0, prompt + 10 * (number % 7), output + number % 5) for number in range(count))
    return Load(requests, Arrivals("poisson", rate), "salt", count=count, warmup=0, drain_s=20.0)


def errors(process: EngineProcess) -> dict[str, int]:
    """Offer a small load; return its failures by kind."""
    target = Target((process.spec.base_url,), MODEL, process.spec.api_key, timeout_s=5.0)
    counts = counts_of(run_replay(target, offered(process)).replay.records)
    return {name: count for name, count in counts.items() if name.startswith("error_")}


def ended(process: EngineProcess) -> int:
    """Wait for the end; return the exit code."""
    deadline_s = time.monotonic() + ENDED_S
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    return code


def stream(process: EngineProcess) -> HTTPResponse:
    """Begin a long stream and read its first event."""
    body = {"prompt": [5], "max_tokens": 2000, "stream": True}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {process.spec.api_key}"}
    request = urllib.request.Request(process.spec.base_url + "/v1/completions", json.dumps(body).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    response = opener.open(request, timeout=30)
    assert isinstance(response, HTTPResponse)
    assert response.readline().startswith(b"data: {")
    return response


def test_a_signal_ends_it_and_cuts_its_streams(tmp_path: Path) -> None:
    with serving(tmp_path) as process, stream(process) as response:
        os.kill(process.pid, signal.SIGTERM)
        with pytest.raises(IncompleteRead) as cut:
            response.read()
        assert b"[DONE]" not in cut.value.partial
        assert ended(process) == 0


def test_a_signal_ends_one_that_is_still_starting(tmp_path: Path) -> None:
    chosen = options(tmp_path, fault="slow-start@600")
    with start(engine_spec(chosen, {}, tmp_path, free_port())) as process:
        with pytest.raises(StartFailed) as failure:
            wait_ready(process, 3.0)
        assert failure.value.kind is FailureKind.START_TIMEOUT
        os.kill(process.pid, signal.SIGTERM)
        assert ended(process) in {0, -signal.SIGTERM}  # the latter where it was still importing


def test_too_little_memory_is_diagnosed_from_its_log(tmp_path: Path) -> None:
    chosen = options(tmp_path, accelerator="A10")
    config: Config = {"gpu_memory_utilization": 0.5}
    with (
        start(engine_spec(chosen, config, tmp_path, free_port())) as process,
        pytest.raises(StartFailed) as failure,
    ):
        wait_ready(process, READY_S, config)
    assert failure.value.kind is FailureKind.OUT_OF_MEMORY
    assert failure.value.diagnosis.parameters == ("gpu_memory_utilization",)


@pytest.mark.parametrize(
    ("fault", "expected", "kind"),
    [("crash", 1, FailureKind.CRASHED), ("oom", 0, FailureKind.OUT_OF_MEMORY)],
)
def test_a_death_under_load_is_diagnosed_from_its_log(
    tmp_path: Path, fault: str, expected: int, kind: FailureKind
) -> None:
    with serving(tmp_path, fault=fault) as process:
        assert sum(errors(process).values()) == 8
        code = ended(process)
        assert code == expected
        assert diagnose(code, read_log(process.spec.log_path), "load").kind is kind


def test_a_dead_0_4_2_stays_and_is_unhealthy(tmp_path: Path) -> None:
    with serving(tmp_path, version="0.4.2", fault="oom") as process:
        assert errors(process) == {"error_cut": 8}
        assert process.poll() is None
        assert not answers(process.spec.health_url)
        log = read_log(process.spec.log_path)
    assert diagnose(None, log, "load").kind is FailureKind.OUT_OF_MEMORY
    assert log.count("out of memory") == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http-500", "error_http_500"),
        ("cut", "error_cut"),
        ("stream-error", "error_in_stream"),
        ("garbage", "error_malformed"),
        ("hang", "error_timeout"),
    ],
)
def test_the_load_generator_sees_a_fault_for_what_it_is(tmp_path: Path, fault: str, error: str) -> None:
    with serving(tmp_path, fault=fault) as process:
        assert errors(process) == {error: 8}
        assert answers(process.spec.health_url)


def test_a_fault_comes_when_it_is_asked_for(tmp_path: Path) -> None:
    with serving(tmp_path, fault="cut@600") as process:
        assert errors(process) == {}


def test_a_replay_over_http_measures_what_virtual_time_computes(tmp_path: Path) -> None:
    """Medians within 30% and 10 ms: what a busy machine adds, not what a wrong schedule would."""
    with serving(tmp_path, {"max_num_seqs": 8}) as process:
        load = offered(process, count=40, prompt=100, output=25, rate=20.0)
        target = Target((process.spec.base_url,), MODEL, process.spec.api_key)
        measured = run_replay(target, load).metrics
    booted = Service(find_model(MODEL), MACHINE).boot({"max_num_seqs": 8})
    arrivals = schedule(load.arrivals, load.requests, count=40)
    computed = metrics_of(replay(booted, 1, VirtualLoad(load.requests, arrivals, 600.0), 0.0, (0,)).records)
    assert measured["completed"] == computed["completed"] == 40
    assert computed["median_ttft_ms"] > 100  # requests queue: the schedule matters
    for name in ("median_ttft_ms", "median_tpot_ms", "median_e2el_ms"):
        assert measured[name] == pytest.approx(computed[name], rel=0.3, abs=10)
