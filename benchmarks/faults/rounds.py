"""One round: a study is started, struck at a random moment, ends or is resumed, and is looked over."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.faults.catalogue import FAULTS, Fault, Scene, small_disk
from benchmarks.faults.invariants import Evidence, broken, setbacks
from benchmarks.faults.machines import NotReady, Stage, eventually, expect
from benchmarks.faults.play import BUDGET, Play

STARTED_S, ENDED_S, ENGINES_S = 180.0, 240.0, 45.0
_RESUMES = 4  # a busy machine makes the client late, again and again; the driver then ends and says so
_LATE = "the load generator was late"


@dataclass(frozen=True, slots=True)
class Round:
    """What came of it.

    ``progress_s``: from the strike, or from ``resume`` where the driver had ended, to the next outcome of a trial.
    ``engines_s``: from the driver's end to the last engine's, where it ended by the fault. None: neither was seen.
    """

    fault: str
    number: int
    broken: tuple[str, ...]
    setbacks: dict[str, int]
    at: int
    resumes: int
    late: int
    progress_s: float | None
    engines_s: float | None
    took_s: float


def staged(fault: Fault) -> Stage:
    """A stage on which a fault can be played."""
    return Stage(dashboard=fault.as_job, networked=fault.networked)


def play_round(stage: Stage, name: str, number: int, folder: Path) -> Round:
    """Play a fault once; its number is its seed. The files stay in ``folder`` where something is broken.

    Raises:
        NotReady: the fault could not be brought about.
    """
    fault, random, began_s = FAULTS[name], Random(f"{name} {number}"), time.monotonic()
    shutil.rmtree(folder, ignore_errors=True)
    stage.ready()
    play = Play(stage, folder, number)
    with _ended(play), _disk(fault, play):
        play.submit() if fault.as_job else play.tune()
        at = _moment(stage, play, random)
        found = _Found(stage, play, fault)
        found.go(random)
        evidence = Evidence(BUDGET, found.before, play.events, play.result, play.saved, found.left())
    problems = (*found.problems, *broken(evidence))
    if not problems:
        shutil.rmtree(folder)
    counts = dict(setbacks(evidence.after))
    return Round(
        *(name, number, problems, counts, at, len(play.drivers) - 1, found.late),
        *(found.progress_s, found.engines_s, time.monotonic() - began_s),
    )


class _Found:
    """What is seen from the strike to the end."""

    def __init__(self, stage: Stage, play: Play, fault: Fault) -> None:
        self._stage, self._play, self._fault = stage, play, fault
        self.before = play.events
        self.problems: list[str] = []
        self.late = 0
        self.progress_s: float | None = None
        self.engines_s: float | None = None

    def go(self, random: Random) -> None:
        """Strike, and bring the study to its end."""
        stage, play, struck_s = self._stage, self._play, time.monotonic()
        with self._fault.strike(Scene(stage, play, random)):
            code = self._end(struck_s)
            if self._fault.ends:
                self._engines_gone()
        if self._fault.ends and not (play.result or {}).get("complete"):
            code = self._resumed()
        while code and len(play.drivers) <= _RESUMES and _LATE in str((play.result or {}).get("reason")):
            self.late += 1
            code = self._resumed()
        if code:
            self.problems.append(f"a driver ended with exit code {code}: {play.said}")

    def left(self) -> tuple[str, ...]:
        """Engines and guardians that live on after all; they are given a moment."""
        eventually(lambda: not self._stage.engines(), ENGINES_S, 0.5)
        return tuple(f"{one.pid} {one.status()}" for one in self._stage.engines())

    def _resumed(self) -> int | None:
        self._stage.ready()
        self._play.resume()
        return self._end(time.monotonic())

    def _end(self, since_s: float) -> int | None:
        """Wait for the driver's end, and note when the study has gone on."""
        play, before, ends_s = self._play, self._play.settled, time.monotonic() + ENDED_S
        while play.driver.poll() is None and time.monotonic() < ends_s:
            if self.progress_s is None and play.settled > before:
                self.progress_s = time.monotonic() - since_s
            self._stage.look()
            time.sleep(0.2)
        if (code := play.driver.poll()) is None:
            self.problems.append(f"the driver had not ended {ENDED_S:.0f} s later")
            play.close()
        return code

    def _engines_gone(self) -> None:
        began_s = time.monotonic()
        if not eventually(lambda: not self._stage.engines(), ENGINES_S, 0.2):
            self.problems.append(f"engines lived on {ENGINES_S:.0f} s after their driver")
        self.engines_s = time.monotonic() - began_s
        self.progress_s = None  # counted from the resumption


def _moment(stage: Stage, play: Play, random: Random) -> int:
    """Wait for the moment of the strike: so many outcomes there, an engine up, and a little more."""
    at, more_s = random.randint(0, BUDGET - 3), random.uniform(0, 2.5)

    def come() -> bool:
        if play.driver.poll() is not None:
            raise NotReady(f"the driver ended before the fault: {play.said}")
        return play.settled >= at and bool(stage.servers())

    expect(come, STARTED_S, f"{at} outcomes and an engine were not there")
    time.sleep(more_s)
    expect(lambda: stage.servers() or play.driver.poll() is not None, 30, "no engine")
    return play.settled


@contextmanager
def _ended(play: Play) -> Iterator[None]:
    try:
        yield
    finally:
        play.close()


def _disk(fault: Fault, play: Play) -> AbstractContextManager[None]:
    return small_disk(play) if fault.small_disk else nullcontext()
