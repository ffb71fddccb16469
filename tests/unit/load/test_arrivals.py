from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.arrivals import Arrivals, Schedule, schedule
from scoot_ray.load.errors import LoadError
from scoot_ray.load.trace import Request

processes = st.one_of(
    st.builds(Arrivals, st.just("poisson"), st.floats(0.5, 200)),
    st.builds(Arrivals, st.just("gamma"), st.floats(0.5, 200), st.floats(0.2, 5)),
    st.builds(Arrivals, st.just("constant"), st.floats(0.5, 200)),
    st.builds(Arrivals, st.just("recorded"), time_scale=st.floats(0.1, 10)),
)
sessions = st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=40)


def trace_of(*names: str | None) -> list[Request]:
    return [Request(0.5 * number, 10, 5, session=name) for number, name in enumerate(names)]


def same(left: Schedule, right: Schedule) -> bool:
    pairs = zip((left.offsets_s, left.rows, left.passes), (right.offsets_s, right.rows, right.passes), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


@given(processes, sessions, st.integers(0, 2**40), st.integers(0, 5), st.integers(1, 100))
def test_every_schedule(arrivals: Arrivals, names: list[str | None], seed: int, order: int, count: int) -> None:
    requests = trace_of(*names)
    drawn = schedule(arrivals, requests, count=count, seed=seed, order=order)
    assert same(drawn, schedule(arrivals, requests, count=count, seed=seed, order=order))
    assert len(drawn.offsets_s) == (min(count, len(requests)) if arrivals.process == "recorded" else count)
    assert (np.diff(drawn.offsets_s) >= 0).all()
    assert (drawn.offsets_s >= 0).all()
    assert drawn.reused == len(drawn.rows) - min(len(drawn.rows), len(requests))
    for trace_pass in range(int(drawn.passes[-1]) + 1):
        rows = drawn.rows[drawn.passes == trace_pass].tolist()
        assert len(set(rows)) == len(rows)
        for name in ("a", "b", "c"):
            turns = [row for row in rows if names[row] == name]
            whole = [row for row, session in enumerate(names) if session == name]
            assert turns == whole[: len(turns)]


@given(st.sampled_from(["poisson", "gamma", "constant"]), st.floats(1, 50), st.floats(5, 50), st.integers(0, 9))
def test_a_longer_time_extends_a_shorter_one(process: Any, rate: float, duration_s: float, seed: int) -> None:
    arrivals, requests = Arrivals(process, rate), trace_of(*[None] * 7)
    try:
        short = schedule(arrivals, requests, duration_s=duration_s, seed=seed)
    except LoadError:
        return  # by chance nobody comes in so short a time
    longer = schedule(arrivals, requests, duration_s=2 * duration_s, seed=seed)
    assert (short.offsets_s < duration_s).all()
    assert np.array_equal(longer.offsets_s[: len(short.offsets_s)], short.offsets_s)
    assert (longer.offsets_s[len(short.offsets_s) :] >= duration_s).all()
    assert short.span_s == duration_s


def gaps_of(arrivals: Arrivals) -> tuple[float, float]:
    offsets_s = schedule(arrivals, trace_of(None), count=20_000, seed=1).offsets_s
    gaps_s = np.diff(offsets_s)
    return float(gaps_s.mean()), float(gaps_s.std() / gaps_s.mean())


@pytest.mark.parametrize(
    ("arrivals", "variation"),
    [
        (Arrivals("poisson", 8.0), 1.0),
        (Arrivals("gamma", 8.0, burstiness=0.25), 2.0),
        (Arrivals("gamma", 8.0, burstiness=4.0), 0.5),
        (Arrivals("constant", 8.0), 0.0),
    ],
)
def test_processes_have_their_rate_and_their_variation(arrivals: Arrivals, variation: float) -> None:
    mean_s, coefficient = gaps_of(arrivals)
    assert mean_s == pytest.approx(1 / 8, rel=0.05)
    assert coefficient == pytest.approx(variation, rel=0.05, abs=1e-6)


def test_poisson_counts_have_the_variance_of_their_mean() -> None:
    requests = trace_of(None)
    counts = [len(schedule(Arrivals("poisson", 5.0), requests, duration_s=20, seed=s).rows) for s in range(400)]
    assert np.mean(counts) == pytest.approx(100, rel=0.03)
    assert np.var(counts) == pytest.approx(100, rel=0.3)


def test_constant_starts_at_once() -> None:
    assert schedule(Arrivals("constant", 4.0), trace_of(None), duration_s=1.0).offsets_s.tolist() == [
        0,
        0.25,
        0.5,
        0.75,
    ]


def test_recorded_is_the_trace_and_other_orders_shuffle_who_comes() -> None:
    requests, arrivals = trace_of(*[None] * 30)[2:], Arrivals("recorded", time_scale=0.5)
    first, second = (schedule(arrivals, requests, order=order) for order in (0, 1))
    assert first.rows.tolist() == list(range(28))
    assert first.offsets_s.tolist() == [0.25 * n for n in range(28)]
    assert second.offsets_s.tolist() == first.offsets_s.tolist()
    assert second.rows.tolist() != first.rows.tolist()
    assert len(schedule(arrivals, requests, duration_s=1.0).rows) == 4


def test_orders_and_seeds_differ_in_times_and_rows() -> None:
    requests, arrivals = trace_of(*[None] * 50), Arrivals("poisson", 5.0)
    drawn = [schedule(arrivals, requests, count=50, seed=s, order=o) for s, o in ((0, 0), (0, 1), (1, 0))]
    for left, right in ((0, 1), (0, 2), (1, 2)):
        assert not np.array_equal(drawn[left].offsets_s, drawn[right].offsets_s)
        assert not np.array_equal(drawn[left].rows, drawn[right].rows)


@pytest.mark.parametrize(
    ("arrivals", "options", "words"),
    [
        ({"process": "poisson"}, {}, "rate is missing"),
        ({"process": "uniform", "rate": 1}, {}, "allowed poisson, gamma, constant, recorded"),
        ({"process": "recorded", "rate": 1}, {}, "time_scale instead"),
        ({"rate": float("nan")}, {}, "positive"),
        ({"rate": 1, "burstiness": 0}, {}, "burstiness 0"),
        ({"rate": 1}, {}, "duration_s: is missing"),
        ({"rate": 1}, {"duration_s": 0}, "duration_s: 0"),
        ({"rate": 1}, {"count": 0}, "count: 0"),
        ({"rate": 1}, {"count": 1, "seed": -1}, "seed -1"),
        ({"rate": 1e9}, {"duration_s": 1e3}, "altogether"),
        ({"rate": 1e-6}, {"duration_s": 1}, "bring no arrival"),
    ],
)
def test_impossible_loads_are_refused(arrivals: dict[str, Any], options: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        schedule(Arrivals(**arrivals), trace_of(None), **options)


def test_an_empty_trace_is_refused() -> None:
    with pytest.raises(LoadError, match="no requests"):
        schedule(Arrivals("poisson", 1.0), [], count=1)


def test_a_ramp_goes_from_one_rate_to_the_other() -> None:
    ramp = Arrivals("ramp", rate=20.0, end_rate=180.0)
    drawn = schedule(ramp, trace_of(*[None] * 9), duration_s=100.0, seed=3)
    counts, _ = np.histogram(drawn.offsets_s, bins=10, range=(0, 100))
    expected = 10 * (20 + 16 * (np.arange(10) + 0.5))  # ten seconds at the rate of each bin's middle
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    assert (np.diff(drawn.offsets_s) >= 0).all()
    assert same(drawn, schedule(ramp, trace_of(*[None] * 9), duration_s=100.0, seed=3))


@given(st.floats(0.5, 100), st.floats(0.5, 100), st.floats(1, 100), st.integers(0, 99))
def test_every_ramp_stays_in_its_time(rate: float, end_rate: float, duration_s: float, seed: int) -> None:
    try:
        drawn = schedule(Arrivals("ramp", rate, end_rate=end_rate), trace_of("a"), duration_s=duration_s, seed=seed)
    except LoadError:
        return  # by chance nobody comes in so short a time
    assert (np.diff(drawn.offsets_s) >= 0).all()
    assert 0 <= drawn.offsets_s[0] <= drawn.offsets_s[-1] < duration_s


def test_a_flat_ramp_is_poisson() -> None:
    flat = schedule(Arrivals("ramp", 10.0, end_rate=10.0), trace_of("a"), duration_s=50.0, seed=1)
    poisson = schedule(Arrivals("poisson", 10.0), trace_of("a"), duration_s=50.0, seed=1)
    assert np.allclose(flat.offsets_s, poisson.offsets_s)


def test_a_ramp_wants_both_rates_and_a_time() -> None:
    with pytest.raises(LoadError, match="end_rate"):
        Arrivals("ramp", 10.0)
    with pytest.raises(LoadError, match="end_rate"):
        Arrivals("poisson", 10.0, end_rate=5.0)
    with pytest.raises(LoadError, match="end_rate -1"):
        Arrivals("ramp", 10.0, end_rate=-1.0)
    with pytest.raises(LoadError, match="duration_s: is missing"):
        schedule(Arrivals("ramp", 1.0, end_rate=2.0), trace_of("a"), count=5)
