"""What the search benchmark compares beside tuners: variants, warm starts, trials at a time, fronts, stops, the bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.search import relatives, speed, stopping
from benchmarks.search.bar import Demand, bar
from benchmarks.search.cell import Cell, Step, play
from benchmarks.search.comparison import Comparison
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.feasible import Kind, kind_of
from benchmarks.search.files import write_json
from benchmarks.search.fronts import diversity, front
from benchmarks.search.groups import groups
from benchmarks.search.parallelism import Course, course, duration
from benchmarks.search.relatives import WARM, find_scenario, opposite, shuffled, sources, told
from benchmarks.search.score import Score, Yardstick
from benchmarks.search.services import SERVICES, Scenario
from benchmarks.search.stopping import Stop, Stops, rule_ends, stops_table
from benchmarks.search.tables import by_group, variants
from benchmarks.search.variants import ABLATION, base, propose_next
from scoot_ray.search import (
    Failed,
    FailureKind,
    Integer,
    Measured,
    Objective,
    Observation,
    Origin,
    Problem,
    SearchSpace,
    Trial,
)
from scoot_ray.search.scoot import SCOOT, SCOOT_PAPER

NAMED = {scenario.name: scenario for scenario in SERVICES}
ONE = Problem(SearchSpace([Integer("n", 0, 100)]), [Objective("mean_ttft_ms")])
BOTH = NAMED["bot-13b-2a10"].problem()


def score(tuner: str, regret: float, n: int = 30, seed: int = 0, pd: int = 1, service: str = "bot-13b-2a10") -> Score:
    return Score(Cell(seed, pd, service, tuner), n, regret, failures=3, virtual_s=3600.0 * n / pd)


def comparison(*scores: Score) -> Comparison:
    return Comparison(scores, "scoot")


def history(*values: float | None) -> list[Observation]:
    outcomes = [Failed(FailureKind.CRASHED, "") if v is None else Measured({"mean_ttft_ms": v}) for v in values]
    return [Observation(Trial(i, {"n": i}, Origin.MODEL), outcome) for i, outcome in enumerate(outcomes)]


def ttft_ms(observations: Sequence[Observation]) -> list[float | None]:
    return [o.outcome.metrics["mean_ttft_ms"] if isinstance(o.outcome, Measured) else None for o in observations]


def test_every_variant_differs_from_its_tuner_in_one_thing() -> None:
    whole = {"scoot": SCOOT, "scoot-paper": SCOOT_PAPER}
    for name, settings in ABLATION.items():
        fields = [
            field for field in settings.__slots__ if getattr(settings, field) != getattr(whole[base(name)], field)
        ]
        assert len(fields) == 1 or set(fields) == {"one_objective", "two_objectives"}, name


def test_variants_suggest_as_their_tuner_until_the_models_do() -> None:
    for tuner in ("scoot/no-forest", "scoot/related", "scoot"):
        found = propose_next(tuner, BOTH, (), (), 3, 0, 0)
        assert found == propose_next("scoot", BOTH, (), (), 3, 0, 0)
        assert found[0].config == BOTH.space.default


@pytest.mark.parametrize("tuner", ["scoot", "scoot-paper/no-forest"])
def test_a_cell_is_found_again_from_its_path(tuner: str, tmp_path: Path) -> None:
    cell = Cell(3, 8, "bot-13b-2a10", tuner)
    assert Cell.of(cell.path(tmp_path, ".json"), tmp_path) == cell


@pytest.mark.parametrize("scenario", SERVICES, ids=lambda one: one.name)
def test_relatives_can_be_tuned(scenario: Scenario) -> None:
    for other in relatives.relatives(scenario):
        assert find_scenario(other.name) == other
        assert other.application == scenario.application
        assert (other.rate, other.model) != (scenario.rate, scenario.model)
        evaluator = Evaluator(replace(other, duration_s=1.0))
        assert isinstance(evaluator.evaluate(evaluator.problem.space.default or {}, None).outcome, Measured)


def test_an_opposite_history_turns_the_order_around_and_leaves_failures() -> None:
    there = history(10.0, None, 1000.0, 100.0, 200.0)
    assert ttft_ms(opposite(ONE, there, 0)) == [1000.0, None, 10.0, 200.0, 100.0]
    assert opposite(ONE, [], 0) == []


def test_a_shuffled_history_has_the_same_outcomes_elsewhere() -> None:
    there = history(*range(1, 20), None)
    found = shuffled(ONE, there, 1)
    assert [o.trial for o in found] == [o.trial for o in there]
    assert sorted(ttft_ms(found)[:-1], key=float) == ttft_ms(there)[:-1] != ttft_ms(found)[:-1]  # type: ignore[arg-type]  # none of these is None
    assert ttft_ms(found)[-1] is None
    assert ttft_ms(found) == ttft_ms(shuffled(ONE, there, 1))


def test_a_warm_start_is_told_of_its_relatives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relatives, "SOURCE_BUDGET", 5)
    name = "cls-7b-2a10"
    assert sources(Cell(0, 1, name, "scoot")) == ()
    cell = Cell(0, 4, name, "scoot/related")
    before = sources(cell)
    assert [one.scenario for one in before] == [f"{name}~rate", f"{name}~model"]
    assert {(one.tuner, one.parallel, one.seed) for one in before} == {("scoot", 1, 1)}
    problem = NAMED[name].problem()
    with pytest.raises(ValueError, match="its history has 0 of 5 observations"):
        told(problem, cell, tmp_path)
    for one in before:
        evaluator = Evaluator(replace(find_scenario(one.scenario), duration_s=3.0))
        play(replace(one, tuner="random"), evaluator, 5, one.path(tmp_path, ".jsonl"))
    warmed = told(problem, cell, tmp_path)
    assert [earlier.same_engine for earlier in warmed.earlier] == [True, False]
    assert warmed.earlier[0].similarity > warmed.earlier[1].similarity > 0
    assert warmed.winners
    assert told(problem, Cell(0, 1, name, "scoot"), tmp_path) is problem


def test_what_a_larger_pd_needs_is_read_between_checkpoints() -> None:
    found = Course([5, 10, 20], [0.8, 0.4, 0.2], [50.0, 100.0, 200.0])
    assert found.reaches(0.8) == 5
    assert found.reaches(0.3) == pytest.approx(15)
    assert found.reaches(0.1) is None
    assert found.ended_s(15) == pytest.approx(150)


def test_a_course_is_of_the_longest_cells_alone() -> None:
    part = comparison(score("scoot", 0.5, 30), score("scoot", 0.3, 60), score("scoot", 0.9, 30, seed=1))
    found = course(part, "scoot", 1)
    assert found is not None
    assert (found.observations, found.regrets) == ([30, 60], [0.5, 0.3])
    assert course(part, "scoot", 8) is None


def test_the_tuning_time_table_says_what_a_larger_pd_saves() -> None:
    alone = [score("scoot", 0.5, 15), score("scoot", 0.2, 30)]
    eight = [score("scoot", 0.6, 15, pd=8), score("scoot", 0.3, 30, pd=8), score("scoot", 0.1, 60, pd=8)]
    sixteen = [score("scoot", 0.6, 15, pd=16), score("scoot", 0.3, 30, pd=16)]
    lines = duration(comparison(*alone, *eight, *sixteen))
    assert "| scoot | 1 | 30.00 | 1.0 | 30 | +0 | 30.00 | 1 |" in lines
    assert "| scoot | 8 | 3.75 | 8.0 | 45 | +15 | 5.62 | 1 |" in lines
    assert "| scoot | 16 | 1.88 | 16.0 | over 30 | over 0 |  | 1 |" in lines


def ms(ttft: float, tpot: float) -> Mapping[str, float]:
    return {"mean_ttft_ms": ttft, "mean_tpot_ms": tpot, "error_rate": 0.0}


def test_a_front_has_what_beats_the_default_and_is_not_dominated() -> None:
    stick = Yardstick(BOTH, np.array([100.0, 10.0]), "log")
    found = front(stick, [ms(10, 5), ms(50, 5), ms(50, 2), ms(10, 5), ms(1, 20), None])
    assert found == pytest.approx(np.log([[0.1, 0.5], [0.5, 0.2]]))
    assert front(stick, [None]).shape == (0, 2)


def test_a_front_is_as_diverse_as_it_covers_the_best_known_one() -> None:
    known = -np.array([[4.0, 1.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
    whole = diversity(known, known, ())
    assert (whole.points, whole.covered, whole.joint) == (4, 1.0, 4)
    assert whole.spacing == pytest.approx(0.0, abs=1e-9)
    assert whole.single == pytest.approx(6 / 10)
    half = diversity(known[:2] + 0.5, known, [known])
    assert (half.points, half.joint, half.spacing) == (2, 0, None)
    assert half.covered == pytest.approx(1 / 4)  # a part lies beyond the best known range
    assert diversity(known[:0], known, [known]).points == 0


def test_kinds_are_counted_and_make_groups(tmp_path: Path) -> None:
    counted = kind_of(Evaluator(replace(NAMED["bot-13b-2a10"], duration_s=3.0)), points=12)
    assert 0 < counted.crashed < 1
    assert counted.crashed + counted.erroneous + counted.broken + counted.better <= 1
    hard, easy = Kind(0.5, 0.0, 0.0, 0.02), Kind(0.0, 0.0, 0.0, 0.5)
    for name, kind in (("bot-13b-2a10", hard), ("cls-7b-2a10", easy)):
        shares: dict[str, Any] = {slot: getattr(kind, slot) for slot in kind.__slots__}
        write_json(tmp_path / "kinds" / f"{name}.json", shares)
    found = groups(tmp_path, ["bot-13b-2a10", "cls-7b-2a10", "bot-7b-2a10"])
    assert found["hard"] == found["crashing"] == found["two objectives"] == {"bot-13b-2a10"}
    assert found["easy"] == {"cls-7b-2a10"}
    assert found["with SLOs"] == {"bot-7b-2a10"}
    assert len(found["all"]) == 3
    part = comparison(score("scoot", 0.2), score("scoot", 0.4, service="cls-7b-2a10"))
    assert "| hard (1) | 0.200 |" in by_group(part, found)
    assert "| easy (1) | 0.400 |" in by_group(part, found)


def test_variants_are_compared_with_what_they_are_variants_of() -> None:
    scores = [score("scoot", 0.2, seed=seed) for seed in range(3)]
    scores += [score("scoot/no-forest", 0.3, seed=seed) for seed in range(3)]
    lines = variants(comparison(*scores), [*ABLATION], [30])
    assert len(lines) == 4
    assert lines[2].startswith("| 1 | 30 | scoot/no-forest | 0.300 | 0.200 | 1.50 | +0.100 |")


def pairs(*regrets: float) -> dict[tuple[str, int], float]:
    return {(service, seed): regret for service in "ab" for seed, regret in enumerate(regrets)}


@pytest.mark.parametrize(
    ("subject", "other", "most", "clear", "verdict"),
    [
        ((0.1, 0.12), (0.3, 0.3), 0.5, True, "yes"),
        ((0.2, 0.2), (0.3, 0.3), 0.5, True, "no"),
        ((0.0, 0.9), (2.0, 0.1), 0.5, True, "no"),  # half of it, but not clear of zero
        ((0.2, 0.2), (0.2, 0.2), 1.0, False, "yes"),
        ((0.2, 0.4), (0.25, 0.3), 1.0, False, "not told apart"),
        ((0.4, 0.5), (0.2, 0.3), 1.0, False, "no"),
        ((0.22, 0.22), (0.2, 0.2), 1.2, False, "yes"),
        ((), (0.2, 0.3), 1.0, False, ""),
    ],
)
def test_a_line_of_the_bar_is_reached_or_not(
    subject: tuple[float, ...], other: tuple[float, ...], most: float, clear: bool, verdict: str
) -> None:
    assert Demand("", pairs(*subject), pairs(*other), most, clear).verdict() == verdict


def test_the_bar_has_a_line_for_each_demand_measured_or_not() -> None:
    lines = bar(comparison(score("scoot", 0.1), score("scoot-paper", 0.4), score("scoot", 0.3, 15)))
    assert len(lines) == 2 + 7 + 1 + 2 + len(WARM) + 1
    assert any("half of scoot-paper's" in line and line.endswith("| yes |") for line in lines)
    assert any("at 15 no worse" in line and line.endswith("| yes |") for line in lines)
    assert any("half of tpe's" in line and "not measured" in line for line in lines)


def test_each_rule_ends_a_run_where_it_first_would(monkeypatch: pytest.MonkeyPatch) -> None:
    gains = {6: 0.04, 7: 0.03, 8: 0.06, 9: 0.001}
    monkeypatch.setattr(stopping, "expected_gain", lambda _p, h, _s: gains.get(len(h)))
    monkeypatch.setattr(
        stopping, "out_of_patience", lambda _p, rule, h, _s: "enough" if len(h) >= rule.observations else None
    )
    steps = [Step(o.trial, o.outcome, float(i), i + 1.0, 0.0) for i, o in enumerate(history(*range(1, 11)))]
    ends = rule_ends(BOTH, steps, 0)
    assert (ends["patience: 5"], ends["patience: 8"], ends["patience: 12"]) == (5, 8, 10)
    assert (ends["expected_gain: 0.05"], ends["expected_gain: 0.02"], ends["expected_gain: 0.005"]) == (6, 9, 9)


def test_what_a_stop_saves_and_loses_is_told() -> None:
    stick = Yardstick(BOTH, np.array([100.0, 10.0]), "log", best=2.0)
    whole = Stop("", 60, 7200.0, (ms(100 / np.e, 10 / np.e),))
    found = [Stops(Cell(0, 1, "bot-13b-2a10", "scoot"), whole, (Stop("patience: 5", 20, 3600.0, (None,)),))]
    lines = stops_table(found, {"bot-13b-2a10": stick})
    assert lines[2].startswith("| patience: 5 | 1 | 1 | 20.0 | 1.00 | 1.000 | 0.500 | +0.500 |")


def test_the_history_that_is_timed_is_long_enough_and_of_distinct_configurations() -> None:
    evaluator = Evaluator(replace(NAMED["bot-13b-2a10"], duration_s=2.0))
    found = speed.searched(evaluator, 25, 0)
    problem: Problem = evaluator.problem
    assert len(found) == len({problem.space.key(o.trial.config) for o in found}) == 25
    assert found[0].trial.origin is Origin.DEFAULT
    assert all(problem.space.allows(o.trial.config) for o in found)
    assert set(speed.SERVICES) <= {one.name for one in SERVICES if one.split == "dev"}
