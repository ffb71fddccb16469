"""What has happened in a study so far: an immutable value that the loop reads and the journal rebuilds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from scoot_ray.search.trial import Failed, Measured, Observation, Origin, Trial


@dataclass(frozen=True, slots=True)
class Log:
    """Trials in order of submission, and what came of them in order of completion.

    ``observations`` settle their trial (Measured, Bounded, Failed by the configuration); ``setbacks`` are failures of
    ours since the present driver took over: their trials run again. ``lost_s`` are the seconds that all of them ever
    held their resources.
    """

    trials: tuple[Trial, ...] = ()
    observations: tuple[Observation, ...] = ()
    setbacks: tuple[Observation, ...] = ()
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
        """Open trials of the search, confirmation left out."""
        return tuple(trial for trial in self.open if trial.origin is not Origin.CONFIRMATION)

    @property
    def spent(self) -> int:
        """Search trials submitted so far; open ones count as spent, so that the budget comes out exact."""
        return sum(trial.origin is not Origin.CONFIRMATION for trial in self.trials)

    @property
    def searched(self) -> tuple[Observation, ...]:
        """What the search has learnt, in order of completion."""
        return tuple(seen for seen in self.observations if seen.trial.origin is not Origin.CONFIRMATION)

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
        outcome = observation.outcome
        if isinstance(outcome, Failed) and not outcome.kind.of_configuration:
            return replace(
                self,
                setbacks=(*self.setbacks, observation),
                attempts=self.attempts + 1,
                lost_s=self.lost_s + observation.held_s,
            )
        return replace(self, observations=(*self.observations, observation))

    def with_driver(self) -> Log:
        """The log after a driver has taken over: what went wrong under the one before it no longer counts."""
        return replace(self, setbacks=())
