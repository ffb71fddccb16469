"""A run of another process, seen through its journal."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.console import Console

from scoot_ray.journal import Event, Journal, applied
from scoot_ray.load.trace import Trace
from scoot_ray.log import Log
from scoot_ray.problem import build_problem
from scoot_ray.recall import recall
from scoot_ray.resolve import Resolved
from scoot_ray.results.live.display import LiveDisplay
from scoot_ray.results.live.lines import PlainLines
from scoot_ray.results.report.text import duration
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Trial
from scoot_ray.study import StudyError, read_study

_QUIET_S = 300.0  # after which it is said that nothing was heard


@dataclass(frozen=True, slots=True)
class Underway:
    """An Activity as far as the journal tells: the phase within an evaluation is not in it."""

    trial: Trial
    phase: str
    since_s: float
    where: str = ""


class Follower:
    """The log of a run as it grows. ``last`` is the newest event, None before there is any."""

    def __init__(self, journal: Journal, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._journal, self._clock = journal, clock
        self._seen: set[str] = set()
        self._since: dict[int, datetime] = {}
        self._began: datetime | None = None
        self.log = Log()
        self.last: Event | None = None

    @property
    def running_s(self) -> float:
        """Seconds since the present driver took over, by this machine's clock."""
        return self._ago_s(self._began)

    @property
    def note(self) -> str:
        """That nothing was heard for long, where that is so."""
        quiet_s = self._ago_s(datetime.fromisoformat(self.last.at) if self.last is not None else None)
        return f"nothing heard for {duration(quiet_s)}" if quiet_s > _QUIET_S else ""

    @property
    def activities(self) -> tuple[Underway, ...]:
        """The open trials."""
        log, retried = self.log, {seen.trial.id for seen in self.log.setbacks}
        return tuple(
            Underway(
                trial, "tried again" if trial.id in retried else "under way", self._ago_s(self._since.get(trial.id))
            )
            for trial in log.open
        )

    def catch_up(self) -> bool:
        """Read what has been written since; false once the driver has stopped.

        Raises:
            JournalError: the journal cannot be read.
        """
        for event in self._journal.events(self.last.seq + 1 if self.last is not None else 0):
            if event.id not in self._seen:
                self._take_in(event)
            self.last = event
        return self.last is None or self.last.type != "stopped"

    def _take_in(self, event: Event) -> None:
        self._seen.add(event.id)
        self.log = applied(self.log, event)
        at = datetime.fromisoformat(event.at)
        if event.type == "started":
            self._began = at
            self._since = dict.fromkeys((trial.id for trial in self.log.open), at)
        elif event.trial is not None:
            self._since[event.trial] = at

    def _ago_s(self, moment: datetime | None) -> float:
        """Never negative: machines' clocks differ."""
        return 0.0 if moment is None else max(0.0, (self._clock() - moment).total_seconds())


def plan_of(folder: RunFolder) -> Resolved:
    """The study of a run, for one who only watches: neither its trace nor its engine need be on this machine.

    Raises:
        StudyError: the study cannot be read.
    """
    try:
        return recall(folder)
    except StudyError:
        study = read_study(folder.study)
        if isinstance(study.space, str):  # only a run's own file has it written out
            raise
        return Resolved(study, build_problem(study, None, folder.study), Trace((), study.workload.trace, ""))


def follow(folder: RunFolder, resolved: Resolved, console: Console, every_s: float = 1.0) -> None:
    """Show a run until its driver stops; a full screen in a terminal, lines elsewhere.

    It does not end by itself where the driver died without a word: the display says for how long nothing was heard.

    Raises:
        JournalError: the journal cannot be read.
    """
    follower = Follower(Journal(folder.journal))
    if not follower.catch_up():
        return
    with _display(console, resolved, follower) as display:
        display.update(follower.log)
        goes_on = True
        while goes_on:
            time.sleep(every_s)
            goes_on = follower.catch_up()
            display.update(follower.log)


def _display(console: Console, resolved: Resolved, follower: Follower) -> LiveDisplay | PlainLines:
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(
            console, resolved, lambda: follower.activities, lambda: follower.running_s, lambda: follower.note
        )
    return PlainLines(console, resolved, lambda: follower.activities)
