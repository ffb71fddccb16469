"""How many evaluations may start: never more than max, never fewer than min, none that could not end in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.admission import Admission, expected_s
from scoot_ray.study import Parallelism
from scoot_ray.windows import open_until
from tests.fakes import STUDY, study

NIGHT = "22:00-07:00 Europe/Berlin"
counts = st.integers(0, 40)


@given(least=st.integers(1, 20), more=counts, running=counts, idle=counts)
def test_from_min_to_max_and_above_min_only_what_is_idle(least: int, more: int, running: int, idle: int) -> None:
    rules = Admission(Parallelism(min=least, max=least + more, when="idle"))
    may = rules.may_start(running, idle)
    assert may >= 0
    assert running + may <= max(running, least + more)
    assert running + may >= least
    if running + may > max(least, running):
        assert may <= idle
    assert may == idle or running + may in {least, least + more} or running > least + more


@given(most=st.integers(1, 20), running=counts, idle=counts)
def test_always_asks_for_all_of_it(most: int, running: int, idle: int) -> None:
    rules = Admission(Parallelism(max=most, when="always"))
    assert rules.may_start(running, idle) == max(0, most - running)


@given(
    now=st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31), timezones=st.just(UTC)),
    takes_s=st.floats(1, 40_000),
    left_s=st.none() | st.floats(-10_000, 80_000),
)
def test_nothing_starts_that_would_end_after_the_window_or_the_deadline(
    now: datetime, takes_s: float, left_s: float | None
) -> None:
    deadline = None if left_s is None else now + timedelta(seconds=left_s)
    parallelism = Parallelism(max=4, when=NIGHT)
    gate = Admission(parallelism, deadline).gate(now, takes_s)
    closes, ends = open_until(parallelism.windows, now), now + timedelta(seconds=takes_s)
    in_window = closes is not None and ends <= closes
    in_time = deadline is None or ends <= deadline
    assert gate.open == (in_window and in_time)
    assert gate.for_good == (not in_time)
    assert gate.open == (gate.reason is None)


def test_a_closed_gate_says_when_it_opens() -> None:
    gate = Admission(Parallelism(max=2, when=NIGHT)).gate(datetime(2026, 6, 3, 12, tzinfo=UTC), 60.0)
    assert gate.reason == "the window is closed; the next opens Wed 2026-06-03 22:00 (Europe/Berlin)"
    late = Admission(Parallelism(max=2, when=NIGHT)).gate(datetime(2026, 6, 4, 4, 58, tzinfo=UTC), 300.0)
    assert late.reason is not None
    assert late.reason.startswith("300 s do not fit in the window any more; the next opens Thu")


@given(held=st.lists(st.floats(0, 5000), max_size=80))
def test_what_is_expected_was_seen_and_is_exceeded_by_one_in_ten_at_most(held: list[float]) -> None:
    seen = [seconds for seconds in held if seconds][-50:]
    expected = expected_s(held, 77.0)
    if not seen:
        assert expected == 77.0
    else:
        assert min(seen) - 1e-6 <= expected <= max(seen) + 1e-6
        assert sum(seconds > expected + 1e-6 for seconds in seen) <= len(seen) / 10 + 1


def test_a_number_is_so_many_always_and_a_mapping_keeps_to_idle_slots() -> None:
    assert study(parallelism=Parallelism(max=3)).parallelism.asked == 1
    assert Parallelism(max=3, when="always").asked == 3
    assert parsed("3") == Parallelism(min=3, max=3, when="always")
    assert parsed("{max: 16}") == Parallelism(min=1, max=16, when="idle")
    assert len(parsed("{max: 2, when: ['Sat-Sun UTC', '22:00-07:00 UTC']}").windows) == 2


def parsed(text: str) -> Parallelism:
    from scoot_ray.study import parse_study

    return parse_study(f"{STUDY}parallelism: {text}\n", "study.yaml").parallelism


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{min: 3, max: 2}", "study.yaml: parallelism: min: 3; allowed: up to max, which is 2"),
        ("{max: 0}", "study.yaml: parallelism.max: 0: input should be greater than 0"),
        ("{min: 1}", "study.yaml: parallelism.max: missing"),
        ("{max: 2, when: never}", "study.yaml: parallelism.when: 'never': 'never' is no window; write"),
        ("{max: 2, when: []}", "allowed are idle, always, and windows"),
        ("true", "study.yaml: parallelism: "),
    ],
)
def test_a_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="parallelism") as caught:
        parsed(text)
    assert said in str(caught.value)
