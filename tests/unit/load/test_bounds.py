from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.figures.bounds import bounds_of, fastest_start_rate
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.metrics import metrics_of
from scoot_ray.load.figures.standing import Planned, Standing, Tally, UnderWay, together
from scoot_ray.load.trace import CANCELLED, RequestRecord, Usage

GOODPUT = (Limit("ttft", 900.0), Limit("e2el", 4_000.0))


def record(
    index: int, due_s: float, ttft_s: float, gap_s: float, tokens: int, error: str | None = None
) -> RequestRecord:
    """A request that has had all its tokens; one with an ``error`` fails as the last comes."""
    times_s = tuple(due_s + ttft_s + gap_s * i for i in range(tokens))
    usage = None if error else Usage(10, tokens)
    done_s = times_s[-1] if error is None else None
    return RequestRecord(index, due_s, due_s, times_s, done_s, 200, error, usage, 10, tokens)


def at(moment_s: float, records: list[RequestRecord], plan: dict[int, Planned]) -> Standing:
    """What a client knows of these lives at a moment."""
    tally, open_ones = Tally(plan, GOODPUT), []
    for one in records:
        first_s, last_s = one.token_times_s[0], one.token_times_s[-1]
        if last_s <= moment_s:
            tally.ended(one)
        elif one.scheduled_s <= moment_s:
            seen = [time_s for time_s in one.token_times_s if time_s <= moment_s]
            known = (first_s, seen[-1]) if seen else (None, None)
            open_ones.append(UnderWay(one.index, one.scheduled_s, one.scheduled_s, *known))
    return tally.standing(moment_s, open_ones)


def planned(records: list[RequestRecord]) -> dict[int, Planned]:
    return {one.index: Planned(one.scheduled_s, one.output_tokens, one.error == CANCELLED) for one in records}


def lives() -> st.SearchStrategy[list[RequestRecord]]:
    seconds = st.floats(0.0, 5.0, allow_nan=False, width=32)
    fates = st.sampled_from([None] * 8 + ["cut", CANCELLED])
    one = st.tuples(seconds, seconds, st.floats(0.0, 0.5, width=32), st.integers(1, 12), fates)
    return st.lists(one, min_size=1, max_size=30).map(
        lambda rows: [record(i, *row) for i, row in enumerate(sorted(rows, key=lambda row: row[0]))]
    )


def check(standing: Standing, metrics: dict[str, float], limit: float) -> None:
    slack = 1e-9
    for name, (low, high) in bounds_of(standing, limit, GOODPUT).items():
        if name in metrics:
            assert low - slack <= metrics[name] * (1 + slack) + slack, (name, low, metrics[name])
            assert metrics[name] <= high * (1 + slack) + slack, (name, metrics[name], high)


