"""Warm starts from runs on disk, early stops and explanations of whole studies, all simulated."""

from __future__ import annotations

import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scoot_ray.cli import main
from scoot_ray.driver import create
from scoot_ray.history import Traffic, read_pasts, similarity
from scoot_ray.journal import Journal
from scoot_ray.load.trace import Trace
from scoot_ray.log import Log
from scoot_ray.optimizer import SearchOptimizer
from scoot_ray.resolve import Resolved, resolve
from scoot_ray.results.explained import explain_document, print_explanation, sparkline
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Measured, Origin
from scoot_ray.study import Budget, Confirmation, Patience, StudyError, read_study
from scoot_ray.sweep import run_inline
from scoot_ray.tune import tune
from tests.fakes import FakeEvaluator, Never, Silent, problem, study
from tests.unit.test_confirm import searched
from tests.unit.test_simulation import resolved_of

TRAFFIC = Traffic(1000.0, 100.0, 0.5, 10.0)


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    rows = [{"timestamp": i, "input_length": 300 + i, "output_length": 20 + i % 30} for i in range(120)]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    hardware = {"accelerator": "A10", "count": 2}
    engine = {"kind": "simulated", "version": "0.4.2", "model": "Llama-2-7b-hf", "hardware": hardware}
    return {
        "name": "small",
        "tuner": "random",
        "engine": {**engine, "args": {"max-model-len": 2048}},
        "workload": {"trace": "trace.jsonl", "arrivals": {"process": "poisson", "rate": 4}, "duration_s": 20},
        "objectives": "interactive",
        "space": "vllm-0.4.2",
        "budget": {"observations": 6},
        "confirmation": {"finalists": 1, "arrival_orders": 2},
        "output": str(tmp_path / "runs"),
    }


@pytest.fixture
def run(tmp_path: Path, document: dict[str, Any]) -> RunFolder:
    """A finished run of another study."""
    run_inline(resolved_of(tmp_path, document), folder := RunFolder(tmp_path / "runs" / "small"))
    return folder


def next_study(tmp_path: Path, document: dict[str, Any], run: RunFolder, **changes: object) -> Resolved:
    return resolved_of(tmp_path, {**document, "name": "next", "warm_start": [str(run.path)], **changes})


def test_another_version_s_defaults_are_read_as_they_were_there(tmp_path: Path, document: dict[str, Any]) -> None:
    """What 0.4.2 left unset was off there, though it is on by default in the version that reads the history."""
    seqs = {"type": "integer", "low": 32, "high": 512, "scale": "powers_of_two", "default": 256}
    old = {**document, "space": {"max_num_seqs": seqs}, "budget": {"observations": 2}}
    folder = RunFolder(tmp_path / "runs" / "small")
    run_inline(resolved_of(tmp_path, old), folder)
    caching = {"type": "boolean", "default": True}
    engine = {**document["engine"], "version": "0.32.0"}
    space = {"max_num_seqs": seqs, "enable_prefix_caching": caching}
    plan = next_study(tmp_path, document, folder, engine=engine, space=space)
    (earlier,) = plan.problem.earlier
    assert earlier.history
    assert {o.trial.config["enable_prefix_caching"] for o in earlier.history} == {False}


def test_another_run_s_winners_come_first(tmp_path: Path, document: dict[str, Any], run: RunFolder) -> None:
    plan = next_study(tmp_path, document, run)
    (earlier,) = plan.problem.earlier
    assert earlier.same_engine
    assert earlier.similarity == pytest.approx(0.9)
    measured = (run.read_json("result.json") or {})["outcomes"]["measured"]
    assert sum(isinstance(o.outcome, Measured) for o in earlier.history) >= measured
    result = run_inline(plan, RunFolder(tmp_path / "runs" / "next"))
    origins = [one["origin"] for one in result["observations"]]
    count = len(plan.problem.winners)
    assert 1 <= count <= 3
    assert origins[: 1 + count] == ["default", *["warm_start"] * count]
    assert result["warm_start"] == [
        {"study": "small", "observations": len(plan.pasts[0].observations), "similarity": pytest.approx(0.9)}
    ]


def test_validate_says_what_a_study_starts_from(tmp_path: Path, document: dict[str, Any], run: RunFolder) -> None:
    next_study(tmp_path, document, run)
    done = CliRunner().invoke(main, ["validate", str(tmp_path / "study.yaml")])
    assert done.exit_code == 0, done.output
    assert "warm start: small: " in done.stdout
    assert "similarity 0.90; its failures count here" in done.stdout


def test_a_run_keeps_what_it_was_started_from(tmp_path: Path, document: dict[str, Any], run: RunFolder) -> None:
    plan = next_study(tmp_path, document, run)
    folder = create(plan)
    shutil.rmtree(run.path)
    again = resolve(read_study(folder.study), folder.study)
    assert again.pasts == plan.pasts
    assert again.problem.winners == plan.problem.winners
    assert [one.history for one in again.problem.earlier] == [one.history for one in plan.problem.earlier]


def test_another_engine_s_failures_do_not_count(tmp_path: Path, document: dict[str, Any], run: RunFolder) -> None:
    document["engine"]["model"] = "Llama-2-13b-hf"
    document["engine"]["hardware"]["count"] = 4
    (earlier,) = next_study(tmp_path, document, run).problem.earlier
    assert not earlier.same_engine
    assert earlier.similarity == pytest.approx(0.9 * 0.7 * 0.7)


