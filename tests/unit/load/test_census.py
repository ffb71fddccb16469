from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.errors import LoadError
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.census import take_census
from scoot_ray.load.traces.charts import census_png, census_text
from scoot_ray.load.traces.tallies import Histogram, Reuse, Timeline

counts = st.lists(st.integers(0, 10**7), min_size=1, max_size=60)


@given(counts)
def test_a_histogram_is_true_to_half_a_per_cent(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    known = histogram.distribution()
    assert known is not None
    assert (known.count, known.min, known.max) == (len(values), min(values), max(values))
    assert known.mean == pytest.approx(np.mean(values))
    assert known.std == pytest.approx(np.std(values), rel=1e-6, abs=1e-3)
    for level, found in ((0.5, known.p50), (0.9, known.p90), (0.99, known.p99)):
        assert found == pytest.approx(float(np.quantile(values, level, method="inverted_cdf")), rel=0.0051)
    bins = histogram.doublings()
    assert sum(count for _, count in bins) == len(values)
    assert bins[0][1] > 0 < bins[-1][1]


def test_a_histogram_stays_small() -> None:
    histogram = Histogram()
    for value in range(0, 10**7, 97):
        histogram.add(value)
    assert len(histogram._counts) < 5000


@given(st.lists(st.integers(0, 20) | st.text(max_size=1), max_size=80))
def test_reuse_is_exact_while_names_are_few(names: list[int | str]) -> None:
    reuse = Reuse()
    for name in names:
        reuse.add(name)
    assert reuse.names == len(set(names))
    assert sorted(reuse.uses()) == sorted(Counter(names).values())
    assert reuse.repeated == (pytest.approx(1 - len(set(names)) / len(names)) if names else None)


def test_reuse_of_many_names_is_estimated_from_few() -> None:
    reuse = Reuse(most=2000)
    for name in range(40_000):
        for _ in range(1 + 3 * (name % 2)):
            reuse.add(name)
    assert len(list(reuse.uses())) <= 2000
    assert reuse.names == pytest.approx(40_000, rel=0.1)
    assert reuse.repeated == pytest.approx(1 - 40 / 100, abs=0.05)


@given(st.lists(st.floats(-5, 1e7), min_size=1, max_size=50), st.integers(2, 9))
def test_a_timeline_counts_all_in_few_bins(times: list[float], most: int) -> None:
    timeline = Timeline(most)
    for time in times:
        timeline.add(time)
    assert sum(timeline.counts) == len(times)
    assert len(timeline.counts) <= most
    expected = Counter(max(0, int(time / timeline.width_s)) for time in times)
    assert {at: count for at, count in enumerate(timeline.counts) if count} == expected


def rows(*values: tuple[float, int, int, tuple[int, ...], str | None]) -> list[Request]:
    return [Request(at, size, out, ids, session=name) for at, size, out, ids, name in values]


def test_what_a_census_finds() -> None:
    census = take_census(
        rows(
            (10.0, 1024, 10, (1, 2), "a"),
            (11.0, 600, 20, (1, 3), "b"),
            (13.0, 1024, 30, (1, 2), "a"),
            (12.5, 700, 30, (4, 5), None),
        )
    )
    assert (census.rows, census.text_rows, census.measured_rows) == (4, 0, 0)
    assert census.sharing is not None
    assert census.sharing.blocks_seen_before == pytest.approx(3 / 8)
    assert census.sharing.rows_begun_before == pytest.approx(2 / 4)
    assert census.sessions is not None
    assert (census.sessions.count, census.sessions.rows, census.sessions.turns.max) == (2, 3, 2)
    assert census.arrivals is not None
    assert (census.arrivals.span_s, census.arrivals.out_of_order) == (3.0, 1)
    assert census.arrivals.mean_rate == pytest.approx(1.0)
    logs = np.log([[1024, 600, 1024, 700], [10, 20, 30, 30]])
    assert census.length_correlation == pytest.approx(np.corrcoef(logs)[0, 1])


def test_poisson_arrivals_are_known_for_what_they_are() -> None:
    times = np.cumsum(np.random.default_rng(0).exponential(0.2, 20_000)).tolist()
    arrivals = take_census(Request(time, 5, 5) for time in times).arrivals
    assert arrivals is not None
    assert arrivals.gap_cv == pytest.approx(1, abs=0.03)
    assert arrivals.mean_rate == pytest.approx(5, rel=0.03)


def test_texts_are_measured_and_their_prefixes_found() -> None:
    shared = "You are a helpful assistant. " * 100  # 2,900 bytes: one whole block
    texts = [Request(0.0, None, 1, prompt=shared + str(n)) for n in range(5)]
    census = take_census(texts)
    assert (census.text_rows, census.measured_rows, census.arrivals) == (5, 5, None)
    assert census.inputs.max == math.ceil(2901 / 4)
    assert census.sharing is not None
    assert census.sharing.blocks_seen_before == pytest.approx(4 / 10)


def test_a_census_is_shown_in_plain_characters(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    census = take_census(rows((0.0, 900, 10, (1, 2), "a"), (5.0, 90_000, 20, (1, 3), "a")))
    text = census_text(census)
    assert text.isascii()
    assert max(map(len, text.splitlines())) < 130
    for words in (
        "rows            2",
        "p50 900",
        "25.0% of the blocks",
        "sessions        1 with 2 rows",
        "1 s a column",
    ):
        assert words in text
    census_png(census, str(tmp_path / "chart.png"))
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(LoadError, match=r"png: .* cannot be written"):
        census_png(census, str(tmp_path / "absent" / "chart.png"))


def test_bare_rows_are_shown_without_what_they_lack() -> None:
    text = census_text(take_census([Request(0.0, 5, 5)]))
    assert "no times" in text
    assert text.count("not said") == 2


def test_nothing_has_no_census() -> None:
    with pytest.raises(LoadError, match="no requests"):
        take_census([])
