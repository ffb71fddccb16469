"""The search benchmark: services, cells in virtual time, judgement, scores, statistics, and a small run of it all."""

from __future__ import annotations

import fcntl
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.search import __main__ as command
from benchmarks.search.best_known import metrics_of, survey, usable_costs
from benchmarks.search.campaign import Campaign, OtherServices, read_survey, run
from benchmarks.search.cell import Cell, Step, finished, play, read_steps
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.judgement import checkpoints, judge, read_judgement, write_judgement
from benchmarks.search.pool import FolderInUse
from benchmarks.search.report import NothingToReport, write_report
from benchmarks.search.score import Yardstick, read_results, scores, yardsticks
from benchmarks.search.services import SERVICES, Scenario
from benchmarks.search.statistics import difference, mean_ranks
from scoot_ray.search import Failed, FailureKind, Measured, Metrics, Origin, Trial

NAMED = {scenario.name: scenario for scenario in SERVICES}


def small(name: str) -> Evaluator:
    return Evaluator(replace(NAMED[name], duration_s=6.0))


@pytest.fixture(scope="module")
def crashing() -> Evaluator:
    return small("bot-13b-2a10")


@pytest.fixture(scope="module")
def sound() -> Evaluator:
    return small("cls-7b-2a10")


def unclocked(steps: tuple[Step, ...]) -> list[Step]:
    return [replace(step, suggested_s=0.0) for step in steps]


def test_the_services_are_many_and_of_all_kinds() -> None:
    assert len(NAMED) == len(SERVICES) >= 12
    kinds = Counter((one.split, len(one.problem().objectives)) for one in SERVICES)
    assert all(kinds[split, objectives] >= 3 for split in ("dev", "judge") for objectives in (1, 2))
    for split in ("dev", "judge"):
        mine = [one for one in SERVICES if one.split == split]
        assert {one.application for one in mine} == {"sql", "bot", "cls", "rec"}
        assert {one.version for one in mine} == {"0.4.2", "0.32.0"}
        assert any(one.slos for one in mine)


@pytest.mark.parametrize("scenario", SERVICES, ids=lambda one: one.name)
def test_every_default_keeps_the_known_constraints_and_starts(scenario: Scenario) -> None:
    space = scenario.problem().space
    assert space.default is not None
    assert space.allows(space.default)
    outcome = Evaluator(replace(scenario, duration_s=3.0)).evaluate(space.default, None).outcome
    assert isinstance(outcome, Measured)
    assert scenario.problem().costs(outcome.metrics) is not None


def test_an_evaluation_depends_on_its_seed_alone(sound: Evaluator) -> None:
    config = sound.problem.space.default or {}
    first, again, other = (sound.evaluate(config, seed) for seed in ((3, 1), (3, 1), (3, 2)))
    assert first == again != other
    assert sound.evaluate(config, None) == sound.evaluate(config, None)


def test_a_start_that_fails_is_told_with_its_reason(crashing: Evaluator) -> None:
    config = {**(crashing.problem.space.default or {}), "tensor_parallel_size": 1}
    outcome = crashing.evaluate(config, None).outcome
    assert isinstance(outcome, Failed)
    assert outcome.kind is FailureKind.OUT_OF_MEMORY
    assert metrics_of(outcome) is None


def test_who_waits_in_vain_waits_to_the_timeout() -> None:
    evaluator = Evaluator(replace(NAMED["sql-13b-2l40s"], duration_s=6.0, timeout_s=10.0))
    one_at_a_time = {**(evaluator.problem.space.default or {}), "max_num_seqs": 1}
    evaluated = evaluator.evaluate(one_at_a_time, None)
    metrics = metrics_of(evaluated.outcome)
    assert metrics is not None
    assert metrics["error_rate"] > evaluator.problem.max_error_rate
    assert usable_costs(evaluator.problem, metrics) is None
    assert evaluated.took_s > evaluator.scenario.timeout_s


@given(st.integers(0, 99), st.floats(0, 1e6), st.booleans())
def test_a_step_survives_its_journal(number: int, began_s: float, failed: bool) -> None:
    outcome = Failed(FailureKind.CRASHED, "a\nb") if failed else Measured({"mean_ttft_ms": began_s})
    step = Step(Trial(number, {"a": 1, "b": True}, Origin.MODEL), outcome, began_s, began_s + 1, 0.5)
    line = step.to_json()
    assert "\n" not in line
    assert Step.from_json(line) == step


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_run_at_a_time_than_there_are_slots(crashing: Evaluator, tmp_path: Path, parallel: int) -> None:
    steps = play(Cell(0, parallel, "s", "random"), crashing, 10, tmp_path / "j.jsonl")
    assert [step.trial.id for step in steps] == list(range(10))
    for step in steps:
        running = [one for one in steps if one.began_s <= step.began_s < one.ended_s]
        assert len(running) == min(parallel, 10)
    assert steps[0].trial.origin is Origin.DEFAULT


