"""Windows of local time: over midnight, over changes of the clock, joined where they meet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.windows import open_until, opens_next, parse_window

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = parse_window("22:00-07:00 Europe/Berlin")


def berlin(*moment: int) -> datetime:
    year, month, day, hour, minute = moment
    return datetime(year, month, day, hour, minute, tzinfo=BERLIN)


@pytest.mark.parametrize(
    ("now", "closes"),
    [
        (berlin(2026, 6, 3, 22, 0), berlin(2026, 6, 4, 7, 0)),
        (berlin(2026, 6, 4, 6, 59), berlin(2026, 6, 4, 7, 0)),
        (berlin(2026, 6, 4, 7, 0), None),
        (berlin(2026, 6, 4, 21, 59), None),
        (berlin(2026, 3, 28, 23, 0), berlin(2026, 3, 29, 7, 0)),  # the clock goes forward at 2
        (berlin(2026, 10, 24, 23, 0), berlin(2026, 10, 25, 7, 0)),  # and back at 3
    ],
)
def test_a_night_ends_in_the_morning(now: datetime, closes: datetime | None) -> None:
    assert open_until([NIGHT], now) == closes


def test_the_night_of_the_change_is_an_hour_shorter_or_longer() -> None:
    for evening, hours in ((berlin(2026, 3, 28, 22, 0), 8), (berlin(2026, 10, 24, 22, 0), 10)):
        closes = open_until([NIGHT], evening)
        assert closes is not None
        assert closes - evening.astimezone(UTC) == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("text", "on", "hours"),
    [
        ("02:15-02:45 Europe/Berlin", (2026, 3, 29), 0.0),  # does not exist
        ("02:30-04:00 Europe/Berlin", (2026, 3, 29), 0.5),  # begins once summer time has
        ("02:30-04:00 Europe/Berlin", (2026, 10, 25), 1.5),  # begins with the second 2:30
        ("01:00-02:30 Europe/Berlin", (2026, 10, 25), 1.5),  # ends with the first
    ],
)
def test_in_doubt_a_window_is_the_shorter(text: str, on: tuple[int, int, int], hours: float) -> None:
    midnight = berlin(*on, 0, 0).astimezone(UTC)
    minutes = (midnight + timedelta(minutes=step) for step in range(6 * 60))
    assert sum(open_until([parse_window(text)], minute) is not None for minute in minutes) == hours * 60


def test_weekends_and_nights_that_meet_are_one() -> None:
    windows = [parse_window("Mon-Fri 22:00-07:00 Europe/Berlin"), parse_window("Sat-Sun Europe/Berlin")]
    assert open_until(windows, berlin(2026, 6, 5, 23, 0)) == berlin(2026, 6, 8, 0, 0)  # Friday to Sunday's end
    assert opens_next(windows, berlin(2026, 6, 8, 12, 0)) == berlin(2026, 6, 8, 22, 0)
    assert open_until(windows, berlin(2026, 6, 8, 3, 0)) is None  # Monday's night begins on Monday


def test_days_wrap_and_may_be_listed() -> None:
    assert parse_window("Sat-Mon 00:00-24:00 UTC").days == {5, 6, 0}
    assert parse_window("mon,Wed-Thu 01:00-02:00 UTC").days == {0, 2, 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nights", "is no window; write"),
        ("22:00-07:00", "is no window"),
        ("Europe/Berlin", "is no window"),
        ("22:00-07:00 Europe/Bonn", "'Europe/Bonn' is no time zone known here"),
        ("Mo-Fr 22:00-07:00 UTC", "'Mo' is no day; allowed are Mon, Tue"),
        ("22:00-25:00 UTC", "'25:00' is no time of day"),
        ("22:00-22:00 UTC", "begins where it ends"),
    ],
)
def test_what_is_no_window_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_window(text)


moments = st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))
times = st.times().map(lambda time: time.strftime("%H:%M"))
zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"])


@given(now=moments, begin=times, end=times, zone=zones)
def test_an_open_window_stays_open_until_it_closes_and_then_is_closed(
    now: datetime, begin: str, end: str, zone: str
) -> None:
    if begin == end:
        return
    window = parse_window(f"{begin}-{end} {zone}")
    closes = open_until([window], now)
    if closes is None:
        opens = opens_next([window], now)
        assert opens is not None
        assert opens > now
        assert open_until([window], opens) is not None
        assert open_until([window], opens - timedelta(seconds=1)) is None
    else:
        assert now < closes <= now + timedelta(hours=25)
        assert open_until([window], closes - timedelta(seconds=1)) == closes
        assert open_until([window], closes) is None


@given(now=moments)
def test_all_days_never_close(now: datetime) -> None:
    closes = open_until([parse_window("Mon-Sun Europe/Berlin")], now)
    assert closes is not None
    assert closes - now > timedelta(days=7)
    assert open_until([parse_window("Mon-Fri UTC"), parse_window("Sat-Sun UTC")], now) is not None
