"""When something known is measured again: to see a machine healthy, and whether machines stay alike. Pure decisions.

A trial that failed ambiguously may run again once its machine has been seen healthy.

A known-good configuration is one that was measured before; that it is measured again, or that any other is on the same
host, is the sign. While nothing was ever measured there is nothing to wait for.
"""

from __future__ import annotations

from scoot_ray.log import Doubt, Log
from scoot_ray.search.trial import Config, Failed, Measured, Observation, Origin, Trial


def held(log: Log) -> frozenset[int]:
    """The ids of the open trials that wait for a sign of health."""
    if _known_good(log) is None:
        return frozenset()
    return frozenset(doubt.failure.trial.id for doubt in log.doubts if not _healthy_since(log, doubt))


def probe(log: Log) -> Trial | None:
    """A known-good configuration as a trial, where one waits for it and none is under way."""
    config = _known_good(log)
    if config is None or not held(log) or any(trial.origin is Origin.PROBE for trial in log.open):
        return None
    return Trial(log.next_id, config, Origin.PROBE)


def canary(log: Log, every: int | None) -> Trial | None:
    """The default as a trial, ``every`` so many evaluations after it was last measured; never in the confirmation."""
    again = remeasured(log)
    if every is None or not again or log.confirming or any(trial.origin is Origin.PROBE for trial in log.open):
        return None
    since = log.observations[log.observations.index(again[-1]) + 1 :]
    return Trial(log.next_id, again[0].trial.config, Origin.PROBE) if len(since) >= every else None


def remeasured(log: Log) -> tuple[Observation, ...]:
    """The measurements of the default under the search's arrivals: the first, and those of canaries and probes."""
    if log.default is None:
        return ()
    first = next(trial.config for trial in log.trials if trial.origin is Origin.DEFAULT)
    return tuple(
        seen
        for seen in log.observations
        if seen.trial.origin in {Origin.DEFAULT, Origin.PROBE}
        and seen.trial.config == first
        and isinstance(seen.outcome, Measured)
    )


def _known_good(log: Log) -> Config | None:
    """What was measured last, before the oldest doubt or after it."""
    measured = (seen.trial.config for seen in reversed(log.observations) if not isinstance(seen.outcome, Failed))
    return next(measured, None)


def _healthy_since(log: Log, doubt: Doubt) -> bool:
    """Whether an engine has survived since, on the same host or as a probe, which runs wherever a slot is free."""
    return any(
        not isinstance(seen.outcome, Failed)
        and (seen.where == doubt.failure.where or seen.trial.origin is Origin.PROBE)
        for seen in log.observations[doubt.since :]
    )
