"""The journal: one immutable JSON file per event, written before the event is acted on.

``<run>/journal/00000012.json`` holds ``{v, seq, id, type, trial, attempt, at, data}``. Replaying the folder gives the
Log, so that a study goes on after any stop. Events with an id already seen change nothing.

A torn event is one whose writing was cut off: no whole JSON. Nothing was done about it yet, since events are written
before they are acted on; so it counts for nothing where it is the last. The next driver goes on after it, and its first
event says how many it has passed over (``torn``). One that nobody has passed over was whole when others were written
after it, and the journal is refused. So is one in which an event is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from scoot_ray.journal.encoding import (
    observation_from_json,
    observation_to_json,
    trial_from_json,
    trial_to_json,
)
from scoot_ray.journal.event import VERSION, Event, JournalError, read_event
from scoot_ray.log import Log
from scoot_ray.search.trial import Observation, Trial
from scoot_ray.storage import USUAL, HeldError, Lease, LeaseTimes, Place, hold, storage_at

_NAME = re.compile(r"\d{8}\.json")


class Journal:
    """An append-only folder of events with one writer at a time.

    ``clock`` gives the time stamped on events; nothing depends on it.
    """

    def __init__(
        self,
        place: Place,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        lease_times: LeaseTimes = USUAL,
    ) -> None:
        self._storage = storage_at(place)
        self._clock = clock
        self._lease_times = lease_times
        self._lease: Lease | None = None
        self._read: dict[str, Event] = {}
        self._torn: frozenset[str] = frozenset()
        self._next_seq = 0
        self._drivers = 0
        self._passed_over = 0

    @contextmanager
    def exclusive(self, tell: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Hold the study for this process; ``tell`` is told what is waited for.

        Raises:
            JournalError: another driver holds it.
        """
        try:
            with hold(self._storage, self._lease_times, tell) as self._lease:
                yield
        except HeldError as error:
            raise JournalError(f"{self._storage}: {error}") from error
        finally:
            self._lease = None

    @property
    def begun(self) -> bool:
        """Whether any event has been written."""
        return any(_NAME.fullmatch(name) for name in self._storage.names())

    def replay(self) -> Log:
        """Rebuild the log from the folder.

        Raises:
            JournalError: a file is not an event, was written by a newer version, is torn, or is missing.
        """
        log = Log()
        self._drivers = self._next_seq = self._passed_over = 0
        for event in self.events():
            self._next_seq = event.seq + 1
            self._drivers += event.type == "started"
            log = applied(log, event)
        while _name(self._next_seq) in self._torn:
            self._next_seq += 1
            self._passed_over += 1
        return log

    def events(self, since: int = 0) -> Iterator[Event]:
        """The events from number ``since`` on, duplicates and what is torn at an end left out, files not ours too.

        Raises:
            JournalError: as replay.
        """
        names = self._fetch()
        seen: set[str] = set()
        torn = expected = 0
        for name in names:
            event = self._read.get(name)
            if event is not None and event.id in seen:
                continue
            if event is not None and torn > event.torn:
                self._refuse(expected - 1, "torn")
            if (int(name[:8]) if event is None else event.seq) != expected:
                self._refuse(expected, "missing")
            expected += 1
            torn = torn + 1 if event is None else 0
            if event is not None:
                seen.add(event.id)
                if event.seq >= since:
                    yield event

    def _refuse(self, seq: int, what: str) -> NoReturn:
        path = self._storage.within(_name(seq))
        raise JournalError(f"{path}: {what}, and later events rest on it; restore it from a copy")

    def _fetch(self) -> list[str]:
        """Read what has not been read yet; return the names of all events, torn ones too."""
        names = [name for name in self._storage.names() if _NAME.fullmatch(name)]
        unread = [name for name in names if name not in self._read]
        for name, content in zip(unread, self._storage.read_many(unread), strict=True):
            event = read_event(str(self._storage.within(name)), content or b"")
            if event is not None:
                self._read[name] = event
        self._torn = frozenset(names) - self._read.keys()
        return names

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
        """Create the next file exclusively. No event is written after one that failed: the name would be taken."""
        document = {
            "v": VERSION,
            "seq": self._next_seq,
            "id": name,
            "type": kind,
            "trial": trial,
            "attempt": attempt,
            "at": self._clock().isoformat(),
            "data": data,
        } | ({"torn": self._passed_over} if self._passed_over else {})
        name = _name(self._next_seq)
        path, content = self._storage.within(name), json.dumps(document, allow_nan=False).encode()
        try:
            self._check_lease()
            self._storage.create(name, content)
        except FileExistsError as error:
            raise JournalError(f"{path}: another driver has written to this study; stop it first") from error
        except HeldError as error:
            raise JournalError(f"{path}: {error}") from error
        except OSError as error:
            reason = error.strerror or next(iter(str(error).splitlines()), "no reason given")
            raise JournalError(f"{path}: cannot write: {reason}") from error
        self._next_seq += 1
        self._passed_over = 0

    def _check_lease(self) -> None:
        """Exclusive creation finds a second driver by itself; without it the lease is looked at before every event."""
        if self._lease is not None and (self._lease.lost or not self._storage.exclusive):
            self._lease.check()


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


def _name(seq: int) -> str:
    return f"{seq:08d}.json"
