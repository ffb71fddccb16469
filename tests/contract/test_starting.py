"""How engines are started: given up in time, not before; on caches, ports and cores of the node."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from scoot_ray.cluster import starting
from scoot_ray.cluster.evaluation import Finished, evaluate
from scoot_ray.cluster.task import Task
from scoot_ray.engine import signs
from scoot_ray.engine.caches import NodeCaches
from scoot_ray.engine.launch import EngineOptions, engine_spec
from scoot_ray.engine.ports import claimed_port
from scoot_ray.engine.process import EngineProcess, EngineSpec, start
from scoot_ray.engine.ready import StartFailed, wait_ready
from scoot_ray.hopeless import Rule
from scoot_ray.load.trace import Request, Trace
from scoot_ray.search import Bounded, Failed, FailureKind, Objective, Origin, Trial
from tests.fakes import study

FAKE_VLLM = str(Path(__file__).parents[1] / "fake_vllm")
TRACE = Trace(tuple(Request(0.1 * i, 30 + i, 4) for i in range(20)), "trace.jsonl", "c0ffee")
TRIAL = Trial(7, {"max_num_seqs": 8, "max_num_batched_tokens": 64}, Origin.MODEL)


@pytest.fixture(autouse=True)
def own_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A node of the test's own: nothing is warm, nothing is claimed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield tmp_path
    assert not [one for one in psutil.Process().children(recursive=True) if "vllm" in " ".join(one.cmdline())]


def ready(tmp_path: Path, env: dict[str, str], deadline_s: float = 60.0, silence_s: float = 60.0) -> float:
    options = EngineOptions("m", sys.executable, env={"PYTHONPATH": FAKE_VLLM, **env})
    with claimed_port() as port, start(engine_spec(options, {}, tmp_path, port)) as process:
        return wait_ready(process, deadline_s, None, silence_s)


def run(
    env: dict[str, str],
    trial: Trial = TRIAL,
    rule: Rule | None = None,
    duration_s: float = 1.0,
    gpus: tuple[str, ...] = (),
) -> Finished:
    plan = study()
    changes = {"python": sys.executable, "env": {"PYTHONPATH": FAKE_VLLM, **env}, "start_timeout_s": 60.0}
    engine = plan.engine.model_copy(update=changes)
    workload = plan.workload.model_copy(update={"duration_s": duration_s, "warmup": 0})
    plan = plan.model_copy(update={"engine": engine, "workload": workload})
    return evaluate(Task(plan, TRACE, engine.env, rule=rule), trial, gpus, "here", lambda _phase: None)  # type: ignore[arg-type]  # no secrets here


def measured_or_skip(finished: Finished) -> None:
    outcome = finished.observation.outcome
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.CLIENT_LAGGED:
        pytest.skip(f"this machine is too busy to measure on: {outcome.detail}")
    assert not isinstance(outcome, Failed), outcome


def test_an_engine_that_has_said_it_is_dead_is_not_waited_for_though_it_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "LAST_WORDS_S", 0.5)
    with pytest.raises(StartFailed) as failed:
        ready(tmp_path, {"FAKE_VLLM_FAULT": "dead_but_hanging"}, deadline_s=120.0)
    assert failed.value.kind is FailureKind.CRASHED
    assert "rotary dimension 48" in failed.value.detail


def test_silence_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(StartFailed) as failed:
        ready(tmp_path, {"FAKE_VLLM_FAULT": "hang_at_start"}, deadline_s=120.0, silence_s=4.0)
    assert failed.value.kind is FailureKind.START_TIMEOUT
    assert failed.value.detail.startswith("no sign of progress for 4 s")
    assert "Initializing a V1 LLM engine" in failed.value.detail


@pytest.mark.slow
def test_a_start_that_gets_on_may_take_longer_than_it_may_be_silent(tmp_path: Path) -> None:
    began_s = time.monotonic()
    ready(tmp_path, {"FAKE_VLLM_FAULT": "slow_start", "FAKE_VLLM_START_S": "10"}, silence_s=8.0)
    assert time.monotonic() - began_s >= 10.0


def test_getting_on_does_not_go_on_for_ever(tmp_path: Path) -> None:
    with pytest.raises(StartFailed) as failed:
        ready(tmp_path, {"FAKE_VLLM_FAULT": "slow_start", "FAKE_VLLM_START_S": "60"}, deadline_s=3.0)
    assert failed.value.kind is FailureKind.START_TIMEOUT
    assert failed.value.detail.startswith("not ready after 3 s")


def test_a_start_that_fails_on_a_warm_cache_is_tried_on_a_clean_one() -> None:
    caches = NodeCaches()
    spoilt = caches.present() / "vllm"
    spoilt.mkdir()
    (spoilt / "spoilt").touch()
    finished = run({"FAKE_VLLM_FAULT": "spoilt_cache"})
    measured_or_skip(finished)
    noted = json.loads(finished.files["circumstances.json"])
    assert "rotary dimension 48" in noted["failed_with_warm_cache"]
    assert b"rotary dimension 48" in finished.files["engine-warm-cache.log"]
    assert b"rotary dimension 48" not in finished.files["engine.log"]
    assert caches.present() != spoilt.parent
    assert finished.observation.timings["start_s"] > 0
    again = run({"FAKE_VLLM_FAULT": "spoilt_cache"})
    assert "failed_with_warm_cache" not in json.loads(again.files["circumstances.json"])


def test_what_a_clean_cache_does_not_mend_is_the_configurations() -> None:
    caches = NodeCaches()
    warm = caches.present() / "vllm"
    warm.mkdir()
    (warm / "kernel").touch()
    finished = run({"FAKE_VLLM_FAULT": "crash_at_start"})
    assert isinstance(finished.observation.outcome, Failed)
    assert finished.observation.outcome.kind is FailureKind.CRASHED
    assert "failed_with_warm_cache" in json.loads(finished.files["circumstances.json"])
    assert caches.present() == warm.parent


def test_a_cold_start_or_one_that_names_its_reason_is_not_tried_twice() -> None:
    assert "failed_with_warm_cache" not in json.loads(
        run({"FAKE_VLLM_FAULT": "crash_at_start"}).files["circumstances.json"]
    )


def started_and_ready(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to which replica, in order."""
    happened: list[str] = []

    def noted_start(spec: EngineSpec) -> EngineProcess:
        happened.append(f"start {spec.cwd.name}")
        return start(spec)

    def noted_ready(process: EngineProcess, *given: Any) -> float:
        took_s = wait_ready(process, *given)
        happened.append(f"ready {process.spec.cwd.name}")
        return took_s

    monkeypatch.setattr(starting, "begin", noted_start)
    monkeypatch.setattr(starting, "wait_ready", noted_ready)
    return happened