def test_a_shorter_run_is_the_beginning_of_a_longer_one(crashing: Evaluator, tmp_path: Path) -> None:
    cell = Cell(1, 3, "s", "random")
    shorter = play(cell, crashing, 5, tmp_path / "a.jsonl")
    longer = play(cell, crashing, 9, tmp_path / "b.jsonl")
    assert unclocked(shorter) == unclocked(longer[:5])
    assert unclocked(play(cell, crashing, 9, tmp_path / "a.jsonl")) == unclocked(longer)
    assert read_steps(tmp_path / "a.jsonl")[:5] == shorter


def test_a_run_that_was_cut_off_goes_on_where_it_was(crashing: Evaluator, tmp_path: Path) -> None:
    cell, journal = Cell(2, 2, "s", "random"), tmp_path / "j.jsonl"
    whole = play(cell, crashing, 7, journal)
    text = journal.read_text()
    journal.write_text(text[: text.rindex("\n", 0, -200) + 30])
    assert unclocked(play(cell, crashing, 7, journal)) == unclocked(whole)
    assert len(read_steps(journal)) == 7


def test_observations_come_in_the_order_in_which_they_end() -> None:
    def step(number: int, ended_s: float) -> Step:
        return Step(Trial(number, {}, Origin.MODEL), Measured({}), 0.0, ended_s, 0.0)

    steps = (step(0, 9.0), step(1, 3.0), step(2, 5.0))
    assert [one.trial.id for one in finished(steps)] == [1, 2, 0]
    assert [one.trial.id for one in finished(steps, now_s=5.0)] == [1, 2]


def test_a_judgement_is_of_what_is_recommended_from_each_prefix(crashing: Evaluator, tmp_path: Path) -> None:
    steps = play(Cell(0, 1, "s", "random"), crashing, 8, tmp_path / "j.jsonl")
    judgement = judge("random", crashing, steps, 8)
    assert set(judgement.recommended) == set(checkpoints(8)) == {1, 3, 5, 8}
    assert all(trial < n for n, trials in judgement.recommended.items() for trial in trials)
    assert judgement.recommended[1] == (0,)
    first = crashing.evaluate(steps[0].trial.config, None).outcome
    assert judgement.at(1) == [metrics_of(first)] != [metrics_of(steps[0].outcome)]
    write_judgement(judgement, tmp_path / "judged.json")
    assert read_judgement(tmp_path / "judged.json") == judgement
    assert read_judgement(tmp_path / "none.json") is None


def test_a_long_search_finds_what_beats_the_default(sound: Evaluator) -> None:
    found = survey(sound, 60)
    default = sound.problem.costs(found.default.metrics)
    best = sound.problem.costs(found.best[0].metrics)
    assert default is not None
    assert best is not None
    assert best[0] < default[0]
    assert found == survey(sound, 60)
    assert found.evaluations == 60


def both(ttft_ms: float, tpot_ms: float, error_rate: float = 0.0) -> Metrics:
    return {"mean_ttft_ms": ttft_ms, "mean_tpot_ms": tpot_ms, "error_rate": error_rate}


def test_two_objectives_are_worth_their_hypervolume_up_to_the_default() -> None:
    problem = NAMED["bot-13b-2a10"].problem()
    log = Yardstick(problem, np.array([100.0, 10.0]), "log")
    assert log.value([both(100 / np.e, 10 / np.e)]) == pytest.approx(1.0)
    assert log.value([both(100 / np.e, 10 / np.e), both(100 / np.e**2, 10 / np.e**0.5)]) == pytest.approx(1.5)
    assert Yardstick(problem, np.array([100.0, 10.0]), "plain").value([both(50, 5)]) == pytest.approx(0.25)
    assert replace(log, best=1.5).regret([both(100 / np.e, 10 / np.e)]) == pytest.approx(1 / 3)


@pytest.mark.parametrize("worthless", [[], [None], [both(200, 5)], [both(50, 5, error_rate=0.5)]])
def test_what_cannot_be_used_or_is_worse_is_no_gain(worthless: list[Metrics | None]) -> None:
    assert Yardstick(NAMED["bot-13b-2a10"].problem(), np.array([100.0, 10.0]), "log").regret(worthless) == 1.0


def test_one_objective_is_worth_its_relative_gain() -> None:
    throughput = Yardstick(NAMED["rec-7b-a100"].problem(), np.array([-10.0]), "log")
    assert throughput.value([{"request_throughput": 15.0}]) == pytest.approx(0.5)
    assert throughput.value([{"request_throughput": 9.0}]) == 0.0
    latency = Yardstick(NAMED["cls-7b-2a10"].problem(), np.array([10.0]), "log")
    assert latency.value([{"p95_e2el_ms": 4.0}]) == pytest.approx(0.6)


