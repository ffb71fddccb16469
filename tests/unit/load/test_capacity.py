"""The search for the highest rate, against services whose capacity is known."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.capacity import Capacity, Probe, RateSearch, Try, find, judge, next_step, with_error_rate
from scoot_ray.load.errors import LoadError
from scoot_ray.search.objectives import SLO

NOISE = 0.1
"""This near its capacity, relatively, the fake service holds its SLOs or not by chance, and no probe is sure."""


def service(
    capacity: float, seed: int = 0, client: float = float("inf"), hiccups: float = 0.0
) -> Callable[[Try], Probe]:
    """A noisy service of known capacity, asked by a client that manages ``client`` and sometimes hiccups."""
    rng = random.Random(seed)

    def probe(step: Try) -> Probe:
        if step.rate > client or rng.random() < hiccups:
            return Probe(step.rate, "invalid", why=("requests were sent late",))
        distance = step.rate / capacity - 1
        sure = abs(distance) > NOISE
        held = distance <= 0 if sure else rng.random() < 0.5 - distance / NOISE / 2
        return Probe(step.rate, "held" if held else "broken", sure)

    return probe


rates = st.floats(0.1, 1000)


@given(rates, st.integers(0, 10_000), st.floats(0.02, 0.3), st.floats(0.5, 20))
def test_the_answer_is_the_capacity_within_noise_and_precision(
    capacity: float, seed: int, precision: float, start: float
) -> None:
    settings = RateSearch(start, 2000.0, 100.0, precision, max_probes=200)
    found = find(settings, service(capacity, seed))
    if found.rate is None:
        assert capacity < settings.min_rate * (1 + NOISE)
        assert found.above == settings.min_rate
    else:
        assert found.limited_by == "server"
        assert found.above is not None
        assert found.rate < found.above <= found.rate * (1 + precision)
        assert capacity * (1 - NOISE) / (1 + precision) <= found.rate <= capacity * (1 + NOISE)
    assert all(settings.min_rate <= probe.rate <= settings.max_rate for probe in found.probes)


@given(rates, st.integers(0, 10_000), st.floats(0, 0.9), st.integers(1, 30), rates)
def test_it_always_ends_and_never_asks_for_more_than_allowed(
    capacity: float, seed: int, hiccups: float, max_probes: int, client: float
) -> None:
    settings = RateSearch(1.0, 500.0, 30.0, max_probes=max_probes)
    found = find(settings, service(capacity, seed, client, hiccups))
    assert 1 <= len(found.probes) <= max_probes
    held = {probe.rate for probe in found.probes if probe.verdict == "held"}
    broken = {probe.rate for probe in found.probes if probe.verdict == "broken"}
    assert found.rate is None or found.rate in held
    if found.limited_by == "server" and found.above is not None:
        assert found.above in broken
    assert found.sentence.endswith(".")
    for at in range(len(found.probes)):  # a function of the probes alone, and no step is taken back
        step = next_step(settings, found.probes[:at])
        assert isinstance(step, Try)
        assert step.rate == found.probes[at].rate


@given(st.floats(5, 400), st.integers(0, 1000))
def test_a_client_that_cannot_send_is_never_taken_for_the_server(client: float, seed: int) -> None:
    found = find(RateSearch(1.0, 500.0, 30.0, max_probes=200), service(1e9, seed, client))
    assert found.limited_by == "client"
    assert found.rate is not None
    assert found.rate <= client < (found.above or 0.0)
    assert "not known" in found.sentence


def test_a_client_that_can_send_nothing_says_so() -> None:
    found = find(RateSearch(1.0, 8.0, 30.0), service(1e9, client=0.0))
    assert (found.rate, found.limited_by) == (None, "client")
    assert "nothing is known about the server" in found.sentence


def test_one_hiccup_of_the_client_is_tried_again() -> None:
    late = [True]

    def probe(step: Try) -> Probe:
        return Probe(step.rate, "invalid") if late and late.pop() else service(100.0)(step)

    found = find(RateSearch(64.0, 128.0, 30.0), probe)
    assert [one.rate for one in found.probes[:2]] == [64.0, 64.0]
    assert found.limited_by == "server"
    assert found.rate is not None
    assert found.rate > 64


def test_the_highest_allowed_rate_is_the_end() -> None:
    found = find(RateSearch(10.0, 50.0, 30.0), service(1e6))
    assert [probe.rate for probe in found.probes] == [10.0, 20.0, 40.0, 50.0]
    assert (found.rate, found.above, found.limited_by) == (50.0, None, "max_rate")


def test_rates_that_would_bring_hardly_a_request_are_not_tried() -> None:
    found = find(RateSearch(4.0, 8.0, duration_s=5.0), service(0.001))
    assert [probe.rate for probe in found.probes] == [4.0, 2.0]
    assert (found.rate, found.above) == (None, 2.0)
    alone = find(RateSearch(1.0, 8.0, duration_s=5.0), service(0.001))
    assert [probe.rate for probe in alone.probes] == [1.0]


def test_a_known_probe_is_not_made_again() -> None:
    asked: list[Try] = []

    def probe(step: Try) -> Probe:
        asked.append(step)
        return service(25.0)(step)

    found = find(RateSearch(10.0, 100.0, 30.0, max_probes=4), probe, [Probe(10.0, "held")])
    assert [step.rate for step in asked[:2]] == [20.0, 40.0]
    assert len(found.probes) == 4


def test_a_close_call_is_decided_by_the_majority() -> None:
    verdicts = {10.0: ["held", "broken", "broken"], 5.0: ["held"]}

    def probe(step: Try) -> Probe:
        verdict: Any = verdicts[step.rate][step.repeat]
        return Probe(step.rate, verdict, sure=step.rate < 10)

    found = find(RateSearch(10.0, 10.0, 30.0, precision=0.99, max_probes=4), probe)
    assert (found.rate, found.above) == (5.0, 10.0)
    assert [one.rate for one in found.probes] == [10.0, 10.0, 10.0, 5.0]


@pytest.mark.parametrize(
    ("metrics", "interval", "verdict", "sure"),
    [
        ({"completed": 9, "error_rate": 0.0, "p99_ttft_ms": 300.0}, (280.0, 330.0), "held", True),
        ({"completed": 9, "error_rate": 0.0, "p99_ttft_ms": 480.0}, (400.0, 530.0), "held", False),
        ({"completed": 9, "error_rate": 0.0, "p99_ttft_ms": 520.0}, (400.0, 530.0), "broken", False),
        ({"completed": 9, "error_rate": 0.0, "p99_ttft_ms": 900.0}, (800.0, 990.0), "broken", True),
        ({"completed": 9, "error_rate": 0.0, "p99_ttft_ms": 490.0}, None, "held", False),
        ({"completed": 9, "error_rate": 0.0, "p99_ttft_ms": 300.0}, None, "held", True),
        ({"completed": 9, "error_rate": 0.5, "p99_ttft_ms": 300.0}, (280.0, 330.0), "broken", True),
        ({"completed": 0, "error_rate": 1.0}, None, "broken", True),
    ],
)
def test_a_load_is_judged_by_its_figures_and_their_intervals(
    metrics: dict[str, float], interval: tuple[float, float] | None, verdict: str, sure: bool
) -> None:
    intervals = {} if interval is None else {"p99_ttft_ms": interval}
    probe = judge(5.0, metrics, intervals, [SLO.parse("ttft:p99<500ms")])
    assert (probe.verdict, probe.sure) == (verdict, sure)
    assert (probe.why == ()) == (verdict == "held")


def test_an_invalid_load_is_not_judged() -> None:
    slow = {"completed": 9, "error_rate": 0.0, "p99_ttft_ms": 9000.0}
    probe = judge(5.0, slow, {}, [SLO.parse("ttft:p99<500ms")], ["requests were sent late"])
    assert (probe.verdict, probe.why) == ("invalid", ("requests were sent late",))


def test_an_slo_on_errors_takes_the_place_of_the_usual_limit() -> None:
    assert [str(slo) for slo in with_error_rate([SLO.parse("error_rate<5%")])] == ["error_rate<0.05"]
    assert [slo.metric for slo in with_error_rate([SLO.parse("ttft:p99<1s")])] == ["p99_ttft_ms", "error_rate"]


def test_an_slo_that_cannot_be_judged_is_refused() -> None:
    with pytest.raises(LoadError, match="slo: p99_tpot_ms<50: this load has no p99_tpot_ms"):
        judge(5.0, {"completed": 9, "error_rate": 0.0}, {}, [SLO.parse("tpot:p99<50ms")])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"start_rate": 0.0, "max_rate": 1.0}, "rate: from 0 to 1"),
        ({"start_rate": 5.0, "max_rate": 1.0}, "rate: from 5 to 1"),
        ({"start_rate": 1.0, "max_rate": float("inf")}, "rate: from 1 to inf"),
        ({"start_rate": 1.0, "max_rate": 2.0, "precision": 5.0}, "precision: 5; allowed between 0 and 1"),
        ({"start_rate": 1.0, "max_rate": 2.0, "max_probes": 0}, "max_probes: 0"),
        ({"start_rate": 1.0, "max_rate": 2.0, "duration_s": 0.0}, "duration_s: 0; allowed a positive number"),
    ],
)
def test_a_search_that_cannot_be_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadError) as caught:
        RateSearch(**{"duration_s": 30.0, **settings})
    assert words in str(caught.value)


def test_every_answer_has_its_sentence() -> None:
    answers = [
        Capacity(4.0, 5.0, "server", ()),
        Capacity(4.0, 5.0, "client", ()),
        Capacity(4.0, None, "max_rate", ()),
        Capacity(4.0, 8.0, "probes", ()),
        Capacity(4.0, None, "probes", ()),
        Capacity(None, 2.0, "server", ()),
        Capacity(None, 2.0, "client", ()),
        Capacity(None, None, "probes", ()),
    ]
    sentences = [answer.sentence for answer in answers]
    assert len(set(sentences)) == len(sentences)
    assert all("None" not in sentence and "\n" not in sentence for sentence in sentences)
