"""Whether an evaluation may start now, and how many: windows, deadline, slots asked for, slots idle. Pure decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import quantiles

from scoot_ray.study import Parallelism
from scoot_ray.windows import Window, open_until, opens_next

_RECENT = 50  # evaluations that say how long the next may take
_LATE = 0.9  # of them were no longer than what is expected


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether evaluations may start. ``reason`` says why not; ``for_good``: nor ever again before the deadline."""

    reason: str | None = None
    for_good: bool = False

    @property
    def open(self) -> bool:
        """Whether an evaluation may start now."""
        return self.reason is None


@dataclass(frozen=True, slots=True)
class Admission:
    """The rules of one study: from ``parallelism`` and ``budget.deadline``."""

    parallelism: Parallelism
    deadline: datetime | None = None

    def gate(self, now: datetime, expected_s: float) -> Gate:
        """Whether an evaluation that takes ``expected_s`` may start at ``now``, which has a time zone."""
        ends = now + timedelta(seconds=expected_s)
        if self.deadline is not None and ends > self.deadline.astimezone(UTC):
            return Gate(f"no evaluation of some {expected_s:.0f} s would end before {self.deadline.isoformat()}", True)
        windows = self.parallelism.windows
        if not windows:
            return Gate()
        closes = open_until(windows, now)
        if closes is not None and ends <= closes:
            return Gate()
        why = "the window is closed" if closes is None else f"{expected_s:.0f} s do not fit in the window any more"
        return Gate(f"{why}; {_next(windows, now)}")

    def may_start(self, running: int, idle: int) -> int:
        """How many evaluations may start while the gate is open.

        Args:
            running: those under way, whether they hold resources or wait for them.
            idle: slots that nobody holds, is about to hold or waits for.
        """
        room = self.parallelism.max - running
        missing = self.parallelism.asked - running
        return max(0, min(room, max(missing, idle)))


def expected_s(held_s: Sequence[float], estimate_s: float) -> float:
    """Seconds that an evaluation may be expected to take: nine of ten took no longer, or the longer of few.

    Args:
        held_s: seconds of past evaluations, the oldest first.
        estimate_s: what stands for them where there are fewer than ten.
    """
    recent = [seconds for seconds in held_s if seconds > 0.0][-_RECENT:]
    if len(recent) < 10:
        return max(recent, default=estimate_s)
    return quantiles(recent, n=10, method="inclusive")[round(_LATE * 10) - 1]


def _next(windows: Sequence[Window], now: datetime) -> str:
    opens = opens_next(windows, now)
    if opens is None:
        return "none opens in the next two weeks"
    return f"the next opens {opens.astimezone(windows[0].zone):%a %Y-%m-%d %H:%M} ({windows[0].zone.key})"
