"""The soak of the winner: which load it is, what it must survive, and who stands in where it does not."""

from __future__ import annotations

import json
import os
import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from scoot_ray.cluster.deadline import deadline_s
from scoot_ray.cluster.loads import MemoryWatch
from scoot_ray.confirm import next_trials, starts
from scoot_ray.journal import Journal
from scoot_ray.load.hooks import NO_HOOKS, Progress
from scoot_ray.load.trace import Request, RequestRecord
from scoot_ray.log import Log
from scoot_ray.resolve import resolve
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Config, Failed, FailureKind, Measured, Objective, Observation, Origin, Outcome, Trial
from scoot_ray.soak import DRIFT, MEMORY, drift, soak_load, soaked
from scoot_ray.standing import standings
from scoot_ray.study import Confirmation, Soak, Study, parse_study, read_study
from scoot_ray.sweep import run_inline
from scoot_ray.tune import tune
from scoot_ray.verdict import Verdict, to_use, verdict
from tests.fakes import STUDY, After, FakeEvaluator, Never, Silent, problem, study, truth
from tests.unit.test_confirm import DEFAULT, confirm_all, searched
from tests.unit.test_results import document, printed, resolved

SOAK = Soak(duration_s=600)
SETTINGS = Confirmation(finalists=2, arrival_orders=4, soak=SOAK)
UNSOAKED = SETTINGS.model_copy(update={"soak": None})
GOAL = problem((Objective("mean_tpot_ms"),))
FINE = Measured({"completed": 100.0, "error_rate": 0.0, DRIFT: 0.1, MEMORY: 0.0})
DIED = Failed(FailureKind.OUT_OF_MEMORY, "CUDA out of memory")


def with_soak(**workload: object) -> Study:
    found = parse_study(STUDY, "study.yaml")
    changes = {"workload": {**found.workload.model_dump(exclude_none=True), **workload}}
    return Study.model_validate({**found.model_dump(exclude_none=True), **changes, "confirmation": SETTINGS})


def rows(lengths: list[int], gap_s: float = 1.0) -> list[Request]:
    return [Request(at * gap_s, length, 10, session=f"s{at}") for at, length in enumerate(lengths)]


def test_the_longest_tenth_is_replayed_at_the_study_s_rate() -> None:
    lengths = [(at * 37) % 100 + 1 for at in range(100)]
    requests, arrivals, duration_s = soak_load(with_soak(), rows(lengths))
    assert [one.input_tokens for one in requests] == [length for length in lengths if length > 90]
    assert (arrivals.process, arrivals.rate, duration_s) == ("poisson", 5.0, 600.0)
    assert len(soak_load(with_soak(), rows([5, 9]))[0]) == 1
    text = [Request(0.0, None, 1, prompt="x" * 400), Request(1.0, 20, 1)]
    assert soak_load(with_soak(), text)[0][0].prompt is not None


@pytest.mark.parametrize(
    ("arrivals", "rate"),
    [({"process": "recorded", "time_scale": 0.5}, 4.0), ({"process": "ramp", "rate": 1.0, "end_rate": 3.0}, 2.0)],
)
def test_a_pattern_of_the_trace_becomes_its_mean_rate(arrivals: dict[str, object], rate: float) -> None:
    _, offered, _ = soak_load(with_soak(arrivals=arrivals), rows([1] * 101, gap_s=0.5))
    assert (offered.process, offered.rate) == ("poisson", rate)


def record(at_s: float, took_s: float, error: str | None = None) -> RequestRecord:
    return RequestRecord(0, at_s, at_s, done_s=at_s + took_s, error=error)


def test_drift_is_from_the_first_third_to_the_last() -> None:
    steady = [record(float(at), 2.0 if at < 60 else 3.0) for at in range(90)]
    assert drift(steady)[DRIFT] == pytest.approx(0.5)
    assert drift(steady[:30]) == {}
    assert drift([]) == {}
    failing = [record(float(at), 9.0, "timeout") if at > 70 else steady[at] for at in range(90)]
    assert drift(failing) == {}, "11 successes are too few to tell"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (DIED, "CUDA out of memory"),
        (Measured({"completed": 9.0, "error_rate": 0.03}), "3.0% of its requests failed; allowed are 1.0%"),
        (Measured({"completed": 9.0, DRIFT: 0.8}), "latency grew by 80% from the first third to the last"),
        (Measured({"completed": 9.0, MEMORY: 0.3}), "the engine's memory grew by 30%"),
        (FINE, None),
        (Measured({"completed": 9.0, DRIFT: -0.4}), None),
    ],
)
def test_what_a_soak_must_survive(outcome: Outcome, said: str | None) -> None:
    trial = Trial(0, DEFAULT, Origin.SOAK)
    log = Log().with_trial(trial).with_observation(Observation(trial, outcome))
    found = soaked(SOAK, 0.01, log, DEFAULT)
    assert found is not None
    assert (found.failure is None) == (said is None)
    assert (said or "survived a soak of 600 s") in found.line
    lenient = Soak(duration_s=1, max_drift=None, max_memory_growth=None)
    again = soaked(lenient, 0.5, log, DEFAULT)
    assert again is not None
    assert (again.failure is None) == isinstance(outcome, Measured)
    assert soaked(None, 0.01, log, DEFAULT) is None


