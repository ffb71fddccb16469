"""THE loop: ask the optimizer what to try, let the evaluator try it, write everything down first.

It knows neither Ray nor engines nor the clock; the protocols below are all it asks of the world.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from scoot_ray.log import Log
from scoot_ray.recheck import canary, held, probe
from scoot_ray.search.trial import FailureKind, Observation, Origin, Trial
from scoot_ray.study import Study


class Optimizer(Protocol):
    """Decides what to try next. Every call carries all it must know."""

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new search trials; fewer where the space is exhausted."""

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new confirmation trials; none when everything is confirmed or under way."""


class Evaluator(Protocol):
    """Runs trials in slots."""

    @property
    def free_slots(self) -> int:
        """How many trials may be submitted now."""

    @property
    def pending(self) -> Collection[int]:
        """Ids of the trials under way."""

    def submit(self, trial: Trial) -> None:
        """Start a trial in a free slot."""

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        """What has finished, after at most ``timeout_s``."""

    def close(self) -> None:
        """Stop everything under way and leave no process behind."""


class Journal(Protocol):
    """Remembers. Each method writes before it returns the log that follows."""

    def submitted(self, log: Log, trial: Trial) -> Log:
        """A trial is about to run."""

    def observed(self, log: Log, observation: Observation) -> Log:
        """A trial has ended."""


class Stop(Protocol):
    """Says when to give up early."""

    def requested(self, log: Log) -> bool:
        """True once a signal, the deadline, or too many failures of ours ask for an end."""


class Watcher(Protocol):
    """Shows what goes on. Must not raise."""

    def update(self, log: Log) -> None:
        """Called about once a second."""


@dataclass(frozen=True, slots=True)
class Watchers:
    """Several as one."""

    each: Sequence[Watcher]

    def update(self, log: Log) -> None:
        """Tell all of them."""
        for watcher in self.each:
            watcher.update(log)


def tune(
    study: Study, log: Log, optimizer: Optimizer, evaluator: Evaluator, journal: Journal, stop: Stop, watcher: Watcher
) -> Log:
    """Run the study from ``log`` to its end, or until ``stop`` asks; open trials run again on resume."""
    try:
        while not stop.requested(log):
            for trial in log.unsettled({*evaluator.pending, *held(log)})[: evaluator.free_slots]:
                evaluator.submit(trial)
            free = evaluator.free_slots  # read once: slots come and go
            for trial in _next_trials(study, log, optimizer, free, stop):
                log = journal.submitted(log, trial)
                evaluator.submit(trial)
            if not log.open and (free or _complete(study, log, optimizer)) and not stop.requested(log):
                break
            for done in evaluator.wait(timeout_s=1.0):
                log = journal.observed(log, done)
            watcher.update(log)
    finally:
        evaluator.close()
    return log


def _next_trials(study: Study, log: Log, optimizer: Optimizer, free: int, stop: Stop) -> tuple[Trial, ...]:
    """Search while there is budget, then confirm once the search is settled.

    A suggestion that was broken off is no sign of an exhausted space. What the search tries next shows as well as a
    probe whether a machine is healthy; only when two trials wait for that, or nothing else is left, one is sent.
    """
    wanted = min(free, study.budget.left(log, study.gpus))
    if wanted > 0 and (known := canary(log, study.budget.canary_every)) is not None:
        return (known,)
    if wanted > 0 and len(held(log)) < 2:
        trials = optimizer.suggest(log, wanted)
        if trials or stop.requested(log):
            return trials
    if free and (check := probe(log)) is not None:
        return (check,)
    if free and not log.open_search:
        return optimizer.confirm(log, free)
    return ()


def _complete(study: Study, log: Log, optimizer: Optimizer) -> bool:
    """Whether nothing is left to do: seen without a slot, for which a study might otherwise wait until the night."""
    return study.budget.left(log, study.gpus) == 0 and not optimizer.confirm(log, 1)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a trial may meet a failure of ours before the run stops and names the knob."""

    lagged: int = 2
    other: int = 4

    def exhausted(self, log: Log) -> str | None:
        """The reason to stop, or None."""
        for trial in log.open:
            failures = log.setbacks_of(trial.id)
            lags = sum(failure.kind is FailureKind.CLIENT_LAGGED for failure in failures)
            if lags > self.lagged:
                return (
                    f"trial {trial.id}: the load generator was late in {lags} attempts ({failures[-1].detail}); "
                    "raise resources.cpus, lower workload.arrivals.rate, or lower parallelism"
                )
            if len(failures) - lags > self.other:
                last = failures[-1]
                if trial.origin is Origin.PROBE:
                    return (
                        f"a configuration that had worked fails now, {len(failures) - lags} times, the last: "
                        f"{last.kind}: {last.detail}; mend the machine, then resume"
                    )
                return f"trial {trial.id}: {len(failures) - lags} attempts failed, the last: {last.kind}: {last.detail}"
        return None