def test_without_the_other_trace_the_run_s_own_figures_are_used(
    tmp_path: Path, document: dict[str, Any], run: RunFolder
) -> None:
    other = read_study(run.study)
    moved = other.model_dump(mode="json", exclude_none=True)
    moved["workload"]["trace"] = "gone.jsonl"
    run.write_text("study.yaml", json.dumps(moved))
    plan = resolved_of(tmp_path, {**document, "name": "next"})
    asked = plan.study.model_copy(update={"warm_start": (str(run.path),)})
    assert read_pasts(asked, TRAFFIC, tmp_path / "study.yaml")[0].similarity < 0.9
    (run.path / "environment.json").unlink()
    assert read_pasts(asked, TRAFFIC, tmp_path / "study.yaml")[0].similarity == pytest.approx(0.9 * 0.7)


def test_what_is_no_run_is_refused_in_a_line(tmp_path: Path, document: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match=r"warm_start: .*nowhere: not the folder of a run"):
        resolved_of(tmp_path, {**document, "warm_start": ["nowhere"]})


def test_a_run_without_the_objective_is_named(tmp_path: Path, document: dict[str, Any], run: RunFolder) -> None:
    document["slos"] = ["ttft:p95<500ms"]
    wanted = [{"metric": "max_rate_under_slo", "direction": "maximize"}]
    said = next_study(tmp_path, document, run, objectives=wanted).warnings
    assert any("warm_start: small: no configuration was measured on max_rate_under_slo" in line for line in said)


@given(st.floats(1, 1e5), st.floats(1, 1e4), st.floats(0, 1), st.floats(0.01, 1e3) | st.none())
def test_similarity_is_greatest_for_the_same(tokens: float, output: float, shared: float, rate: float | None) -> None:
    same = similarity(study(), TRAFFIC, study(), TRAFFIC)
    other = similarity(study(), TRAFFIC, study(), Traffic(tokens, output, shared, rate))
    assert 0 <= other <= same == pytest.approx(0.9)


def tuned(plan: Resolved, folder: Path) -> Log:
    journal = Journal(folder)
    log = journal.started(journal.replay(), {})
    evaluator = FakeEvaluator(random.Random(0), lambda: 2)
    return tune(plan.study, log, SearchOptimizer(plan), evaluator, journal, Never(), Silent())


@pytest.mark.parametrize("patience", [Patience(observations=4), Patience(expected_gain=0.1)])
def test_a_search_that_finds_nothing_more_is_confirmed_early(tmp_path: Path, patience: Patience) -> None:
    settled = study(
        budget=Budget(observations=60, patience=patience), confirmation=Confirmation(finalists=1, arrival_orders=2)
    )
    plan = Resolved(settled, problem(), Trace((), "trace.jsonl", "c0ffee"))
    log = tuned(plan, tmp_path / "journal")
    assert 4 < len(log.searched) < 60
    assert log.confirmed
    assert not log.open
    result = summarise(plan, log, True, "complete", {})
    assert result["reason"].startswith("stopped early: ")
    assert tuned(plan, tmp_path / "journal") == log  # taken up again, it has nothing left to do


def test_without_patience_the_budget_is_spent(tmp_path: Path) -> None:
    settled = study(tuner="random", budget=Budget(observations=12), confirmation=Confirmation(finalists=0))
    plan = Resolved(settled, problem(), Trace((), "trace.jsonl", "c0ffee"))
    log = tuned(plan, tmp_path / "journal")
    assert len(log.searched) == 12
    assert summarise(plan, log, True, "complete", {})["reason"] == "complete"


def test_explain_prints_tables_or_json(tmp_path: Path, document: dict[str, Any], run: RunFolder) -> None:
    done = CliRunner().invoke(main, ["explain", str(run.path), "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["simulated"]
    assert "too few to tell" in found["silence"]
    text = CliRunner().invoke(main, ["explain", str(run.path)]).stdout
    assert "cannot tell" in text
    assert "Hidden constraints" in text


def test_a_larger_run_is_explained_in_full() -> None:
    plan = Resolved(study(), problem(), Trace((), "trace.jsonl", "c0ffee"))
    log = searched(problem(), 24)
    found = json.loads(json.dumps(explain_document(plan, log), allow_nan=False))
    assert [one["metric"] for one in found["objectives"]] == ["mean_ttft_ms", "mean_tpot_ms"]
    (rule,) = found["hidden_constraints"]
    assert {condition[0] for condition in rule["conditions"]} <= {"max_num_seqs", "enable_prefix_caching"}
    out = io.StringIO()
    print_explanation(Console(file=out, width=200), found)
    text = out.getvalue()
    for name in problem().space.names:
        assert name in text
    assert rule["text"] in text


def test_a_sparkline_goes_from_the_lowest_block_to_the_highest() -> None:
    assert sparkline([1.0, 2.0, 8.0]) == "▁▂█"
    assert sparkline([3.0, 3.0]) == "▁▁"


def test_an_origin_of_its_own_is_journalled(tmp_path: Path, document: dict[str, Any], run: RunFolder) -> None:
    run_inline(next_study(tmp_path, document, run), folder := RunFolder(tmp_path / "runs" / "next"))
    assert Origin.WARM_START in {trial.origin for trial in Journal(folder.journal).replay().trials}
