from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.errors import LoadError
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.transform import Slice, chosen, extent, faster, sliced, thinned

ROWS = [Request(10.0 + n, n + 1, 1, session=f"s{n % 7}") for n in range(70)]


def lengths(requests: object) -> list[int]:
    return [request.input_tokens for request in requests]  # type: ignore[attr-defined] # any iterable of requests


def test_slices() -> None:
    assert lengths(sliced(ROWS, Slice(skip=5, rows=3))) == [6, 7, 8]
    assert lengths(sliced(ROWS, Slice(from_s=2, until_s=4))) == [3, 4]
    assert lengths(sliced(ROWS, Slice(skip=1, rows=9, from_s=67))) == [69, 70]


def test_a_slice_ends_the_reading() -> None:
    source = iter(ROWS)
    assert len(list(sliced(source, Slice(rows=3)))) == 3
    assert next(source) is ROWS[3]


@pytest.mark.parametrize("wrong", [{"skip": -1}, {"rows": 0}, {"from_s": 5.0, "until_s": 5.0}])
def test_empty_slices_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(LoadError, match="slice"):
        Slice(**wrong)  # type: ignore[arg-type] # a mapping of several types


@given(st.integers(1, 70), st.integers(0, 99))
def test_a_choice_has_its_size_and_order(count: int, seed: int) -> None:
    kept = list(chosen(ROWS, count, len(ROWS), seed))
    assert len(kept) == count
    assert lengths(kept) == sorted(set(lengths(kept)))
    assert kept == list(chosen(ROWS, count, len(ROWS), seed))


def test_every_row_has_the_same_chance() -> None:
    taken = Counter(length for seed in range(700) for length in lengths(chosen(ROWS, 10, len(ROWS), seed)))
    assert set(taken) == set(range(1, 71))
    assert 60 < min(taken.values()) <= max(taken.values()) < 145  # of 100


@pytest.mark.parametrize("count", [0, 71])
def test_impossible_choices_are_refused(count: int) -> None:
    with pytest.raises(LoadError, match="allowed 1 to 70"):
        list(chosen(ROWS, count, len(ROWS), 0))


def test_thinning_keeps_sessions_whole() -> None:
    kept = list(thinned(ROWS, 0.5, 1))
    per_session = Counter(request.session for request in kept)
    assert set(per_session.values()) == {10}
    assert 0 < len(per_session) < 7
    assert {len(list(thinned(ROWS, 0.5, seed))) for seed in range(9)} != {len(kept)}
    nameless = [Request(0.0, 1, 1)] * 1000
    assert len(list(thinned(nameless, 0.3, 0))) == pytest.approx(300, abs=60)
    assert list(thinned(ROWS, 1.0, 0)) == ROWS


@given(st.floats(0.01, 100))
def test_scaling_changes_the_rate_alone(factor: float) -> None:
    before, after = extent(ROWS).rate, extent(faster(ROWS, factor)).rate
    assert before is not None
    assert after is not None
    assert after == pytest.approx(before * factor)
    assert lengths(faster(ROWS, factor)) == lengths(ROWS)


@pytest.mark.parametrize("share", [0.0, 1.1, -1.0])
def test_silly_shares_and_factors_are_refused(share: float) -> None:
    with pytest.raises(LoadError, match="fraction"):
        list(thinned(ROWS, share, 0))
    with pytest.raises(LoadError, match="factor"):
        list(faster(ROWS, min(share, 0.0)))


def test_one_time_has_no_rate() -> None:
    assert extent(ROWS[:1]).rate is None
