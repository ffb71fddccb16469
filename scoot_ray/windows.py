"""Weekly windows of local time, such as ``Mon-Fri 22:00-07:00 Europe/Berlin``: open until when, and when next. Pure.

A window that ends at or before its begin ends on the next day; its days are those on which it begins. Where a clock is
put forward or back, the window is read as the shorter of what it may mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
HORIZON = timedelta(days=15)  # a week, and another where a change of the clock has swallowed an hour's window
_SHAPE = re.compile(r"(?:(?P<days>[A-Za-z,-]+)\s+)?(?:(?P<begin>\d\d:\d\d)-(?P<end>\d\d:\d\d)\s+)?(?P<zone>\S+)")
_MIDNIGHT = "24:00"


@dataclass(frozen=True, slots=True)
class Window:
    """Open on ``days`` (Monday is 0) from ``begin`` to ``end``, local time of ``zone``; equal ones are a whole day."""

    days: frozenset[int]
    begin: time
    end: time
    zone: ZoneInfo

    def spans(self, first: date, last: date) -> Iterator[tuple[datetime, datetime]]:
        """Begin and end in UTC of each time it opens on the days from ``first`` to ``last``."""
        day = first
        while day <= last:
            if day.weekday() in self.days:
                ends_on = day + timedelta(days=1) if self.end <= self.begin else day
                begin, end = max(self._meanings(day, self.begin)), min(self._meanings(ends_on, self.end))
                if begin < end:
                    yield begin, end
            day += timedelta(days=1)

    def _meanings(self, day: date, at: time) -> tuple[datetime, datetime]:
        """A local time in UTC; two, where a change of the clock lets it come twice or not at all."""
        first = datetime.combine(day, at, self.zone)
        return first.astimezone(UTC), first.replace(fold=1).astimezone(UTC)


def parse_window(text: str) -> Window:
    """Read ``22:00-07:00 Europe/Berlin``, ``Sat-Sun Europe/Berlin``, ``Mon,Wed 00:00-06:00 UTC``.

    Raises:
        ValueError: it is none; the message says why.
    """
    found = _SHAPE.fullmatch(text.strip())
    if found is None or (found["days"] is None and found["begin"] is None):
        raise ValueError(f"{text!r} is no window; write [days] [HH:MM-HH:MM] zone, such as 'Sat-Sun Europe/Berlin'")
    begin, end = found["begin"] or "00:00", found["end"] or _MIDNIGHT
    if begin == end:
        raise ValueError(f"{text!r}: begins where it ends; leave the hours out for whole days")
    days = frozenset(range(7)) if found["days"] is None else _days(found["days"])
    try:
        zone = ZoneInfo(found["zone"])
    except (ValueError, OSError, LookupError) as error:
        raise ValueError(
            f"{found['zone']!r} is no time zone known here; write one such as Europe/Berlin, UTC"
        ) from error
    return Window(days, _time(begin), _time(end), zone)


def open_until(windows: Sequence[Window], now: datetime) -> datetime | None:
    """When the windows open at ``now`` close, in UTC, those included that follow without a gap; None if all are closed.

    ``now`` needs a time zone. Windows that never close are told to close in some two weeks.
    """
    end: datetime | None = None
    for begins, ends in _spans(windows, now):
        if begins <= (end or now) < ends:
            end = ends
    return end


def opens_next(windows: Sequence[Window], now: datetime) -> datetime | None:
    """When the next of the windows opens after ``now``, in UTC; None where none does within two weeks."""
    return next((begins for begins, _ in _spans(windows, now) if begins > now), None)


def _spans(windows: Sequence[Window], now: datetime) -> list[tuple[datetime, datetime]]:
    """The times around ``now`` at which any window opens and closes, in order."""
    today = now.astimezone(UTC).date()
    first, last = today - timedelta(days=2), today + HORIZON
    return sorted(span for window in windows for span in window.spans(first, last))


def _days(text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        begin, end = _day(first), _day(last or first)
        found.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(found)


def _day(text: str) -> int:
    try:
        return DAYS.index(text.capitalize())
    except ValueError:
        raise ValueError(f"{text!r} is no day; allowed are {', '.join(DAYS)}") from None


def _time(text: str) -> time:
    if text == _MIDNIGHT:
        return time(0)
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time of day; write 00:00 to 24:00") from None
