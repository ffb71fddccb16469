"""What is recommended as of now. Models take seconds to fit, so that a thread of its own does it, once per result."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from threading import Thread

from scoot_ray.log import Log
from scoot_ray.search import Observation, Problem, recommend


class Believed:
    """The latest recommendation. ``known`` may be read from any thread; it is a little behind the log."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._asked, self._thread = 0, Thread()
        self.known: tuple[Observation, ...] = ()

    def ask(self, log: Log) -> tuple[Observation, ...]:
        """What is known; where the search has seen more meanwhile, a newer one is begun."""
        searched = log.searched
        if len(searched) != self._asked and not self._thread.is_alive():
            self._asked = len(searched)
            self._thread = Thread(target=self._compute, args=(searched,), daemon=True)
            self._thread.start()
        return self.known

    def settle(self, timeout_s: float) -> None:
        """Wait for the one that is being computed, which must not be met by the interpreter's end."""
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _compute(self, searched: Sequence[Observation]) -> None:
        with suppress(Exception):  # what cannot be computed is not shown; the run itself reports it at its end
            self.known = recommend(self._problem, searched)
