"""Is a result the same again? Known noise is rarely held against a trial, a real change nearly always."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.rerun.agreement import Agreement, Known, agreements, spread_of

TTFT = "mean_ttft_ms"
FIGURES = st.floats(1e-3, 1e6)


def confirmed(
    rng: np.random.Generator, noise: float, configurations: int = 3, orders: int = 5
) -> tuple[dict[int, float], ...]:
    """Runs whose orders differ by far more than their starts do."""
    of_order = rng.normal(0.0, 0.5, orders)
    own = rng.normal(5.0, 1.0, configurations)
    return tuple(
        {at + 1: math.exp(mine + of_order[at] + rng.normal(0.0, noise)) for at in range(orders)} for mine in own
    )


def compared(then: float, now: list[float], known: Known) -> Agreement:
    (found,) = agreements([TTFT], {TTFT: (then, then)}, [{TTFT: value} for value in now], {TTFT: known})
    return found


def test_the_orders_own_effect_is_no_spread() -> None:
    found = spread_of(confirmed(np.random.default_rng(0), noise=0.03, configurations=4, orders=40))
    assert found is not None
    assert found.freedom == 3 * 39
    assert found.sd == pytest.approx(0.03, rel=0.2)


def test_one_configuration_alone_has_the_orders_in_its_spread() -> None:
    (alone,) = confirmed(np.random.default_rng(0), noise=0.03, configurations=1, orders=30)
    found = spread_of([alone])
    assert found is not None
    assert found.sd > 0.2


def test_contestants_that_left_early_count_as_far_as_they_came() -> None:
    runs = confirmed(np.random.default_rng(1), noise=0.03, configurations=3, orders=8)
    found = spread_of([runs[0], runs[1], {1: runs[2][1], 2: runs[2][2]}])
    assert found is not None
    assert found.freedom == 18 - (3 + 8 - 1)


def test_repeats_alone_tell_a_spread_and_nothing_tells_none() -> None:
    found = spread_of([], [100.0, 110.0, 90.0])
    assert found is not None
    assert found.freedom == 2
    assert spread_of([], [100.0]) is None
    assert spread_of([{1: 100.0}]) is None


def test_a_true_reproduction_is_denied_at_most_once_in_twenty_and_a_change_is_found() -> None:
    rng, noise, times = np.random.default_rng(2), 0.05, 400
    denied = missed = 0
    for _ in range(times):
        known = Known(runs=confirmed(rng, noise))
        then, same = (math.exp(rng.normal(3.0, noise)) for _ in range(2))
        denied += not compared(then, [same], known).within
        missed += compared(then, [1.5 * same], known).within
    assert denied / times <= 0.075
    assert missed / times <= 0.05


def test_several_metrics_are_allowed_for_together() -> None:
    known = Known(runs=confirmed(np.random.default_rng(3), noise=0.05))
    (alone,) = agreements(["a"], {"a": (10.0, 10.0)}, [{"a": 10.0}], {"a": known})
    both = agreements(["a", "b"], dict.fromkeys("ab", (10.0, 10.0)), [{"a": 10.0, "b": 10.0}], {"a": known})
    assert both[0].interval[1] > alone.interval[1]


def test_the_bootstrap_alone_is_taken_where_there_is_nothing_else() -> None:
    found = compared(100.0, [112.0], Known((90.0, 110.0), 100.0))
    assert found.basis == ("requests",)
    assert found.within
    assert not compared(100.0, [130.0], Known((90.0, 110.0), 100.0)).within


def test_without_any_knowledge_two_per_cent_are_allowed() -> None:
    assert compared(100.0, [101.9], Known()).within
    assert not compared(100.0, [102.1], Known()).within
    assert compared(100.0, [109.0], Known(least=0.1)).within


def test_a_share_of_nothing_is_compared_on_its_own_scale() -> None:
    none_failed = Known((0.0, 0.04), 0.0)
    (same, worse) = (
        agreements(["error_rate"], {"error_rate": (0.0, 0.0)}, [{"error_rate": value}], {"error_rate": none_failed})[0]
        for value in (0.01, 0.2)
    )
    assert same.within
    assert same.difference is None
    assert not worse.within


def test_what_ended_early_must_lie_in_the_range_it_was_known_to_lie_in() -> None:
    then = {TTFT: (500.0, math.inf), "mean_tpot_ms": (-math.inf, 30.0)}
    inside, below = (
        agreements([TTFT, "mean_tpot_ms"], then, [{TTFT: ttft, "mean_tpot_ms": 20.0}], {}) for ttft in (900.0, 400.0)
    )
    assert [one.within for one in inside] == [True, True]
    assert [one.within for one in below] == [False, True]
    assert below[0].difference == pytest.approx(-0.2)


@given(FIGURES, st.lists(FIGURES, min_size=1, max_size=4), st.integers(0, 9))
def test_the_same_figure_is_always_the_same_and_wider_knowledge_never_narrows(
    then: float, now: list[float], seed: int
) -> None:
    runs = confirmed(np.random.default_rng(seed), noise=0.1)
    narrow, wide = (compared(then, now, Known(over, then, runs)) for over in (None, (then / 2, then * 2)))
    assert compared(then, [then] * len(now), Known(runs=runs)).within
    assert wide.interval[0] <= narrow.interval[0] <= then <= narrow.interval[1] <= wide.interval[1]
    assert all(math.isfinite(end) for end in wide.interval)
