"""A simulated run from end to end, and its trials again."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from rich.console import Console

from scoot_ray.cli import main
from scoot_ray.rerun.documents import judged
from scoot_ray.rerun.reproduce import (
    CannotReproduce,
    alone,
    conclude,
    confirmed_runs,
    evaluate_again,
    new_folder,
    read_past,
)
from scoot_ray.rerun.tables import reproduction_table
from scoot_ray.resolve import Resolved, resolve
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Bounded, Failed, FailureKind, Measured, Observation, Origin, Trial
from scoot_ray.simulation import Simulation
from scoot_ray.study import read_study
from scoot_ray.sweep import InlinePool, run_inline
from tests.fakes import Never, Silent
from tests.runs import make_run

REJECTED = Failed(FailureKind.REJECTED, "must be greater")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    base = tmp_path_factory.mktemp("reproduce")
    rows = [{"timestamp": 50 * i, "input_length": 100 + 7 * i % 300, "output_length": 10 + i % 20} for i in range(100)]
    (base / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "name": "small",
        "tuner": "random",
        "engine": {
            "kind": "simulated",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 1024},
            "hardware": {"accelerator": "A100-80G"},
        },
        "workload": {"trace": "trace.jsonl", "arrivals": {"rate": 10}, "duration_s": 10},
        "objectives": "interactive",
        "slos": ["ttft:p99<2s"],
        "space": {"max_num_seqs": {"type": "integer", "low": 1, "high": 64, "scale": "powers_of_two", "default": 64}},
        "budget": {"observations": 3, "deadline": "2020-01-01T00:00:00+00:00"},
        "confirmation": {"finalists": 1, "arrival_orders": 3, "max_arrival_orders": 3},
        "output": str(base / "runs"),
    }
    path = base / "study.yaml"
    path.write_text(yaml.safe_dump(document))
    run_inline(resolve(read_study(path), path), RunFolder(base / "runs" / "small"))
    return RunFolder(base / "runs" / "small")


@pytest.fixture
def resolved(run: RunFolder) -> Resolved:
    return resolve(read_study(run.study), run.study)


def again(
    resolved: Resolved, run: RunFolder, trial: int, repeats: int = 1, noise: float | None = None
) -> dict[str, Any]:
    past = read_past(resolved, run, trial)
    plan, own = alone(resolved, repeats), new_folder(run, past.seen.trial)
    engine = plan.study.engine if noise is None else plan.study.engine.model_copy(update={"noise": noise})
    study = plan.study.model_copy(update={"engine": engine})
    pool = InlinePool(Simulation(study, plan.trace.requests), own)
    found = evaluate_again(plan, own, past.again(repeats), pool, Never(), Silent())
    return conclude(plan, run, own, past, found)


def test_a_trial_in_virtual_time_gives_the_very_same_figures(run: RunFolder, resolved: Resolved) -> None:
    before = run.journal.names()
    found = again(resolved, run, trial=1)
    assert found["reproduced"]
    assert found["changes"] == []
    assert [one["difference"] for one in found["metrics"]] == [0.0, 0.0, 0.0]
    assert all("confirmation" in one["basis"] for one in found["metrics"])
    assert run.journal.names() == before
    assert json.loads((Path(found["folder"]) / "reproduction.json").read_text()) == found
    assert Path(found["folder"]).parent == run.path / "reproduced"


def test_repeats_draw_noise_of_their_own_and_agree(run: RunFolder, resolved: Resolved) -> None:
    found = again(resolved, run, trial=0, repeats=3)
    figures = [seen["outcome"]["measured"]["mean_tpot_ms"] for seen in found["now"]]
    assert len(set(figures)) == 3
    assert found["reproduced"]
    assert all("repeats" in one["basis"] for one in found["metrics"])


def test_a_confirmation_run_is_repeated_under_its_own_order(run: RunFolder, resolved: Resolved) -> None:
    trial = next(one for one in read_past(resolved, run, 0).log.trials if one.origin is Origin.CONFIRMATION)
    found = again(resolved, run, trial.id)
    assert found["orders"] == list(trial.orders) != [0]
    assert found["reproduced"]


def test_a_service_that_has_become_slower_is_found_out(run: RunFolder, resolved: Resolved) -> None:
    hardware = resolved.study.engine.hardware
    assert hardware is not None
    slower = hardware.model_copy(update={"accelerator": "A10"})
    engine = resolved.study.engine.model_copy(update={"hardware": slower})
    found = again(replace(resolved, study=resolved.study.model_copy(update={"engine": engine})), run, trial=0)
    assert not found["reproduced"]
    assert "mean_tpot_ms" in found["sentence"]
    out = io.StringIO()
    Console(file=out, width=100).print(*reproduction_table(found), sep="\n")
    assert "OUTSIDE" in out.getvalue()
    assert "Not reproduced" in out.getvalue()


def test_the_confirmation_gives_a_figure_for_each_order(run: RunFolder, resolved: Resolved) -> None:
    runs = confirmed_runs(read_past(resolved, run, 0).log, "mean_ttft_ms")
    assert [sorted(one) for one in runs] == [[1, 2, 3]] * len(runs)
    assert len(runs) == 2


def test_a_changed_environment_is_listed(run: RunFolder, resolved: Resolved) -> None:
    past = read_past(resolved, run, 0)
    own = new_folder(run, past.seen.trial)
    found = evaluate_again(
        resolved, own, past.again(1), InlinePool(Simulation(resolved.study, resolved.trace.requests), own), Never(),
        Silent(),
    )  # fmt: skip
    older = replace(past, environment={**past.environment, "python": "3.9.1", "engine_version": "0.1"})
    changes = conclude(resolved, run, own, older, found)["changes"]
    assert [(one["what"], one["then"]) for one in changes] == [("python", "3.9.1")]  # the engine said its own version


def seen(outcome: Measured | Bounded | Failed, trial: int = 7) -> Observation:
    return Observation(Trial(trial, {}, Origin.MODEL), outcome)


MEASURED = Measured({"mean_ttft_ms": 1.0})


@pytest.mark.parametrize(
    ("then", "now", "same", "said"),
    [
        (REJECTED, [REJECTED], True, "failed as rejected again"),
        (REJECTED, [MEASURED], False, "did not now"),
        (REJECTED, [Failed(FailureKind.OUT_OF_MEMORY, "no room")], False, "failed as out_of_memory now"),
        (REJECTED, [REJECTED, MEASURED], False, "again in 1 of 2 repeats"),
        (MEASURED, [REJECTED], False, "failed now: rejected: must be greater"),
        (MEASURED, [MEASURED], False, "no metric"),
    ],
)
def test_failures_are_reproduced_where_they_are_of_the_same_kind(
    then: Measured | Failed, now: list[Measured | Failed], same: bool, said: str
) -> None:
    found, sentence = judged(seen(then), [seen(outcome) for outcome in now], ())
    assert found is same
    assert said in sentence


def test_a_trial_that_failed_fails_the_same_way(run: RunFolder, tmp_path: Path) -> None:
    document = yaml.safe_load(run.study.read_text())
    document["engine"]["args"] = {"max_model_len": 1024, "gpu_memory_utilization": 0.1}
    document["workload"]["trace"] = "trace.jsonl"
    failed = Observation(Trial(0, {"max_num_seqs": 64}, Origin.DEFAULT), Failed(FailureKind.OUT_OF_MEMORY, "no room"))
    folder = make_run(tmp_path / "run", [failed], changes=document)
    resolved = resolve(read_study(folder.study), folder.study)
    resolved = replace(resolved, trace=replace(resolved.trace, sha256="c0ffee"))
    found = again(resolved, folder, trial=0)
    assert found["reproduced"], found["sentence"]
    assert found["metrics"] == []
    assert "out_of_memory" in found["sentence"]


def _another_trace(run: RunFolder) -> Path:
    folder = run.path.parent / "changed"
    document = yaml.safe_load(run.study.read_text())
    other = run.path.parent / "other.jsonl"
    other.write_text('{"timestamp": 0, "input_length": 8, "output_length": 4}\n')
    document["workload"]["trace"] = str(other)
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    if not (folder / "journal").exists():
        (folder / "journal").symlink_to(run.path / "journal")
    return folder


def _missing_trace(run: RunFolder) -> Path:
    folder = run.path.parent / "missing"
    document = yaml.safe_load(run.study.read_text())
    document["workload"]["trace"] = "gone.jsonl"
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(yaml.safe_dump(document))
    return folder


def _never_begun(run: RunFolder) -> Path:
    folder = run.path.parent / "fresh"
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(run.study.read_text())
    return folder


@pytest.mark.parametrize(
    ("where", "trial", "said"),
    [
        (lambda run: run.path, "99", "--trial: 99: is not in this run; allowed: 0 to 8"),
        (_another_trace, "0", "is not the file that this run has measured so far"),
        (_missing_trace, "0", "gone.jsonl"),
        (_never_begun, "0", "nothing has been evaluated"),
        (lambda run: run.path.parent / "nowhere", "0", "not the folder of a run"),
    ],
)
def test_a_mistake_is_one_line(run: RunFolder, where: Callable[[RunFolder], Path], trial: str, said: str) -> None:
    done = CliRunner().invoke(main, ["reproduce", str(where(run)), "--trial", trial])
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_trial_still_open_has_nothing_to_compare_with(run: RunFolder, resolved: Resolved, tmp_path: Path) -> None:
    open_one = tmp_path / "run"
    (open_one / "journal").mkdir(parents=True)
    for path in sorted((run.path / "journal").glob("0*.json"))[:2]:  # started, submitted
        (open_one / "journal" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(CannotReproduce, match="--trial: 0: has not ended; allowed: none yet"):
        read_past(resolved, RunFolder(open_one), 0)


def test_a_trace_that_has_moved_is_named_and_one_that_is_not_there_refused(run: RunFolder, tmp_path: Path) -> None:
    missing = tmp_path / "moved.jsonl"
    found = CliRunner().invoke(main, ["reproduce", str(run), "--trial", "0", "--trace", str(missing)])
    assert found.exit_code == 2
    assert str(missing) in found.output
