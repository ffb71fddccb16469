"""The study's gate at this moment, with what its evaluations have taken so far."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from scoot_ray.admission import Admission, Gate, expected_s
from scoot_ray.estimate import evaluation_s
from scoot_ray.search import Observation
from scoot_ray.study import Study


class Entrance:
    """Opens and shuts with the clock. ``past`` are earlier evaluations of the study."""

    def __init__(self, study: Study, past: Iterable[Observation] = ()) -> None:
        self.rules = Admission(study.parallelism, study.budget.deadline)
        self._estimate_s, self._virtual = evaluation_s(study), study.engine.in_virtual_time
        self._held_s: list[float] = []
        for observation in past:
            self.note(observation)

    def note(self, observation: Observation) -> None:
        """Learn from an evaluation how long the next may take; virtual seconds say nothing of that, nor lost ones."""
        if not self._virtual and "lost_s" not in observation.timings:
            self._held_s.append(observation.held_s)

    @property
    def gate(self) -> Gate:
        """Whether an evaluation may start now."""
        return self.rules.gate(datetime.now(UTC), expected_s(self._held_s, self._estimate_s))

    @property
    def over(self) -> str | None:
        """Why no evaluation may ever start again; None where one may."""
        gate = self.gate
        return gate.reason if gate.for_good else None
