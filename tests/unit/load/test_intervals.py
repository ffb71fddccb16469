from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scoot_ray.load.figures.intervals import FEWEST, intervals_of, share_interval
from scoot_ray.load.figures.metrics import metrics_of
from scoot_ray.load.trace import RequestRecord
from tests.unit.load.test_load_metrics import failure, success


def streams(count: int, seed: int) -> list[RequestRecord]:
    rng = np.random.default_rng(seed)
    return [success(i, float(i), float(rng.exponential(0.2)), rng.exponential(0.03, 4).tolist()) for i in range(count)]


@given(st.integers(FEWEST, 60), st.integers(0, 1000))
def test_intervals_enclose_the_figures_they_belong_to(count: int, seed: int) -> None:
    records = [*streams(count, seed), failure(count, 0.0)]
    metrics = metrics_of(records)
    found = intervals_of(records, seed)
    assert found.keys() <= metrics.keys()
    for name in ("mean_ttft_ms", "p50_tpot_ms", "p90_e2el_ms", "mean_itl_ms"):
        low, high = found[name]
        assert low <= metrics[name] <= high
    assert found == intervals_of(records, seed)


def test_a_95_percent_interval_misses_the_truth_about_one_time_in_twenty() -> None:
    truth_ms = 200.0
    missed = sum(
        not low <= truth_ms <= high
        for low, high in (intervals_of(streams(200, seed))["mean_ttft_ms"] for seed in range(100))
    )
    assert missed <= 14  # 5 are expected; 15 or more come by chance less than once in 10,000


def test_more_requests_make_them_narrower() -> None:
    few, many = (intervals_of(streams(count, 1))["p95_ttft_ms"] for count in (50, 5000))
    assert many[1] - many[0] < (few[1] - few[0]) / 3


@pytest.mark.parametrize("count", [0, 1, FEWEST - 1])
def test_too_few_requests_have_none(count: int) -> None:
    assert intervals_of(streams(count, 0)) == {}


def test_a_latency_that_few_requests_have_has_none() -> None:
    records = [success(i, float(i), 0.1, [0.1] if i < FEWEST - 1 else []) for i in range(30)]
    found = intervals_of(records)
    assert "mean_ttft_ms" in found
    assert not [name for name in found if "tpot" in name or "itl" in name]


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (1, 1), (0, 50), (3, 200), (199, 200), (50, 50)])
def test_a_shares_interval_is_the_exact_one(hits: int, count: int) -> None:
    exact = stats.binomtest(hits, count).proportion_ci(0.95, method="exact")
    assert share_interval(hits, count) == pytest.approx((exact.low, exact.high), abs=1e-9)


def test_a_share_of_nothing_has_no_interval() -> None:
    assert share_interval(0, 0) is None
