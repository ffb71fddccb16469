"""When a search has found what it will find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scoot_ray.search import (
    SLO,
    Config,
    Float,
    Metrics,
    Objective,
    Observation,
    Origin,
    Problem,
    SearchSpace,
    TunerError,
)
from scoot_ray.search.patience import Patience, expected_gain, out_of_patience
from tests.unit.search.problems import PLANE, bowl, observe

TAIL = Problem(PLANE, [Objective("p95_e2el_ms")])


def flat(count: int, seed: int = 0, noise: float = 0.03) -> list[Observation]:
    """The default, two initial points and suggestions, all as good as each other but for the noise."""
    rng = np.random.default_rng(seed)
    origins = [Origin.DEFAULT, Origin.INITIAL, Origin.INITIAL, *[Origin.MODEL] * count]
    return [
        observe(
            i, PLANE.decode(rng.random(2)), origin, {"p95_e2el_ms": 100 * float(np.exp(noise * rng.standard_normal()))}
        )
        for i, origin in enumerate(origins)
    ]


def test_suggestions_that_improve_nothing_wear_patience_out() -> None:
    seen = flat(8)
    assert out_of_patience(TAIL, Patience(9), seen, 0) is None
    assert out_of_patience(TAIL, Patience(8), seen, 0) == "no improvement beyond the noise in 8 suggestions"


def test_an_improvement_beyond_the_noise_renews_it() -> None:
    seen = flat(8)
    better = observe(len(seen), {"a": 0.9, "b": 0.9}, Origin.MODEL, {"p95_e2el_ms": 50.0})
    after = [
        *seen,
        better,
        *(observe(20 + i, o.trial.config, Origin.MODEL, {"p95_e2el_ms": 99.0}) for i, o in enumerate(seen[:3])),
    ]
    assert out_of_patience(TAIL, Patience(4), after, 0) is None
    assert out_of_patience(TAIL, Patience(3), after, 0) is not None


def test_the_initial_sample_and_failures_of_ours_do_not_count() -> None:
    seen = [observe(i, o.trial.config, Origin.INITIAL, {"p95_e2el_ms": 100.0}) for i, o in enumerate(flat(8))]
    assert out_of_patience(TAIL, Patience(1, 0.5), seen, 0) is None
    assert out_of_patience(TAIL, Patience(1, 0.5), (), 0) is None


def test_crashes_are_no_improvement() -> None:
    seen = [*flat(2), *(observe(10 + i, {"a": 0.9, "b": 0.1 * i}, Origin.MODEL, None) for i in range(4))]
    assert out_of_patience(TAIL, Patience(4), seen, 0) is not None


def test_the_first_to_keep_the_slos_is_an_improvement_whatever_else_it_costs() -> None:
    goal = Problem(PLANE, TAIL.objectives, (SLO("mean_tpot_ms", "<", 50.0),))
    seen = [
        observe(o.trial.id, o.trial.config, o.trial.origin, {"p95_e2el_ms": 100.0, "mean_tpot_ms": 60.0})
        for o in flat(5)
    ]
    assert out_of_patience(goal, Patience(5), seen, 0) is not None
    kept = observe(50, {"a": 0.2, "b": 0.2}, Origin.MODEL, {"p95_e2el_ms": 300.0, "mean_tpot_ms": 40.0})
    assert out_of_patience(goal, Patience(5), [*seen, kept], 0) is None


def test_a_new_point_of_the_front_is_an_improvement() -> None:
    goal = Problem(PLANE, [Objective("mean_ttft_ms"), Objective("mean_tpot_ms")])
    seen = [
        observe(o.trial.id, o.trial.config, o.trial.origin, {"mean_ttft_ms": 100.0, "mean_tpot_ms": 60.0})
        for o in flat(5)
    ]
    assert out_of_patience(goal, Patience(5), seen, 0) is not None
    traded = observe(50, {"a": 0.2, "b": 0.2}, Origin.MODEL, {"mean_ttft_ms": 300.0, "mean_tpot_ms": 20.0})
    assert out_of_patience(goal, Patience(5), [*seen, traded], 0) is None


def around(goal: Problem, evaluate: Callable[[Config], Metrics | None], reach: float) -> list[Observation]:
    """The default, and suggestions within ``reach`` of (0.6, 0.3)."""
    places = [(x, y) for x in (-1.0, 0.0, 1.0) for y in (-1.0, 0.0, 1.0)]
    configs = [goal.space.default or {}, *({"a": 0.6 + reach * x, "b": 0.3 + reach * y} for x, y in places)]
    origins = [Origin.DEFAULT, *[Origin.MODEL] * len(places)]
    return [observe(i, c, origin, evaluate(c)) for i, (c, origin) in enumerate(zip(configs, origins, strict=True))]


def test_what_is_expected_falls_as_a_search_closes_in() -> None:
    far, near = (around(TAIL, bowl, reach) for reach in (0.3, 0.04))
    early, late = expected_gain(TAIL, far[:5], 0), expected_gain(TAIL, [*far, *near], 0)
    assert early is not None
    assert late is not None
    assert late < 0.02 < early
    said = out_of_patience(TAIL, Patience(expected_gain=0.02), [*far, *near], 0)
    assert said is not None
    assert "less than 2.0%" in said


def test_of_two_objectives_it_is_hypervolume() -> None:
    slow = replace(PLANE, default={"a": 0.5, "b": 1.0})
    goal = Problem(slow, [Objective("mean_ttft_ms"), Objective("mean_tpot_ms")])

    def measured(config: Config) -> Metrics:
        a, b = float(config["a"]), float(config["b"])
        return {"mean_ttft_ms": 100 * (1.1 - a) * (1 + b), "mean_tpot_ms": 10 * (0.1 + a) * (1 + b)}

    seen = around(goal, measured, 0.3)
    early, late = (expected_gain(goal, part, 0) for part in (seen[:4], [*seen, *around(goal, measured, 0.1)]))
    assert early is not None
    assert late is not None
    assert 0 <= late < early


def test_an_exhausted_space_expects_nothing_and_says_nothing() -> None:
    tiny = Problem(SearchSpace([Float("a", 0.0, 1.0)], default={"a": 0.5}), TAIL.objectives)
    assert expected_gain(tiny, (), 0) is None


@pytest.mark.parametrize("arguments", [(None, None), (0, None), (None, -0.1)])
def test_patience_with_nothing_to_wait_for_is_refused(arguments: tuple[int | None, float | None]) -> None:
    with pytest.raises(TunerError, match="patience"):
        Patience(*arguments)