@given(lives(), st.floats(0.0, 12.0), st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_no_continuation_leaves_the_bounds(records: list[RequestRecord], moment_s: float, limit: float) -> None:
    metrics = metrics_of(records, goodput=GOODPUT)
    if metrics.get("error_rate", 0.0) <= limit:
        check(at(moment_s, records, planned(records)), metrics, limit)


@given(lives(), st.floats(0.0, 12.0))
def test_errors_that_are_too_many_already_leave_only_what_holds_whatever_comes(
    records: list[RequestRecord], moment_s: float
) -> None:
    standing = at(moment_s, records, planned(records))
    counted = standing.planned - standing.cancelled
    if standing.failed > 0.01 * counted:
        check(standing, metrics_of(records, goodput=GOODPUT), 0.01)


@given(lives(), st.floats(0.0, 12.0), st.integers(0, 5))
def test_what_two_processes_know_is_what_one_would(records: list[RequestRecord], moment_s: float, behind: int) -> None:
    plan = planned(records)
    hands = [[one for one in records if one.index % 2 == hand] for hand in (0, 1)]
    parts = [at(moment_s, hand, {one.index: plan[one.index] for one in hand}) for hand in hands]
    one, two = bounds_of(at(moment_s, records, plan), 0.01, GOODPUT), bounds_of(together(parts), 0.01, GOODPUT)
    assert one.keys() == two.keys()
    assert all(two[name] == pytest.approx(pair) for name, pair in one.items())
    parts[1] = replace(parts[1], now_s=parts[1].now_s + behind)
    assert together(parts).now_s == min(part.now_s for part in parts)


@given(lives())
def test_at_the_end_the_bounds_of_the_latencies_are_the_metrics(records: list[RequestRecord]) -> None:
    whole = [record(one.index, one.scheduled_s, 1.0, 0.1, one.output_tokens) for one in records]
    metrics = metrics_of(whole, goodput=GOODPUT)
    found = bounds_of(at(1e6, whole, planned(whole)), 0.01, GOODPUT)
    for name in ("mean_ttft_ms", "p99_ttft_ms", "median_e2el_ms", "p95_e2el_ms"):
        assert found.get(name, (0.0, 0.0))[0] == pytest.approx(metrics[name])
    if "request_throughput" in metrics:
        assert found["request_throughput"][1] == pytest.approx(metrics["request_throughput"])
        assert found["request_goodput"][1] == pytest.approx(metrics["request_goodput"])


def test_a_percentile_is_lost_once_too_many_of_all_requests_were_slow() -> None:
    records = [record(i, 0.1 * i, 5.0 if i < 3 else 0.1, 0.0, 1) for i in range(100)]
    plan = planned(records)
    assert bounds_of(at(5.05, records, plan), 0.0)["p99_ttft_ms"][0] < 5_000  # one of a hundred may be
    assert bounds_of(at(5.25, records, plan), 0.0)["p99_ttft_ms"][0] == pytest.approx(5_000)


def test_one_that_waits_counts_with_what_it_has_waited_unless_it_may_yet_fail() -> None:
    records = [record(i, 0.0, 10.0, 0.0, 1) for i in range(100)]
    standing = at(4.0, records, planned(records))
    assert bounds_of(standing, 0.0)["mean_ttft_ms"][0] == pytest.approx(4_000)
    assert bounds_of(standing, 0.1)["mean_ttft_ms"][0] == pytest.approx(3_600)


def test_too_many_failures_bound_the_error_rate_by_all_that_is_planned() -> None:
    records = [record(i, 0.0, 1.0 + i, 0.0, 1, "cut" if i < 5 else None) for i in range(50)]
    assert bounds_of(at(5.0, records, planned(records)), 0.01)["error_rate"] == (5 / 50, 1.0)


def loaded(rate: float, served: float, moment_s: float) -> Standing:
    """A queue served in turn, ``served`` a second, where ``rate`` come."""
    starts_s, records = 0.0, []
    for i in range(round(100 * rate)):
        starts_s = max(i / rate, starts_s + 1 / served)
        records.append(record(i, i / rate, starts_s - i / rate + 0.05, 0.02, 5))
    return at(moment_s, records, planned(records))


def test_a_queue_that_grows_is_told_from_one_that_does_not() -> None:
    assert fastest_start_rate(loaded(10.0, 12.0, 60.0)) is None
    assert fastest_start_rate(loaded(10.0, 6.0, 5.0)) is None  # too early to say
    fastest = fastest_start_rate(loaded(10.0, 6.0, 30.0))
    assert fastest == pytest.approx(6.0, rel=0.1)
    assert fastest_start_rate(loaded(10.0, 6.0, 150.0)) is None  # it drains


def test_a_rate_of_first_tokens_makes_those_that_wait_wait_longer() -> None:
    standing = loaded(10.0, 6.0, 30.0)
    any_rate, at_rate = bounds_of(standing, 0.01), bounds_of(standing, 0.01, (), 6.0)
    assert at_rate["mean_ttft_ms"][0] > 3 * any_rate["mean_ttft_ms"][0]
    assert at_rate["request_throughput"][1] == pytest.approx(6.0, rel=0.05)
    assert at_rate["mean_tpot_ms"] == any_rate["mean_tpot_ms"]


def test_nothing_known_is_nothing_bounded() -> None:
    standing = Tally({0: Planned(0.0, 5), 1: Planned(1.0, 5)}).standing(0.0, [])
    assert bounds_of(standing, 0.01) == {"completed": (0, 2), "failed": (0, 2)}
    assert np.isinf(standing.last_done_s)
