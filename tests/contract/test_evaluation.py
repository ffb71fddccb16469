"""One evaluation without Ray: what it keeps, what it hides, what it leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scoot_ray.cluster.cores import client_core
from scoot_ray.cluster.evaluation import Finished, evaluate
from scoot_ray.cluster.task import Task
from scoot_ray.load.capacity.probing import EVALUATION_PROBES
from scoot_ray.load.trace import Request, Trace
from scoot_ray.search import SLO, Config, Failed, FailureKind, Measured, Origin, Trial
from scoot_ray.simulation import Simulation
from scoot_ray.soak import MEMORY
from scoot_ray.study import Confirmation, FromEnvironment, Soak, parse_study
from tests.fakes import study

FAKE_VLLM = str(Path(__file__).parents[1] / "fake_vllm")
SIMULATED = """
name: simulated
engine:
  kind: simulated
  clock: real
  noise: 0
  version: {version}
  model: Llama-2-7b-hf
  args: {{max-model-len: 2048}}
  hardware: {{accelerator: A10}}
workload: {{trace: trace.jsonl, arrivals: {{rate: 200}}, duration_s: 1.5, warmup: 0, request_timeout_s: 20}}
objectives: interactive
space:
  max_num_seqs: {{type: integer, low: 1, high: 256, default: 256}}
