"""Studies of simulated engines: evaluation in virtual time, sweeps, and that every figure says what it is."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from scoot_ray.cli import main
from scoot_ray.problem import ending_rule
from scoot_ray.resolve import Resolved, resolve
from scoot_ray.results.deployment import deployment_of
from scoot_ray.results.export.shell import serve_script
from scoot_ray.results.gains import gains_table, one_line
from scoot_ray.results.tables import print_result
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Bounded, Failed, FailureKind, Measured, Origin, Trial
from scoot_ray.simulation import Simulation
from scoot_ray.study import StudyError, read_study
from scoot_ray.sweep import Broken, run_inline, sweep

ROOT = Path(__file__).parents[2]


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    rows = [{"timestamp": i, "input_length": 300 + i, "output_length": 20 + i % 30} for i in range(120)]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "name": "small",
        "tuner": "random",
        "engine": {
            "kind": "simulated",
            "version": "0.4.2",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A10", "count": 2},
        },
        "workload": {
            "trace": "trace.jsonl",
            "arrivals": {"process": "poisson", "rate": 4},
            "duration_s": 20,
        },
        "objectives": "interactive",
        "space": "vllm-0.4.2",
        "budget": {"observations": 6},
        "parallelism": 2,
        "confirmation": {"finalists": 1, "arrival_orders": 2},
        "output": str(tmp_path / "runs"),
    }


def resolved_of(tmp_path: Path, document: dict[str, Any]) -> Resolved:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return resolve(read_study(path), path)


def evaluate(resolved: Resolved, trial: Trial) -> tuple[Any, dict[str, bytes]]:
    observation, files = Simulation(resolved.study, resolved.trace.requests).evaluate(trial)
    return observation, files


def test_the_same_trial_gives_the_same_observation(tmp_path: Path, document: dict[str, Any]) -> None:
    resolved = resolved_of(tmp_path, document)
    trial = Trial(3, resolved.problem.space.default or {}, Origin.MODEL)
    first, files = evaluate(resolved, trial)
    assert first == evaluate(resolved, trial)[0]
    assert isinstance(first.outcome, Measured)
    assert first.where == "simulated"
    assert first.timings["load_s"] >= 15
    assert first.outcome.metrics["request_throughput_per_gpu"] == first.outcome.metrics["request_throughput"] / 2
    assert json.loads(files["circumstances.json"])["simulated"] is True
    assert b"simulated vLLM 0.4.2" in files["engine.log"]


def crowded(tmp_path: Path, document: dict[str, Any], **changes: Any) -> Resolved:
    """More requests than a small batch can serve."""
    document["workload"]["arrivals"]["rate"] = 12
    document["engine"]["noise"] = 0
    document |= changes
    return resolved_of(tmp_path, document)


def test_an_evaluation_that_has_lost_ends_early_within_its_bounds(tmp_path: Path, document: dict[str, Any]) -> None:
    resolved = crowded(tmp_path, document, objectives="tail_latency")
    default = resolved.problem.space.default or {}
    rule = ending_rule(resolved.study, resolved.problem)
    simulation = Simulation(resolved.study, resolved.trace.requests, rule=rule)
    good = simulation.evaluate(Trial(0, default, Origin.DEFAULT))[0].outcome
    assert isinstance(good, Measured)
    reached = ((good.metrics["p95_e2el_ms"] / 2,),)
    hopeless = Trial(1, default, Origin.MODEL, to_beat=reached)
    ended, _ = simulation.evaluate(hopeless)
    whole, _ = evaluate(resolved, hopeless)
    assert isinstance(ended.outcome, Bounded)
    assert isinstance(whole.outcome, Measured)
    assert ended.timings["load_s"] < whole.timings["load_s"]
    for name, (low, high) in ended.outcome.bounds.items():
        assert low * (1 - 1e-9) <= whole.outcome.metrics[name] <= high * (1 + 1e-9), name
    assert ended.outcome.reason.startswith("p95_e2el_ms is at least") or "the queue grows" in ended.outcome.reason
    for trial in (Trial(1, default, Origin.MODEL), Trial(1, default, Origin.CONFIRMATION, (0, 1), reached)):
        assert isinstance(simulation.evaluate(trial)[0].outcome, Measured)


def test_a_study_ends_what_has_lost_unless_told_not_to(tmp_path: Path, document: dict[str, Any]) -> None:
    document["budget"] = {"observations": 10}
    resolved = crowded(tmp_path, document, objectives="tail_latency")
    result = run_inline(resolved, RunFolder(tmp_path / "runs" / "ends"))
    assert result["outcomes"]["bounded"] > 0
    assert json.loads(json.dumps(result, allow_nan=False)) == json.loads(
        (tmp_path / "runs/ends/result.json").read_text()
    )
    out = io.StringIO()
    print_result(Console(file=out, width=120), result)
    assert f"{result['outcomes']['bounded']} ended early" in out.getvalue()
    document["budget"] = {"observations": 10, "end_hopeless": False}
    to_the_end = run_inline(resolved_of(tmp_path, document), RunFolder(tmp_path / "runs" / "whole"))
    assert to_the_end["outcomes"]["bounded"] == 0
    assert result["phases_s"]["load_s"] < to_the_end["phases_s"]["load_s"]


def test_noise_is_of_the_trial_and_can_be_turned_off(tmp_path: Path, document: dict[str, Any]) -> None:
    noisy = resolved_of(tmp_path, document)
    config = noisy.problem.space.default or {}
    outcomes = [evaluate(noisy, Trial(number, config, Origin.MODEL))[0].outcome for number in (1, 2)]
    assert outcomes[0] != outcomes[1]
    document["engine"]["noise"] = 0
    quiet = resolved_of(tmp_path, document)
    outcomes = [evaluate(quiet, Trial(number, config, Origin.MODEL))[0].outcome for number in (1, 2)]
    assert outcomes[0] == outcomes[1]


def test_a_confirmation_keeps_every_request(tmp_path: Path, document: dict[str, Any]) -> None:
    resolved = resolved_of(tmp_path, document)
    trial = Trial(9, resolved.problem.space.default or {}, Origin.CONFIRMATION, orders=(1, 2))
    observation, files = evaluate(resolved, trial)
    assert len(observation.outcome.runs) == 2
    assert observation.outcome.runs[0] != observation.outcome.runs[1]
    lines = files["requests-1.jsonl"].splitlines()
    assert len(lines) == observation.outcome.runs[0]["completed"]


@pytest.mark.parametrize(
    ("changes", "config", "kind"),
    [
        ({"model": "Llama-2-13b-hf"}, {}, FailureKind.OUT_OF_MEMORY),
        ({"start_timeout_s": 5}, {}, FailureKind.START_TIMEOUT),
        ({}, {"tensor_parallel_size": 4}, FailureKind.REJECTED),
        ({}, {"max_num_seqs": 8192, "max_num_batched_tokens": 512}, FailureKind.REJECTED),
    ],
)
def test_failures_come_with_the_engine_s_own_line(
    tmp_path: Path, document: dict[str, Any], changes: dict[str, Any], config: dict[str, int], kind: FailureKind
) -> None:
    document["engine"].update(changes)
    resolved = resolved_of(tmp_path, document)
    trial = Trial(1, {**(resolved.problem.space.default or {}), **config}, Origin.MODEL)
    outcome = evaluate(resolved, trial)[0].outcome
    assert isinstance(outcome, Failed)
    assert outcome.kind is kind
    assert outcome.detail


def test_the_highest_rate_that_holds_the_slos_is_searched(tmp_path: Path, document: dict[str, Any]) -> None:
    document["slos"] = ["ttft:p95<500ms"]
    document["objectives"] = [{"metric": "max_rate_under_slo", "direction": "maximize"}]
    resolved = resolved_of(tmp_path, document)
    run_inline(resolved, folder := RunFolder(tmp_path / "runs" / "small"))
    seen = json.loads(folder.trial(0).read("result.json") or b"")
    rate = seen["outcome"]["measured"]["max_rate_under_slo"]
    assert seen["outcome"]["measured"]["p95_ttft_ms"] < 500
    assert 4 <= rate < 100


def test_where_nothing_is_served_in_time_it_stalls(tmp_path: Path, document: dict[str, Any]) -> None:
    document["workload"]["request_timeout_s"] = 0.01
    resolved = resolved_of(tmp_path, document)
    outcome = evaluate(resolved, Trial(1, resolved.problem.space.default or {}, Origin.MODEL))[0].outcome
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.STALLED


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hardware": {"accelerator": "A1000"}}, "engine.hardware: 'A1000': allowed are A10"),
        ({"hardware": {"count": 2}}, "engine.hardware: give accelerator (and count), or calibration"),
        ({"hardware": {"calibration": "none.json"}}, "engine.hardware.calibration: none.json: cannot be read"),
        ({"model": "gpt-7"}, "engine.model: 'gpt-7': allowed are meta-llama/Llama-2-7b-hf"),
        ({"version": "0.5"}, "engine.version: '0.5'"),
        ({"python": "python"}, "engine: python goes with a real engine"),
        ({"noise": 2}, "engine.noise: 2"),
        ({"version": "0.32.0"}, "scheduler_delay_factor: the simulated vllm 0.32.0 has no such flag"),
        (
            {"args": {"max-model-len": 2048, "quantization": "awq"}},
            "quantization: the simulated vllm 0.4.2 has no such",
        ),
    ],
)
def test_what_cannot_be_simulated_is_said_in_one_line(
    tmp_path: Path, document: dict[str, Any], changes: dict[str, Any], said: str
) -> None:
    document["engine"].update(changes)
    with pytest.raises(StudyError) as refused:
        resolved_of(tmp_path, document)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_simulated_engine_reserves_no_gpu(tmp_path: Path, document: dict[str, Any]) -> None:
    document["resources"] = {"gpus": 2}
    with pytest.raises(StudyError, match=r"engine\.hardware\.count says how many"):
        resolved_of(tmp_path, document)


def test_the_newest_engine_has_a_space_of_its_own(tmp_path: Path, document: dict[str, Any]) -> None:
    document["engine"].pop("version")
    document["space"] = "vllm"
    names = resolved_of(tmp_path, document).problem.space.names
    assert {"max_num_seqs", "async_scheduling", "tensor_parallel_size", "gpu_memory_utilization"} <= set(names)


def test_a_study_in_this_process_says_everywhere_that_it_is_simulated(tmp_path: Path, document: dict[str, Any]) -> None:
    resolved = resolved_of(tmp_path, document)
    folder = RunFolder(tmp_path / "runs" / "small")
    result = run_inline(resolved, folder)
    assert result["simulated"] is True
    assert result["sentence"].startswith("Simulated: ")
    assert result["engine"]["engine_version"] == "0.4.2 (simulated)"
    assert "SIMULATED" in serve_script(deployment_of(dict(result), None))
    text = io.StringIO()
    print_result(Console(file=text, width=140), result)
    assert "Every figure here is simulated" in text.getvalue()
    assert "measured" not in text.getvalue().replace("not measured", "").replace("measured again", "")
    gains = io.StringIO()
    Console(file=gains, width=200).print(gains_table([result]))
    assert "simulated" in gains.getvalue()
    assert "simulated" in one_line(result) or "Simulated" in one_line(result)


def test_a_sweep_goes_on_where_it_was(tmp_path: Path, document: dict[str, Any]) -> None:
    """A run broken off after three events is taken up; one that is complete is not run again."""
    whole = run_inline(resolved_of(tmp_path, document), RunFolder(tmp_path / "runs" / "small"))
    journal = tmp_path / "runs" / "small" / "journal"
    before = sorted(path.name for path in journal.glob("*.json"))
    run_inline(resolved_of(tmp_path, document), RunFolder(tmp_path / "runs" / "small"))
    assert sorted(path.name for path in journal.glob("*.json")) == before
    for name in before[9:]:
        (journal / name).unlink()
    again = run_inline(resolved_of(tmp_path, document), RunFolder(tmp_path / "runs" / "small"))
    assert again["observations"] == whole["observations"]
    assert again["budget"]["spent"] == 6


def test_a_sweep_uses_processes_and_yields_every_result(tmp_path: Path, document: dict[str, Any]) -> None:
    studies = [resolved_of(tmp_path, {**document, "name": f"small-{seed}", "seed": seed}) for seed in (1, 2, 3)]
    foreign = tmp_path / "runs" / "small-3" / "journal" / "00000000.json"
    foreign.parent.mkdir(parents=True)
    foreign.write_text('{"by": "somebody else"}')
    outcomes = list(sweep(studies, jobs=2))
    results = [one for one in outcomes if not isinstance(one, Broken)]
    assert {result["study"] for result in results} == {"small-1", "small-2"}
    assert all(result["budget"]["spent"] == 6 for result in results)
    (broken,) = (one for one in outcomes if isinstance(one, Broken))
    assert broken.study == "small-3"
    assert "00000000.json: not an event" in broken.reason


def test_a_sweep_refuses_two_studies_of_one_name(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "study.yaml"
    resolved_of(tmp_path, document)
    path.write_text(yaml.safe_dump(document))
    done = CliRunner().invoke(main, ["sweep", str(path), str(path), "--output", str(tmp_path / "runs")])
    assert done.exit_code == 2
    assert "names are unique in an output" in done.stderr


def test_the_verb_refuses_what_is_not_simulated(tmp_path: Path, document: dict[str, Any]) -> None:
    document["engine"]["clock"] = "real"
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(document))
    done = subprocess.run(
        [sys.executable, "-m", "scoot_ray", "sweep", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "sweep runs studies in virtual time alone" in done.stderr


def test_the_paper_s_studies_are_as_made_and_all_valid(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, str(ROOT / "studies/paper/make.py"), "--out", str(tmp_path)],
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert made.returncode == 0
    shipped = sorted((ROOT / "studies/paper").glob("*.yaml"))
    assert len(shipped) == 32
    for path in shipped:
        assert path.read_text() == (tmp_path / path.name).read_text()
    resolve(read_study(shipped[0]), shipped[0])