@cache
def confirmed(deaths: int = 0) -> Log:
    """The confirmation and its soaks; the first ``deaths`` of these die."""
    log, left = confirm_all(GOAL, UNSOAKED, searched(GOAL), random.Random(5), 0.02), deaths
    while trials := next_trials(GOAL, SETTINGS, log, 9):
        for trial in trials:
            log = log.with_trial(trial)
            assert next_trials(GOAL, SETTINGS, log, 9) == () or trial.origin is Origin.CONFIRMATION
            outcome: Outcome = again(trial.config)
            if trial.origin is Origin.SOAK:
                outcome, left = (DIED if left > 0 else FINE), left - 1
            log = log.with_observation(Observation(trial, outcome, "node-a", {"load_s": 600.0}))
    return log


def again(config: Config) -> Measured:
    outcome = truth(config)
    assert isinstance(outcome, Measured)
    return outcome


def used(log: Log, settings: Confirmation = SETTINGS) -> Config:
    found = to_use(verdict(GOAL, settings, log), standings(GOAL, settings, log))
    assert found is not None
    return found.contestant.config


def soaks_of(log: Log) -> list[Trial]:
    return [trial for trial in log.trials if trial.origin is Origin.SOAK]


def test_the_winner_alone_is_soaked_once() -> None:
    log = confirmed()
    (soak,) = soaks_of(log)
    assert soak.config == used(log) == used(log, UNSOAKED)
    assert log.spent == len(searched(GOAL).trials), "a soak costs no budget"
    assert soak.id not in {seen.trial.id for seen in (*log.searched, *log.confirmed)}
    assert starts(GOAL, SETTINGS) == starts(GOAL, UNSOAKED) + 2


def test_the_next_finalist_stands_in_for_one_that_does_not_survive() -> None:
    first = used(confirmed())
    log = confirmed(1)
    assert [trial.config for trial in soaks_of(log)] == [first, used(log)]
    assert used(log) not in (first, DEFAULT)
    (lost,) = [one for one in standings(GOAL, SETTINGS, log) if one.contestant.config == first]
    assert lost.failure is not None
    assert "did not survive the soak of 600 s at the longest contexts" in lost.failure


def test_what_runs_today_stands_in_for_all_of_them_unsoaked() -> None:
    log = confirmed(2)
    assert used(log) == DEFAULT
    assert DEFAULT not in [trial.config for trial in soaks_of(log)]


def test_without_a_winner_nothing_is_soaked() -> None:
    log = confirm_all(GOAL, SETTINGS, searched(GOAL), random.Random(1), 3.0)
    assert used(log) == DEFAULT
    assert soaks_of(log) == []


def test_a_stand_in_is_judged_as_strictly_as_before() -> None:
    """Who did better and fell was compared, too; who failed while it was measured again was not."""
    fell, first = confirmed(1), used(confirmed())
    crashed = [
        replace(seen, outcome=DIED) if seen.trial.config == first else seen
        for seen in fell.observations
        if seen.trial.origin is not Origin.SOAK
    ]
    without = verdict(GOAL, SETTINGS, replace(fell, observations=(*fell.searched, *crashed[len(fell.searched) :])))
    assert width(verdict(GOAL, SETTINGS, fell)) > width(without)


def width(found: Verdict | None) -> float:
    assert found is not None
    (change,) = found.changes
    assert change.low is not None
    assert change.high is not None
    return change.high - change.low


