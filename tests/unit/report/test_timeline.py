"""Slots from the journal: real times, virtual ones, several hosts, failures of ours."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.journal import Event
from scoot_ray.results.report.timeline import slots_of, spans_of
from tests.runs import BEGAN


def event(trial: int, at: datetime, timings: Mapping[str, float], where: str = "a", failed: str = "") -> Event:
    outcome: dict[str, object] = {"failed": failed, "detail": ""} if failed else {"measured": {}, "runs": []}
    data = {"trial": trial, "outcome": outcome, "where": where, "timings": timings}
    return Event(trial + 1, f"observed/{trial}", "observed", trial, 0, at.isoformat(), data)


STARTED = Event(0, "started/1", "started", None, 0, BEGAN.isoformat(), {})


def ended(trial: int, after_s: float, held_s: float, where: str = "a", failed: str = "") -> Event:
    return event(trial, BEGAN + timedelta(seconds=after_s), {"queue_s": 9.0, "load_s": held_s}, where, failed)


def test_phases_lie_before_the_end_and_the_queue_is_not_among_them() -> None:
    timings = {"queue_s": 9.0, "start_s": 30.0, "warmup_s": 2.0, "load_s": 10.0, "drain_s": 1.0, "stop_s": 2.0}
    (span,) = spans_of([STARTED, event(0, BEGAN + timedelta(seconds=60), timings)], 1, virtual=False)
    assert (span.begin_s, span.end_s) == (15.0, 60.0)
    assert span.phases == (("start", 30.0), ("load", 13.0), ("stop", 2.0))


def test_what_overlaps_needs_a_slot_of_its_own_per_host() -> None:
    events = [STARTED, ended(0, 20, 10), ended(1, 25, 12), ended(2, 40, 14), ended(3, 40, 30, "b")]
    spans = spans_of(events, 9, virtual=False)
    assert {span.trial: span.slot for span in spans} == {0: 0, 3: 1, 1: 2, 2: 0}
    assert [(slot.name, slot.trials, slot.busy_s) for slot in slots_of(spans)] == [
        ("a 1", 2, 24.0),
        ("b", 1, 30.0),
        ("a 2", 1, 12.0),
    ]


def test_failures_of_ours_take_time_too() -> None:
    events = [STARTED, ended(0, 20, 10, failed="node_lost"), ended(0, 40, 10)]
    assert [span.outcome for span in spans_of(events, 1, virtual=False)] == ["node_lost", "measured"]


@given(st.lists(st.floats(0.1, 100.0), min_size=1, max_size=30), st.integers(1, 5))
def test_virtual_time_fills_the_slots_without_overlap(held: list[float], parallelism: int) -> None:
    events = [STARTED, *(ended(number, 0.001 * number, held_s) for number, held_s in enumerate(held))]
    spans = spans_of(events, parallelism, virtual=True)
    assert len(spans) == len(held)
    assert len({span.slot for span in spans}) == min(parallelism, len(held))
    for slot in {span.slot for span in spans}:
        own = [span for span in spans if span.slot == slot]
        assert own[0].begin_s == 0.0
        assert all(later.begin_s == pytest.approx(span.end_s) for span, later in itertools.pairwise(own))


@given(st.lists(st.tuples(st.floats(1, 1000), st.floats(0.1, 100.0)), max_size=30))
def test_real_slots_never_hold_two_at_once(times: list[tuple[float, float]]) -> None:
    events = [STARTED, *(ended(number, *pair) for number, pair in enumerate(times))]
    spans = spans_of(events, 1, virtual=False)
    for slot in {span.slot for span in spans}:
        own = [span for span in spans if span.slot == slot]
        assert all(later.begin_s >= span.end_s - 0.6 for span, later in itertools.pairwise(own))
