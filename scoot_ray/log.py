"""What has happened in a study so far: an immutable value that the loop reads and the journal rebuilds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from scoot_ray.search.trial import Failed, Measured, Observation, Origin, Trial

_NOT_SEARCHED = frozenset({Origin.CONFIRMATION, Origin.PROBE, Origin.SOAK})


@dataclass(frozen=True, slots=True)
class Doubt:
    """An ambiguous failure: its trial runs once more, and then it counts. ``since``: observations before it."""

    failure: Observation
    since: int


@dataclass(frozen=True, slots=True)
class Log:
    """Trials in order of submission, and what came of them in order of completion.

    ``observations`` settle their trial (Measured, Bounded, Failed by the configuration); ``setbacks`` are failures of
    ours since the present driver took over, and first ambiguous ones (``doubts``): their trials run again. A probe that
    fails, fails by us. ``lost_s`` are the seconds that all of them ever held their resources.
    """

    trials: tuple[Trial, ...] = ()
    observations: tuple[Observation, ...] = ()
    setbacks: tuple[Observation, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    attempts: int = 0
    lost_s: float = 0.0

    @property
    def next_id(self) -> int:
        """The id of the next trial: ids count up from 0 and are never used twice."""
        return max((trial.id for trial in self.trials), default=-1) + 1

    @property
    def open(self) -> tuple[Trial, ...]:
        """Trials whose outcome is still to come, oldest first."""
        settled = {observation.trial.id for observation in self.observations}
        return tuple(trial for trial in self.trials if trial.id not in settled)

    @property
    def open_search(self) -> tuple[Trial, ...]:
        """Open trials of the search; confirmation, probes and soaks left out."""
        return tuple(trial for trial in self.open if trial.origin not in _NOT_SEARCHED)

    @property
    def spent(self) -> int:
        """Search trials submitted so far; open ones count as spent, so that the budget comes out exact."""
        return sum(trial.origin not in _NOT_SEARCHED for trial in self.trials)

    @property
    def searched(self) -> tuple[Observation, ...]:
        """What the search has learnt, in order of completion."""
        return tuple(seen for seen in self.observations if seen.trial.origin not in _NOT_SEARCHED)

    @property
    def confirmed(self) -> tuple[Observation, ...]:
        """What the confirmation has measured, in order of completion."""
        return tuple(seen for seen in self.observations if seen.trial.origin is Origin.CONFIRMATION)

    @property
    def confirming(self) -> bool:
        """Whether the confirmation has begun, and so the search is over."""
        return any(trial.origin is Origin.CONFIRMATION for trial in self.trials)

    @property
    def held_s(self) -> float:
        """Seconds that all evaluations together have held their resources."""
        return self.lost_s + sum(seen.held_s for seen in self.observations)

    @property
    def held_phases_s(self) -> Mapping[str, float]:
        """The same by phase; ``lost_s`` is what came to nothing: failures of ours, and what was tried once more."""
        total: Counter[str] = Counter()
        for seen in self.observations:
            total.update({phase: seconds for phase, seconds in seen.timings.items() if phase != "queue_s"})
        return {**total, "lost_s": self.lost_s}

    @property
    def default(self) -> Measured | None:
        """The default configuration's measurement, or None while there is none."""
        return next(
            (
                seen.outcome
                for seen in self.searched
                if seen.trial.origin is Origin.DEFAULT and isinstance(seen.outcome, Measured)
            ),
            None,
        )

    def unsettled(self, pending: Collection[int]) -> tuple[Trial, ...]:
        """Open trials that no slot is working on: after a resume, or a failure of ours."""
        return tuple(trial for trial in self.open if trial.id not in pending)

    def setbacks_of(self, trial_id: int) -> tuple[Failed, ...]:
        """The failures of ours that one trial has met under the present driver."""
        return tuple(
            seen.outcome for seen in self.setbacks if seen.trial.id == trial_id and isinstance(seen.outcome, Failed)
        )

    def with_trial(self, trial: Trial) -> Log:
        """The log after a submission."""
        return replace(self, trials=(*self.trials, trial))

    def with_observation(self, observation: Observation) -> Log:
        """The log after an outcome. A second outcome of a settled trial changes nothing."""
        if all(trial.id != observation.trial.id for trial in self.open):
            return self
        if self._settles(observation):
            doubts = tuple(doubt for doubt in self.doubts if doubt.failure.trial.id != observation.trial.id)
            return replace(self, observations=(*self.observations, observation), doubts=doubts)
        outcome = observation.outcome
        doubtful = isinstance(outcome, Failed) and outcome.ambiguous and observation.trial.origin is not Origin.PROBE
        return replace(
            self,
            setbacks=(*self.setbacks, observation),
            doubts=(*self.doubts, Doubt(observation, len(self.observations))) if doubtful else self.doubts,
            attempts=self.attempts + 1,
            lost_s=self.lost_s + observation.held_s,
        )

    def _settles(self, observation: Observation) -> bool:
        """Whether an outcome is the last of its trial."""
        outcome = observation.outcome
        if not isinstance(outcome, Failed):
            return True
        if not outcome.kind.of_configuration or observation.trial.origin is Origin.PROBE:
            return False
        doubted = any(doubt.failure.trial.id == observation.trial.id for doubt in self.doubts)
        return doubted or not outcome.ambiguous

    def with_driver(self) -> Log:
        """The log after a driver has taken over: what went wrong under the one before it no longer counts."""
        return replace(self, setbacks=(), doubts=())