"""
TRACE = Trace(tuple(Request(0.1 * i, 30 + i, 4) for i in range(20)), "trace.jsonl", "c0ffee")
TRIAL = Trial(7, {"max_num_seqs": 8, "max_num_batched_tokens": 64}, Origin.MODEL, orders=(1, 2))


def run(
    env: dict[str, str], phases: list[str] | None = None, trial: Trial = TRIAL, rate_slos: tuple[SLO, ...] = ()
) -> Finished:
    plan = study()
    names = {name: value if name == "PYTHONPATH" else FromEnvironment(from_env=name) for name, value in env.items()}
    engine = plan.engine.model_copy(update={"python": None, "env": names, "start_timeout_s": 30.0})
    workload = plan.workload.model_copy(update={"duration_s": 1.5, "warmup": 1})
    plan = plan.model_copy(update={"engine": engine, "workload": workload})
    return evaluate(
        Task(plan, TRACE, env, rate_slos=rate_slos), trial, (), "here", (phases if phases is not None else []).append
    )


def test_every_order_is_measured_within_one_start_and_kept() -> None:
    phases: list[str] = []
    finished = run({"PYTHONPATH": FAKE_VLLM}, phases)
    outcome = finished.observation.outcome
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.CLIENT_LAGGED:
        pytest.skip(f"this machine is too busy to measure on: {outcome.detail}")
    assert isinstance(outcome, Measured), outcome
    assert len(outcome.runs) == 2
    name = "mean_ttft_ms"
    assert outcome.metrics[name] == pytest.approx(sum(one[name] for one in outcome.runs) / 2)
    assert set(finished.observation.timings) == {"stage_s", "start_s", "warmup_s", "load_s", "drain_s", "stop_s"}
    assert {"engine.log", "requests-1.jsonl", "requests-2.jsonl", "circumstances.json"} <= finished.files.keys()
    assert json.loads(finished.files["circumstances.json"])["prefix_cache_cleared"] is True
    assert "starting the engine" in phases
    assert "stopping the engine" in phases


def test_a_soak_replays_the_longest_requests_and_watches_the_engine() -> None:
    plan = study()
    engine = plan.engine.model_copy(update={"python": None, "env": {"PYTHONPATH": FAKE_VLLM}, "start_timeout_s": 30.0})
    workload = plan.workload.model_copy(update={"duration_s": 0.5, "warmup": 1})
    confirmation = Confirmation(soak=Soak(duration_s=5.0))
    plan = plan.model_copy(update={"engine": engine, "workload": workload, "confirmation": confirmation})
    phases: list[str] = []
    trial = Trial(3, {"max_num_seqs": 8, "max_num_batched_tokens": 64}, Origin.SOAK)
    finished = evaluate(Task(plan, TRACE, {"PYTHONPATH": FAKE_VLLM}), trial, (), "here", phases.append)
    outcome = finished.observation.outcome
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.CLIENT_LAGGED:
        pytest.skip(f"this machine is too busy to measure on: {outcome.detail}")
    assert isinstance(outcome, Measured), outcome
    assert "warming up for the soak" in phases
    assert abs(outcome.metrics[MEMORY]) < 1
    asked = [json.loads(line) for line in finished.files["requests-0.jsonl"].splitlines()]
    assert len(asked) > 5, "five seconds at five a second, not half a one"
    assert {one["usage"]["prompt_tokens"] for one in asked if one["usage"]} <= {48, 49}


def test_what_bound_the_engine_is_kept_with_the_evidence() -> None:
    finished = run({"PYTHONPATH": FAKE_VLLM})
    if isinstance(finished.observation.outcome, Failed):
        pytest.skip(f"this machine is too busy to measure on: {finished.observation.outcome.detail}")
    noted = json.loads(finished.files["circumstances.json"])["order 1"]
    assert noted["bound_by"] in {"sequences", "token_budget", "compute", "none"}
    assert noted["server"]["samples"] >= 1
    assert noted["because"]


@pytest.mark.slow
def test_the_highest_rate_under_the_slos_is_searched_within_one_start() -> None:
    slos = (SLO.parse("request_throughput<20"),)  # the fake's own speed plays no part
    finished = run({"PYTHONPATH": FAKE_VLLM}, trial=replace(TRIAL, orders=(1,)), rate_slos=slos)
    outcome = finished.observation.outcome
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.CLIENT_LAGGED:
        pytest.skip(f"this machine is too busy to measure on: {outcome.detail}")
    assert isinstance(outcome, Measured), outcome
    noted = json.loads(finished.files["circumstances.json"])
    search = noted["max_rate of order 1"]
    assert search["limited_by"] in {"server", "probes"}
    assert 1 < len(search["probes"]) <= EVALUATION_PROBES
    held = {probe["rate"] for probe in search["probes"] if probe["verdict"] == "held"}
    assert outcome.metrics["max_rate_under_slo"] in held  # not the highest of them: a close call may be outvoted
    assert outcome.metrics["max_rate_under_slo"] >= 5


@pytest.mark.parametrize("version", ["0.4.2", "0.32.0"])
def test_an_engine_that_dies_under_load_fails_in_real_time_as_it_does_in_virtual_time(version: str) -> None:
    """0.4.2 stays alive with its engine dead, and 0.32 ends with exit code 0: neither may pass as measured."""
    text = SIMULATED.format(version=version)
    plan = parse_study(text, "simulated.yaml")
    greedy: Config = {"gpu_memory_utilization": 0.99, "max_num_batched_tokens": 8192, "max_num_seqs": 256}
    trial = Trial(3, greedy, Origin.MODEL)
    trace = Trace(tuple(Request(0.0, 1_500, 8) for _ in range(60)), "trace.jsonl", "c0ffee")
    computed = Simulation(plan, trace.requests).evaluate(trial)[0].outcome
    served = evaluate(Task(plan, trace, {}), trial, (), "here", lambda _phase: None).observation.outcome
    assert isinstance(computed, Failed)
    assert isinstance(served, Failed), served
    assert served.kind is computed.kind is FailureKind.OUT_OF_MEMORY
    assert "CUDA out of memory" in served.detail


def test_a_secret_that_the_engine_prints_as_it_dies_is_masked_everywhere() -> None:
    finished = run({"PYTHONPATH": FAKE_VLLM, "FAKE_VLLM_FAULT": "crash_at_start", "TOKEN": "rotary dimension"})
    outcome = finished.observation.outcome
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.CRASHED
    assert "*** 48 does not fit the kernel" in outcome.detail
    assert all(b"rotary dimension" not in content for content in finished.files.values())


def test_clients_on_one_machine_get_cores_of_their_own_and_leave_half_to_engines() -> None:
    with client_core() as first, client_core() as second:
        cores = [one.core for one in (first, second) if one.core is not None]
        assert len(cores) == len(set(cores))
        for one in (first, second):
            assert one.core not in one.others
            assert one.others
