"""The run as JSON lines for machines: ``--events``. docs/runs.md describes every type."""

from __future__ import annotations

import json
import os
import select
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from scoot_ray.journal import bounds_to_json
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.results.live.believed import Believed
from scoot_ray.results.live.scene import Activity
from scoot_ray.search import Bounded, Failed, Measured, Metrics, Observation

VERSION = 1
_PATIENCE_S = 30.0  # with a reader that does not read, and for the last recommendation
_PIECE = 4096  # bytes that a pipe takes at once when it takes any


class EventSink:
    """Writes lines to a file descriptor, each at once and whole. Once nobody reads, it writes nothing any more."""

    def __init__(self, descriptor: int, study: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._descriptor, self._study, self._clock = descriptor, study, clock
        self._poll, self._gone = select.poll(), False
        self._poll.register(descriptor, select.POLLOUT)

    @property
    def closed(self) -> bool:
        """Whether the reader has gone, or has read nothing for 30 s."""
        if any(flags & (select.POLLERR | select.POLLHUP) for _, flags in self._poll.poll(0)):
            self._gone = True
        return self._gone

    def write(self, kind: str, trial: int | None = None, **data: Any) -> None:
        """Write one event; values must be JSON."""
        head = {"v": VERSION, "type": kind, "at": self._clock().isoformat(), "study": self._study, "trial": trial}
        text = json.dumps({**head, **data}, allow_nan=False)
        try:
            self._put(f"{text}\n".encode())
        except OSError:  # EPIPE: Python ignores the signal
            self._gone = True

    def _put(self, content: bytes) -> None:
        ends_s = time.monotonic() + _PATIENCE_S
        while content and not self.closed:
            if not self._poll.poll(max(0.0, ends_s - time.monotonic()) * 1000):
                self._gone = True
                return
            content = content[os.write(self._descriptor, content[:_PIECE]) :]


class EventLines:
    """A Watcher that writes an event for everything that is new in the log, and for every phase of every slot."""

    def __init__(
        self, sink: EventSink, resolved: Resolved, run: str, activities: Callable[[], Sequence[Activity]]
    ) -> None:
        self._sink, self._resolved, self._run, self._activities = sink, resolved, run, activities
        self._believed = Believed(resolved.problem)
        self._best: list[int] = []
        self._log: Log | None = None
        self._phases: dict[int, tuple[str, str]] = {}

    def __enter__(self) -> EventLines:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the recommendation that is being computed, and write it."""
        self._believed.settle(_PATIENCE_S)
        if self._log is not None:
            self._tell_best(self._log)

    def update(self, log: Log) -> None:
        """Write what is new. What was there at the first call is counted, not repeated."""
        if self._log is None:
            self._sink.write("started", **self._beginning(log))
            self._log = log
        before, self._log = self._log, log
        for trial in log.trials[len(before.trials) :]:
            self._sink.write("submitted", trial.id, origin=trial.origin.value, config=dict(trial.config))
        self._tell_phases()
        for seen in log.setbacks[len(before.setbacks) :]:
            self._sink.write("failure", seen.trial.id, where=seen.where, **outcome_of(seen))
            self._phases.pop(seen.trial.id, None)
        for seen in log.observations[len(before.observations) :]:
            self._tell_observed(seen)
        self._believed.ask(log)
        self._tell_best(log)

    def _beginning(self, log: Log) -> dict[str, Any]:
        study, problem = self._resolved.study, self._resolved.problem
        return {
            "run": self._run,
            "simulated": study.engine.simulated,
            "tuner": study.tuner,
            "objectives": [{"metric": one.metric, "direction": one.direction} for one in problem.objectives],
            "slos": list(study.slos),
            "budget": {"observations": study.budget.observations, "spent": len(log.searched)},
            "parallelism": study.parallelism.max,
            "warnings": list(self._resolved.warnings),
        }

    def _tell_phases(self) -> None:
        for one in self._activities():
            place = (one.phase, one.where)
            if self._phases.get(one.trial.id) != place:
                self._phases[one.trial.id] = place
                self._sink.write("phase", one.trial.id, phase=one.phase, where=one.where)

    def _tell_observed(self, seen: Observation) -> None:
        origin, config = seen.trial.origin.value, dict(seen.trial.config)
        told = {"where": seen.where, "timings": dict(seen.timings), **outcome_of(seen)}
        self._sink.write("observed", seen.trial.id, origin=origin, config=config, **told)
        self._phases.pop(seen.trial.id, None)

    def _tell_best(self, log: Log) -> None:
        known = self._believed.known
        front = [seen.trial.id for seen in known]
        if front == self._best or not known or not isinstance(known[0].outcome, Measured):
            return
        self._best, best, metrics = front, known[0], known[0].outcome.metrics
        against = self._changes(log, metrics)
        told = {"config": dict(best.trial.config), "metrics": dict(metrics), "against_default": against}
        self._sink.write("best", best.trial.id, confirmed=False, front=front, **told)

    def _changes(self, log: Log, metrics: Metrics) -> dict[str, float]:
        """Each objective's relative change, where the default was measured."""
        before = log.default.metrics if log.default is not None else {}
        wanted = [one.metric for one in self._resolved.problem.objectives]
        return {name: metrics[name] / before[name] - 1 for name in wanted if before.get(name) and name in metrics}


def outcome_of(seen: Observation) -> dict[str, Any]:
    """An outcome under the names that ``result.json`` uses, with its kind as ``outcome``."""
    match seen.outcome:
        case Measured(metrics=metrics):
            return {"outcome": "measured", "metrics": dict(metrics)}
        case Bounded(bounds=bounds, reason=reason):
            return {"outcome": "bounded", "bounds": bounds_to_json(bounds), "reason": reason}
        case Failed(kind=kind, detail=detail):
            return {"outcome": "failed", "failed": kind.value, "detail": detail}


def ending(result: Mapping[str, Any], files: Mapping[str, str | None], code: int) -> dict[str, Any]:
    """What the last event says of a run that came to a result; ``files`` are its result and its report."""
    chosen = result["recommended"]
    return {
        "complete": result["complete"],
        "reason": result["reason"],
        "exit_code": code,
        "sentence": result["sentence"],
        "recommended": None if chosen is None else {"config": chosen["config"], "confirmed": chosen["confirmed"]},
        **files,
    }
