"""The journal: one immutable JSON file per event, written before the event is acted on.

``<run>/journal/00000012.json`` holds ``{v, seq, id, type, trial, attempt, at, data}``. Replaying the folder gives the
Log, so that a study goes on after any stop. Events with an id already seen change nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf, isfinite
from pathlib import Path
from typing import Any

from scoot_ray.log import Log
from scoot_ray.search.trial import Bounded, Failed, FailureKind, Measured, Observation, Origin, Outcome, Trial

VERSION = 1
_NAME = re.compile(r"\d{8}\.json")


class JournalError(Exception):
    """The journal cannot be read or written; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry. ``id`` is a function of what happened, so that the same happening is never counted twice."""

    seq: int
    id: str
    type: str
    trial: int | None
    attempt: int
    at: str
    data: Mapping[str, Any]


class Journal:
    """An append-only folder of events with one writer at a time.

    ``clock`` gives the time stamped on events; nothing depends on it.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._folder = folder
        self._clock = clock
        self._next_seq = 0
        self._drivers = 0
        folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the study for this process.

        Raises:
            JournalError: another driver holds it.
        """
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise JournalError(f"{self._folder}: another driver is running this study; stop it first") from error
            yield
        finally:
            os.close(descriptor)

    def replay(self) -> Log:
        """Rebuild the log from the folder.

        Raises:
            JournalError: a file is not an event, or was written by a newer version.
        """
        log = Log()
        for event in self.events():
            self._next_seq = event.seq + 1
            self._drivers += event.type == "started"
            log = applied(log, event)
        return log

    def events(self, since: int = 0) -> Iterator[Event]:
        """The events from number ``since`` on, duplicates left out. Files that are not ours are passed over."""
        seen = set()
        for path in sorted(self._folder.iterdir()):
            if not _NAME.fullmatch(path.name) or int(path.stem) < since:
                continue
            event = _read(path)
            if event.id not in seen:
                seen.add(event.id)
                yield event

    @property
    def finished(self) -> bool:
        """Whether the last driver ended with the study complete."""
        last = None
        for event in self.events():
            last = event
        return last is not None and last.type == "stopped" and bool(last.data["complete"])

    def started(self, log: Log, environment: Mapping[str, Any]) -> Log:
        """Record that a driver has taken over."""
        self._drivers += 1
        self._append(f"started/{self._drivers}", "started", None, 0, environment)
        return log.with_driver()

    def submitted(self, log: Log, trial: Trial) -> Log:
        """Record a trial before it runs."""
        self._append(f"submitted/{trial.id}", "submitted", trial.id, 0, trial_to_json(trial))
        return log.with_trial(trial)

    def observed(self, log: Log, observation: Observation) -> Log:
        """Record an outcome before anything follows from it. An outcome for a settled trial is dropped."""
        after = log.with_observation(observation)
        if after is not log:
            trial, attempt = observation.trial.id, log.attempts
            settles = after.attempts == log.attempts
            name = f"observed/{trial}" if settles else f"observed/{trial}/{attempt}"
            self._append(name, "observed", trial, attempt, observation_to_json(observation))
        return after

    def stopped(self, reason: str, complete: bool) -> None:
        """Record why the driver ended."""
        self._append(f"stopped/{self._drivers}", "stopped", None, 0, {"reason": reason, "complete": complete})

    def _append(self, name: str, kind: str, trial: int | None, attempt: int, data: Mapping[str, Any]) -> None:
        """Create the next file exclusively: written aside, synced, then linked, so that no reader sees half of it."""
        document = {
            "v": VERSION,
            "seq": self._next_seq,
            "id": name,
            "type": kind,
            "trial": trial,
            "attempt": attempt,
            "at": self._clock().isoformat(),
            "data": data,
        }
        path = self._folder / f"{self._next_seq:08d}.json"
        aside = self._folder / f".{path.name}.{os.getpid()}"
        try:
            with aside.open("w") as file:
                json.dump(document, file, allow_nan=False)
                file.flush()
                os.fsync(file.fileno())
            os.link(aside, path)
            _sync_folder(self._folder)
        except FileExistsError as error:
            raise JournalError(f"{path}: another driver has written to this study; stop it first") from error
        except OSError as error:
            raise JournalError(f"{path}: cannot write: {error.strerror}") from error
        finally:
            aside.unlink(missing_ok=True)
        self._next_seq += 1


def applied(log: Log, event: Event) -> Log:
    """The log after an event.

    Raises:
        JournalError: an outcome of a trial that was never submitted.
    """
    if event.type == "submitted":
        return log.with_trial(trial_from_json(event.data))
    if event.type == "observed":
        return log.with_observation(observation_from_json(event.data, log.trials))
    return log.with_driver() if event.type == "started" else log


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON."""
    document: dict[str, Any] = {
        "id": trial.id,
        "config": dict(trial.config),
        "origin": trial.origin.value,
        "orders": list(trial.orders),
    }
    return {**document, "to_beat": [list(one) for one in trial.to_beat]} if trial.to_beat else document


