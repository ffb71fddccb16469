"""What became of the time of slots: evaluations as submitted and as ended, with the seconds of their phases. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORK = ("stage_s", "start_s", "warmup_s", "load_s", "drain_s")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One evaluation by the driver's clock, and its timings as observed. ``late``: its load was not sent in time."""

    submitted_s: float
    ended_s: float
    timings: Mapping[str, float]
    late: bool = False

    @property
    def work_s(self) -> float:
        """What the evaluation is for: the engine's start and the load, to the last answer."""
        return sum(self.timings.get(phase, 0.0) for phase in _WORK)

    @property
    def overhead_s(self) -> float:
        """All the rest between submission and end."""
        return self.ended_s - self.submitted_s - self.work_s

    @property
    def stop_s(self) -> float:
        """The engine's end."""
        return self.timings.get("stop_s", 0.0)

    @property
    def idle_s(self) -> float:
        """The worker's own time beside the phases."""
        return self.timings.get("idle_s", 0.0)

    @property
    def began_s(self) -> float:
        """When the engine's start began, at the latest: everything after the work but the engine's end left out."""
        return self.ended_s - self.stop_s - self.work_s

    @property
    def outside_s(self) -> float:
        """Before the worker was there and after it had answered."""
        return self.overhead_s - self.stop_s - self.idle_s


def last_start_s(attempts: Sequence[Attempt]) -> float:
    """When the last of them was submitted: after it slots run empty for want of budget."""
    return max(one.submitted_s for one in attempts)


def share(attempts: Sequence[Attempt], slots: int) -> float:
    """The share of the slots' time at work, from the first submission to the last.

    Their engines' ends and all other overhead do not count as work.
    """
    first_s, last_s = min(one.submitted_s for one in attempts), last_start_s(attempts)
    worked_s = sum(max(0.0, min(one.began_s + one.work_s, last_s) - one.began_s) for one in attempts)
    return worked_s / (slots * (last_s - first_s)) if last_s > first_s else 0.0


def free_share(attempts: Sequence[Attempt], slots: int) -> float:
    """The share of the slots' time in the same span that no evaluation held: the loop was elsewhere, or thinking."""
    first_s, last_s = min(one.submitted_s for one in attempts), last_start_s(attempts)
    held_s = sum(max(0.0, min(one.ended_s, last_s) - one.submitted_s) for one in attempts)
    return 1.0 - held_s / (slots * (last_s - first_s)) if last_s > first_s else 0.0


def starts_a_minute(attempts: Sequence[Attempt]) -> tuple[float, int]:
    """Engines started in a minute: the mean until the last, and the most in any minute that begins with one."""
    began_s = sorted(one.began_s for one in attempts)
    most = max(sum(start_s <= other_s < start_s + 60.0 for other_s in began_s) for start_s in began_s)
    span_s = began_s[-1] - began_s[0]
    return (len(began_s) * 60.0 / span_s if span_s > 0 else 0.0), most
