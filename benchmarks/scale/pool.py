"""A pool of slots that run nothing: evaluations end when a clock says so that skips all waiting."""

from __future__ import annotations

import heapq
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from benchmarks.scale.service import Service
from scoot_ray.search import Observation, Trial


@dataclass(slots=True)
class Clock:
    """Seconds since it was made: CPU seconds of this process as they pass, and what was skipped of its waits."""

    skipped_s: float = 0.0

    @property
    def now_s(self) -> float:
        """The time."""
        return time.process_time() + self.skipped_s

    def skip_to(self, moment_s: float) -> None:
        """Let it be that late, if it is not."""
        self.skipped_s += max(0.0, moment_s - self.now_s)


class FakePool:
    """An Evaluator of so many slots. ``busy_s`` are the seconds that all of them together were at work."""

    def __init__(self, service: Service, slots: int, clock: Clock) -> None:
        self._service, self._slots, self._clock = service, slots, clock
        self._ending: list[tuple[float, int, Observation]] = []
        self.busy_s = 0.0

    @property
    def free_slots(self) -> int:
        """How many trials may be submitted now."""
        return self._slots - len(self._ending)

    @property
    def pending(self) -> Collection[int]:
        """Ids of the trials under way."""
        return {trial_id for _, trial_id, _ in self._ending}

    @property
    def left_s(self) -> float:
        """Seconds that the trials under way will still take, together."""
        return sum(max(0.0, ends_s - self._clock.now_s) for ends_s, _, _ in self._ending)

    def submit(self, trial: Trial) -> None:
        """Start a trial."""
        seen = self._service.evaluate(trial)
        self.busy_s += seen.held_s
        heapq.heappush(self._ending, (self._clock.now_s + seen.held_s, trial.id, seen))

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        """What has ended, after at most ``timeout_s``: skipped, not waited for."""
        if self._ending:
            self._clock.skip_to(min(self._ending[0][0], self._clock.now_s + timeout_s))
        done = []
        while self._ending and self._ending[0][0] <= self._clock.now_s:
            done.append(heapq.heappop(self._ending)[2])
        return done

    def close(self) -> None:
        """Nothing runs."""
