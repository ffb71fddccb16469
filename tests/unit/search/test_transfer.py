"""Warm starts: other studies' configurations made ours, their winners first, and a prior that misleads only briefly."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.search import Config, Measured, Metrics, Objective, Observation, Origin, Problem, suggest, taken_in, warm
from scoot_ray.search.beliefs import LOGARITHMIC, believe
from scoot_ray.search.parameters import Boolean, Choice, Integer
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.transfer import lessons
from tests.unit.search.problems import ENGINE, PLANE, bowl, observe, random_history, study

TAIL = Problem(PLANE, [Objective("p95_e2el_ms")])


def slower(config: Config) -> Metrics | None:
    """A related service: the same bowl, three times as slow."""
    metrics = bowl(config)
    return None if metrics is None else {name: 3 * value for name, value in metrics.items()}


def upside_down(config: Config) -> Metrics | None:
    """A service for which the opposite holds."""
    metrics = bowl(config)
    return None if metrics is None else {"p95_e2el_ms": 3e6 / metrics["p95_e2el_ms"]}


def elsewhere(there: object, count: int = 20) -> list[Observation]:
    rng = np.random.default_rng(5)
    configs = [PLANE.decode(rng.random(2)) for _ in range(count)]
    assert callable(there)
    return [observe(i, config, Origin.INITIAL, there(config)) for i, config in enumerate(configs)]


def best(history: list[Observation]) -> float:
    return min(o.outcome.metrics["p95_e2el_ms"] for o in history if isinstance(o.outcome, Measured))


def test_configurations_are_put_into_the_space() -> None:
    space = SearchSpace(
        [
            Integer("n", 8, 64, scale="powers_of_two"),
            Choice("block", (16, 32)),
            Choice("p", ("x", "y")),
            Boolean("new"),
        ],
        default={"n": 16, "block": 16, "p": "x", "new": True},
    )
    there = [
        observe(0, {"n": 32, "block": 32, "p": "y", "gone": 7}, Origin.MODEL, {"p95_e2el_ms": 1.0}),
        observe(1, {"n": 1000, "block": 8, "p": "z"}, Origin.MODEL, {"p95_e2el_ms": 2.0}),
    ]
    found = taken_in(space, "other", there, 0.5, same_engine=False)
    assert [o.trial.config for o in found.history] == [{"n": 32, "block": 32, "p": "y", "new": True}]
    assert [o.trial.config for o in found.beyond] == [{"n": 64, "block": 16, "p": "x", "new": True}]


@given(st.integers(0, 10_000), st.floats(0.0, 0.9))
@settings(max_examples=30, deadline=None)
def test_winners_are_few_allowed_distinct_and_new(seed: int, similarity: float) -> None:
    problem = Problem(ENGINE, [Objective("p95_e2el_ms")])
    histories = [random_history(ENGINE, ["p95_e2el_ms"], 12, 0.3, seed + i) for i in range(4)]
    earlier = [taken_in(ENGINE, str(i), h, similarity, same_engine=False) for i, h in enumerate(histories)]
    winners = warm(problem, earlier).winners
    assert len(winners) <= 3
    assert all(ENGINE.allows(config) for config in winners)
    keys = [ENGINE.key(config) for config in (*winners, ENGINE.default or {})]
    assert len(set(keys)) == len(keys)
    for config in winners:
        ENGINE.validate(config)


def test_winners_follow_the_default_and_the_baseline() -> None:
    problem = warm(TAIL, [taken_in(PLANE, "other", elsewhere(slower), 0.6, same_engine=False)])
    first = suggest("random", problem, (), (), 5, 0, 0)
    assert [s.origin for s in first] == [Origin.DEFAULT, *[Origin.WARM_START] * 3, Origin.INITIAL]
    ranked = sorted(elsewhere(slower), key=lambda o: best([o]) if isinstance(o.outcome, Measured) else np.inf)
    assert [s.config for s in first[1:4]] == [o.trial.config for o in ranked[:3]]
    told = [observe(i, s.config, s.origin, bowl(s.config)) for i, s in enumerate(first[:4])]
    assert [s.origin for s in suggest("scoot", problem, told, (), 2, 0, 4)] == [Origin.MODEL, Origin.MODEL]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_sample_is_short_only_while_a_history_holds_here(sign: float) -> None:
    def here(config: Config) -> Metrics:
        return {"p95_e2el_ms": 1e5 / float(config["max_num_seqs"]) * (2.0 if config["enable_prefix_caching"] else 1.0)}

    goal = Problem(ENGINE, [Objective("p95_e2el_ms")])
    rng = np.random.default_rng(3)
    configs = [ENGINE.decode(rng.random(ENGINE.dimension)) for _ in range(20)]
    there = [
        observe(i, c, Origin.MODEL, {"p95_e2el_ms": here(c)["p95_e2el_ms"] ** sign}) for i, c in enumerate(configs)
    ]
    problem = warm(goal, [taken_in(ENGINE, "other", there, 0.6, same_engine=False)])
    origins = [o.trial.origin for o in study("scoot", problem, here, 9, seed=0)]
    winners = len(problem.winners)
    assert origins[: 1 + winners] == [Origin.DEFAULT, *[Origin.WARM_START] * winners]
    drawn = origins.count(Origin.INITIAL)
    assert drawn == 2 if sign > 0 else drawn > 2


def test_a_related_service_saves_most_of_the_search() -> None:
    problem = warm(TAIL, [taken_in(PLANE, "other", elsewhere(slower), 0.6, same_engine=False)])
    cold, warmed = (best(study("scoot", goal, bowl, 6, seed=0)) for goal in (TAIL, problem))
    assert warmed < 1100
    assert warmed < cold


def test_a_misleading_one_costs_a_few_observations() -> None:
    problem = warm(TAIL, [taken_in(PLANE, "other", elsewhere(upside_down), 0.9, same_engine=True)])
    assert best(study("scoot", problem, bowl, 20, seed=0)) < 1100


@pytest.mark.parametrize(("there", "believed"), [(slower, True), (upside_down, False)])
def test_a_history_is_believed_as_far_as_it_explains_what_is_seen(there: object, believed: bool) -> None:
    problem = warm(TAIL, [taken_in(PLANE, "other", elsewhere(there), 0.6, same_engine=False)])
    rng = np.random.default_rng(8)
    seen = [
        observe(i, c, Origin.INITIAL, bowl(c)) for i, c in enumerate(PLANE.decode(rng.random(2)) for _ in range(12))
    ]
    beliefs = believe(problem, seen, LOGARITHMIC)
    assert beliefs is not None
    share = sum(factor for _, factor in beliefs.objectives[0].prior.surfaces)
    assert share > 0.5 if believed else share < 0.05


def test_no_history_is_no_prior() -> None:
    beliefs = believe(TAIL, elsewhere(bowl), LOGARITHMIC)
    assert beliefs is not None
    assert not np.any(beliefs.objectives[0].prior(PLANE.features(np.random.default_rng(0).random((4, 2)))))


def test_failures_elsewhere_teach_only_where_the_engine_is_the_same() -> None:
    there = elsewhere(slower)
    for same in (True, False):
        problem = warm(TAIL, [taken_in(PLANE, "other", there, 0.6, same_engine=same)])
        assert len(lessons(problem, ())) == (len(there) if same else 0)


def test_suggestions_are_a_function_of_the_histories_too() -> None:
    problem = warm(TAIL, [taken_in(PLANE, "other", elsewhere(slower), 0.6, same_engine=True)])
    seen = study("scoot", problem, bowl, 5, seed=0)
    again: Problem = pickle.loads(pickle.dumps(problem))
    assert suggest("scoot", problem, seen, (), 2, 0, 5) == suggest("scoot", again, seen, (), 2, 0, 5)


def test_histories_without_the_objective_or_of_failures_alone_are_harmless() -> None:
    others = [observe(i, {"a": 0.5, "b": 0.1 * i}, Origin.MODEL, {"mean_ttft_ms": 1.0}) for i in range(6)]
    failed = [observe(i, {"a": 0.8, "b": 0.05 * i}, Origin.MODEL, None) for i in range(6)]
    problem = warm(
        TAIL, [taken_in(PLANE, n, h, 0.0, same_engine=True) for n, h in (("o", others), ("f", failed), ("e", []))]
    )
    assert problem.winners == ()
    assert len(study("scoot", problem, bowl, 6, seed=0)) == 6