def test_who_breaks_an_slo_gains_nothing() -> None:
    problem = next(one for one in SERVICES if one.slos and one.objectives == "throughput").problem()
    stick = Yardstick(problem, np.array([-10.0]), "log")
    limit = problem.slos[0]
    assert stick.value([{"request_throughput": 15.0, limit.metric: limit.limit * 0.9}]) == pytest.approx(0.5)
    assert stick.value([{"request_throughput": 15.0, limit.metric: limit.limit * 1.1}]) == 0.0


def test_a_difference_is_paired_and_of_what_both_have() -> None:
    rng = np.random.default_rng(0)
    other = {(service, seed): float(rng.random()) for service in "abcd" for seed in range(6)}
    subject = {pair: value - 0.1 for pair, value in other.items() if pair != ("a", 0)}
    found = difference(subject, other)
    assert found is not None
    assert found.pairs == 23
    assert found.mean == pytest.approx(-0.1)
    assert found.over_seeds == pytest.approx((-0.1, -0.1))
    assert difference({("a", 0): 1.0}, {("b", 0): 1.0}) is None
    alone = difference({("a", 0): 1.0, ("b", 0): 0.5}, {("a", 0): 0.0, ("b", 0): 0.0})
    assert alone is not None
    assert alone.over_seeds is None


def test_services_that_differ_widen_the_interval_over_services_alone() -> None:
    other = {(service, seed): 0.0 for service in "abcd" for seed in range(5)}
    subject = {(service, seed): {"a": -0.4, "b": 0.1}.get(service, 0.0) for service, seed in other}
    found = difference(subject, other)
    assert found is not None
    assert found.over_seeds == pytest.approx((found.mean, found.mean))
    assert found.over_services[0] < found.mean < found.over_services[1]


def test_ranks_are_among_all_and_shared_between_equals() -> None:
    means, pairs = mean_ranks({"x": {("a", 0): 0.1, ("b", 0): 0.5}, "y": {("a", 0): 0.1}, "z": {("a", 0): 0.9}})
    assert (means, pairs) == ({"x": 1.5, "y": 1.5, "z": 3.0}, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("search")
    lines = [progress.line for progress in run(campaign(folder), jobs=1)]
    assert len(lines) == 6
    assert not any("failed: " in line for line in lines)
    return folder


def campaign(folder: Path, **changes: Any) -> Campaign:
    scenarios = (NAMED["bot-13b-2a10"], NAMED["cls-7b-2a10"])
    return replace(Campaign(folder, scenarios, ("random",), 1, (2,), 15, 40), **changes)


def test_a_campaign_leaves_a_report_that_says_simulated(folder: Path) -> None:
    results = read_results(folder)
    sticks = yardsticks(folder, results, "log")
    scored = scores(results, sticks)
    assert {one.cell.scenario for one in scored} == {"bot-13b-2a10", "cls-7b-2a10"}
    assert all(-1e-9 <= one.regret <= 1 for one in scored)
    assert all(one.regret == 1 for one in scored if one.observations == 1)
    assert all(stick.best > 0 for stick in sticks.values())
    text = write_report(folder, "random", "log")
    assert "simulated" in text
    assert "| random | " in text
    assert (folder / "report.md").read_text() == text
    known = read_survey(folder, "cls-7b-2a10")
    assert known is not None
    assert known.evaluations == 40
    for path in (*folder.glob("best_known/*"), *folder.glob("judged/*/*/*")):
        assert json.loads(path.read_text())["simulated"] is True


def test_services_that_changed_are_refused(folder: Path) -> None:
    changed = (replace(NAMED["cls-7b-2a10"], rate=1.0),)
    with pytest.raises(OtherServices, match="cls-7b-2a10 is another service by now"):
        next(run(campaign(folder, scenarios=changed), jobs=1))


def test_two_runs_into_one_folder_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FolderInUse, match="another run is at work there"):
            next(run(campaign(tmp_path), jobs=1))


def test_a_folder_without_results_makes_no_report(tmp_path: Path) -> None:
    with pytest.raises(NothingToReport, match="no cell has been judged"):
        write_report(tmp_path, "scoot", "log")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--out", "x", "--tuners", "scoot,magic"], "'magic'; allowed: "),
        (["run", "--out", "x", "--services", "moon"], "'moon'; allowed: dev, judge, all, or of "),
        (["run", "--out", "x", "--pd", "1,0"], "'0'; allowed: whole numbers from 1 on"),
        (["stops", "--out", "nowhere"], "nowhere: no run of scoot, PD 1, has 60 observations"),
        (["report", "nowhere"], "nowhere: no cell has been judged"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["search", *arguments])
    try:
        code = command.main()
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    assert code == 2
    assert said in capsys.readouterr().err
