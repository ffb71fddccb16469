from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.errors import LoadError
from scoot_ray.load.selection import fit, window
from scoot_ray.load.trace import Request

REQUESTS = tuple(Request(float(n), 100 * n, 10, hash_ids=(1, 2, 3, 4)) for n in range(1, 21))


def test_drop_keeps_what_fits_exactly() -> None:
    selection = fit(REQUESTS, 1010)
    assert [request.input_tokens for request in selection.requests] == list(range(100, 1001, 100))
    assert (selection.dropped, selection.clipped) == (10, 0)


def test_clip_shortens_the_input_and_its_hash_ids() -> None:
    selection = fit(REQUESTS, 1010, "clip")
    assert (len(selection.requests), selection.dropped, selection.clipped) == (20, 0, 10)
    assert selection.requests[-1].input_tokens == 1000
    assert selection.requests[-1].hash_ids == (1, 2)


def test_no_limit_leaves_all() -> None:
    assert fit(REQUESTS, None).requests == REQUESTS


def test_text_is_never_cut() -> None:
    known, unknown = Request(0.0, 500, 10, prompt="long"), Request(0.0, None, 10, prompt="?")
    selection = fit((known, unknown), 100, "clip")
    assert selection.requests == (unknown,)
    assert (selection.dropped, selection.clipped) == (1, 0)


@given(st.lists(st.tuples(st.integers(1, 5000), st.integers(1, 5000)), min_size=1), st.integers(2, 4000))
def test_clipped_requests_always_fit(lengths: list[tuple[int, int]], limit: int) -> None:
    requests = [Request(0.0, given, wanted) for given, wanted in lengths]
    selection = fit(requests, limit, "clip")
    assert len(selection.requests) == len(requests)
    for before, after in zip(requests, selection.requests, strict=True):
        assert after.input_tokens is not None
        assert before.input_tokens is not None
        assert 1 <= after.input_tokens <= before.input_tokens
        assert 1 <= after.output_tokens <= before.output_tokens
        assert after.input_tokens + after.output_tokens <= limit


def test_nothing_left_is_an_error() -> None:
    with pytest.raises(LoadError, match="leaves none of 20"):
        fit(REQUESTS, 50)
    with pytest.raises(LoadError, match="allowed 2 or more"):
        fit(REQUESTS, 1, "clip")


def test_windows() -> None:
    assert window(REQUESTS) == REQUESTS
    assert window(REQUESTS, 5, 2) == REQUESTS[5:7]
    assert window(REQUESTS, 18, 9) == REQUESTS[18:]
    for offset, rows in ((20, None), (-1, None), (0, 0)):
        with pytest.raises(LoadError, match="window"):
            window(REQUESTS, offset, rows)