def test_the_result_says_what_became_of_the_soak() -> None:
    plan = resolved(GOAL)
    plan = replace(plan, study=plan.study.model_copy(update={"confirmation": SETTINGS}))
    fine = document(plan, confirmed())
    assert "It survived a soak of 600 s at the longest contexts: 100 requests, 0.0% of them failed" in fine["sentence"]
    (soak,) = [one["soak"] for one in fine["confirmation"] if one["soak"]]
    assert soak["figures"][DRIFT] == 0.1
    fell = document(plan, confirmed(1))
    assert "not survive the soak: 1 of the finalists" in fell["sentence"]
    assert "CUDA out of memory" in printed(fell, width=400)
    assert fell["recommended"]["config"] != fine["recommended"]["config"]


class _Confirming:
    """Confirms a search that is over."""

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        return ()

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        return next_trials(GOAL, SETTINGS, log, count)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_driver_s_soak_runs_again_and_once(seed: int, tmp_path: Path) -> None:
    rng, plan = random.Random(seed), study()
    journal = Journal(tmp_path)
    log = journal.replay()
    for seen in searched(GOAL).observations:
        log = journal.observed(journal.submitted(log, seen.trial), seen)
    for looks in [*[rng.randint(1, 8) for _ in range(5)], None]:
        journal = Journal(tmp_path)
        stop = Never() if looks is None else After(looks)
        evaluator = FakeEvaluator(rng, lambda: rng.randint(1, 3), fault_rate=0.2)
        log = tune(plan, journal.started(journal.replay(), {}), _Confirming(), evaluator, journal, stop, Silent())
    assert not log.open
    assert len(soaks_of(log)) == 1
    assert [trial.id for trial in log.trials] == list(range(len(log.trials)))
    assert journal.replay().trials == log.trials


@pytest.fixture
def simulated(tmp_path: Path) -> dict[str, Any]:
    rng = random.Random(0)
    trace = [{"timestamp": i, "input_length": rng.randint(50, 1500), "output_length": 40} for i in range(200)]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in trace))
    return {
        "name": "soaked",
        "tuner": "random",
        "engine": {
            "kind": "simulated",
            "version": "0.4.2",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A10", "count": 1},
        },
        "workload": {"trace": "trace.jsonl", "arrivals": {"rate": 1.5}, "duration_s": 20},
        "objectives": [{"metric": "mean_ttft_ms", "direction": "minimize"}],
        "space": {
            "max_num_seqs": {"type": "integer", "low": 1, "high": 64, "scale": "powers_of_two", "default": 1},
        },
        "budget": {"observations": 4},
        "confirmation": {"finalists": 2, "arrival_orders": 3, "soak": {"duration_s": 120}},
        "output": str(tmp_path / "runs"),
    }


@pytest.mark.parametrize(("max_drift", "survives"), [(None, True), (0.001, False)])
def test_a_simulated_study_ends_with_its_soak(
    tmp_path: Path, simulated: dict[str, Any], max_drift: float | None, survives: bool
) -> None:
    simulated["confirmation"]["soak"]["max_drift"] = max_drift
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(simulated))
    plan = resolve(read_study(path), path)
    folder = RunFolder(tmp_path / "runs" / "soaked")
    result = json.loads(json.dumps(run_inline(plan, folder)))
    log = Journal(folder.journal).replay()
    last = log.observations[-1]
    assert last.trial.origin is Origin.SOAK
    assert isinstance(last.outcome, Measured)
    assert last.timings["load_s"] > 100
    assert last.outcome.metrics["offered_rate"] == pytest.approx(1.5, rel=0.2)
    assert DRIFT in last.outcome.metrics
    soaks = [one["soak"] for one in result["confirmation"] if one["soak"]]
    assert [one["failure"] is None for one in soaks] == [True] if survives else any(one["failure"] for one in soaks)
    assert result["budget"]["spent"] == 4
    assert run_inline(plan, folder)["recommended"] == result["recommended"]


def test_a_soak_has_the_time_it_takes() -> None:
    plan = with_soak()
    usual, soak = Trial(0, DEFAULT, Origin.CONFIRMATION), Trial(0, DEFAULT, Origin.SOAK)
    assert deadline_s(plan, soak) - deadline_s(plan, usual) == 600 - plan.workload.duration_s


def test_memory_is_looked_at_now_and_then() -> None:
    told: list[Progress] = []
    watch = MemoryWatch(lambda: [os.getpid(), 2**22 + 1], 60.0)
    hooks = watch.beside(replace(NO_HOOKS, on_progress=told.append))
    assert hooks.on_progress is not None
    for tenth in range(100):
        hooks.on_progress(Progress(1, 0, 0, 0, tenth / 10))
    assert len(told) == 100
    assert abs(watch.grown[MEMORY]) < 0.5
    assert MemoryWatch(list, 60.0).grown == {}