def trial_from_json(data: Mapping[str, Any]) -> Trial:
    """Read back what trial_to_json wrote."""
    beaten = tuple(tuple(one) for one in data.get("to_beat", ()))
    return Trial(data["id"], data["config"], Origin(data["origin"]), tuple(data["orders"]), beaten)


def observation_to_json(observation: Observation) -> dict[str, Any]:
    """An observation as JSON, its trial by id alone."""
    return {
        "trial": observation.trial.id,
        "outcome": _outcome_to_json(observation.outcome),
        "where": observation.where,
        "timings": dict(observation.timings),
    }


def observation_from_json(data: Mapping[str, Any], trials: tuple[Trial, ...]) -> Observation:
    """Read back what observation_to_json wrote.

    Raises:
        JournalError: the trial is not among ``trials``.
    """
    trial = next((trial for trial in trials if trial.id == data["trial"]), None)
    if trial is None:
        raise JournalError(f"an outcome names trial {data['trial']}, which was never submitted")
    return Observation(trial, _outcome(data["outcome"]), data["where"], data["timings"])


def bounds_to_json(bounds: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """Bounds as JSON, which has no infinity: an end that is not bounded is null."""
    return {name: [end if isfinite(end) else None for end in pair] for name, pair in bounds.items()}


def _bounds(data: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[float, float]]:
    return {name: (-inf if low is None else low, inf if high is None else high) for name, (low, high) in data.items()}


def _outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Measured():
            return {"measured": dict(outcome.metrics), "runs": [dict(run) for run in outcome.runs]}
        case Bounded():
            return {"bounded": bounds_to_json(outcome.bounds), "reason": outcome.reason}
        case Failed():
            return {
                "failed": outcome.kind.value,
                "detail": outcome.detail,
                "of_configuration": outcome.kind.of_configuration,
                "ambiguous": outcome.ambiguous,
            }


def _outcome(data: Mapping[str, Any]) -> Outcome:
    if "measured" in data:
        return Measured(data["measured"], tuple(data["runs"]))
    if "bounded" in data:
        return Bounded(_bounds(data["bounded"]), data["reason"])
    return _failed(data)


def _failed(data: Mapping[str, Any]) -> Failed:
    """Read a failure; of a kind that a newer version knows, it still says whose fault it was."""
    kind, detail, ambiguous = data["failed"], data["detail"], data.get("ambiguous", False)
    if kind in set(FailureKind):
        return Failed(FailureKind(kind), detail, ambiguous)
    nearest = FailureKind.CRASHED if data.get("of_configuration") else FailureKind.INTERNAL
    return Failed(nearest, f"{kind}: {detail}", ambiguous)


def _read(path: Path) -> Event:
    try:
        document = json.loads(path.read_bytes())
        if document["v"] > VERSION:
            raise JournalError(f"{path}: written by a newer scoot-ray (version {document['v']}); upgrade to read it")
        return Event(*(document[key] for key in ("seq", "id", "type", "trial", "attempt", "at", "data")))
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{path}: not an event of this journal ({error!r})") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
