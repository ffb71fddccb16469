"""Scales, ticks, words and figures: properties that hold for any values, and what people read."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scoot_ray.results.report.scales import Scale, scale_of
from scoot_ray.results.report.text import config_text, duration, named, number, percent, plain
from scoot_ray.search.metrics import METRICS

VALUES = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False)


@given(st.lists(VALUES, min_size=1))
def test_a_scale_holds_its_values_in_their_order(values: list[float]) -> None:
    scale = scale_of(values)
    assert scale.low < scale.high
    shares = [scale.share(value) for value in sorted(values)]
    assert all(-1e-9 <= share <= 1 + 1e-9 for share in shares)
    assert shares == sorted(shares)


@given(st.floats(1e-6, 1e9), st.floats(1.001, 1e9), st.booleans(), st.integers(2, 9))
def test_ticks_are_few_ascending_and_within(low: float, factor: float, logarithmic: bool, most: int) -> None:
    scale = Scale(low, low * factor, logarithmic)
    assume(scale.high - scale.low > 1e-9)
    ticks = scale.ticks(most)
    assert len(ticks) <= most
    assert list(ticks) == sorted(set(ticks))
    room = 1e-9 * scale.high
    assert all(scale.low - room <= tick <= scale.high + room for tick in ticks)
    if factor > 1.5:
        assert ticks


def test_far_apart_positive_values_are_logarithmic_and_bars_start_at_zero() -> None:
    assert scale_of([1.0, 100.0]).logarithmic
    assert not scale_of([0.0, 100.0]).logarithmic
    assert not scale_of([50.0, 100.0]).logarithmic
    assert scale_of([3.0, 100.0], from_zero=True).low == 0.0
    assert scale_of([]) == Scale(0.0, 1.0)


def test_ticks_are_round() -> None:
    assert Scale(0.0, 10.0).ticks(6) == (0, 2, 4, 6, 8, 10)
    assert Scale(90.0, 31_000.0, True).ticks(6) == (100, 300, 1000, 3000, 10_000, 30_000)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "–"), (0.02134, "0.0213"), (31.52, "31.5"), (812.4, "812"), (24515.2, "24,515")]
)
def test_numbers_have_three_digits_or_more(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("mean_ttft_ms", 812.0, "812 ms"),
        ("p99_e2el_ms", 24_515.0, "24.5 s"),
        ("error_rate", 0.013, "1.3%"),
        ("request_throughput", 4.5, "4.5 requests/s"),
        ("mean_tpot_ms", None, "–"),
    ],
)
def test_quantities_have_units(metric: str, value: float | None, text: str) -> None:
    assert named(metric).quantity(value) == text


@given(st.sampled_from(METRICS), st.booleans())
def test_every_metric_has_a_name(metric: str, per_gpu: bool) -> None:
    name = named(metric + "_per_gpu" * per_gpu)
    assert "_" not in name.label
    assert ("per GPU" in name.label) == per_gpu


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0 s"), (4.25, "4.25 s"), (48.2, "48 s"), (725, "12 min 05 s"), (12_000, "3 h 20 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_configurations_are_told_by_what_differs() -> None:
    assert config_text({"a": 1, "b": True, "c": 0.5}, {"a": 1, "b": False}) == "b=true c=0.5"
    assert percent(-0.48, signed=True) == "−48%"


@given(st.text(alphabet=st.characters(codec=None), max_size=60))
def test_plain_text_can_be_written_and_turns_nothing_around(text: str) -> None:
    clean = plain(text)
    clean.encode()
    assert all(letter.isprintable() or letter in "\n\t\xa0" for letter in clean)
    assert plain(clean) == clean


def test_colour_codes_vanish() -> None:
    assert plain("\x1b[31mERROR\x1b[0m \u202egnp") == "ERROR \ufffdgnp"