def test_of_the_first_replicas_on_a_node_one_loads_the_model_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = started_and_ready(monkeypatch)
    measured_or_skip(run({}, gpus=("0", "1")))
    assert happened[:3] == ["start replica-0", "ready replica-0", "start replica-1"]
    happened.clear()
    measured_or_skip(run({}, gpus=("0", "1")))
    assert happened[:2] == ["start replica-0", "start replica-1"]


def test_memory_that_is_not_seen_free_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "used_mib", lambda _gpus: (100,))
    monkeypatch.setattr(starting, "wait_freed", lambda gpus, before: (tuple(gpus), before) != (("0",), (100,)))
    finished = run({"FAKE_VLLM_FAULT": "oom_at_start"}, gpus=("0",))
    assert isinstance(finished.observation.outcome, Failed)
    assert json.loads(finished.files["circumstances.json"])["gpu_memory_freed"] is False


def test_an_engine_keeps_to_its_cores_from_the_start(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    options = EngineOptions("m", sys.executable, env={"PYTHONPATH": FAKE_VLLM})
    with claimed_port() as port:
        spec = engine_spec(options, {}, tmp_path, port, cores=(core,))
        with start(spec) as process:
            wait_ready(process, 60.0)
            assert {tuple(psutil.Process(pid).cpu_affinity()) for pid in process.pids} == {(core,)}


def test_an_evaluation_that_has_lost_ends_early_with_what_is_known_of_it() -> None:
    lost = replace(TRIAL, to_beat=((1e-3, 1e-3),))
    rule = Rule((Objective("mean_ttft_ms"), Objective("mean_tpot_ms")), (), 0.01)
    finished = run({}, lost, rule, duration_s=30.0)
    measured_or_skip(finished)
    outcome = finished.observation.outcome
    assert isinstance(outcome, Bounded)
    assert outcome.bounds["mean_ttft_ms"][0] > 1e-3
    timings = finished.observation.timings
    assert timings["load_s"] + timings["drain_s"] < 25.0
    assert timings["stop_s"] > 0
    rows = [json.loads(line) for line in finished.files["requests-0.jsonl"].splitlines()]
    assert any(row["sent"] is None for row in rows)
    assert any(row["error"] is None for row in rows)
