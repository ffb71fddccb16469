"""The scores of some tuners on some services, by what is asked of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from benchmarks.search.score import Score
from benchmarks.search.statistics import Pair

BUDGETS = (15, 30, 60)


class Comparison:
    """The scores of one group of services; ``subject`` is the tuner that the others are compared with."""

    def __init__(self, scores: Iterable[Score], subject: str) -> None:
        self.subject = subject
        self._scores = tuple(scores)
        self._at: dict[tuple[str, int, int], list[Score]] = {}
        for one in self._scores:
            self._at.setdefault((one.cell.tuner, one.cell.parallel, one.observations), []).append(one)
        self.tuners = sorted({tuner for tuner, _, _ in self._at}, key=lambda name: (name != subject, name))
        self.parallels = sorted({parallel for _, parallel, _ in self._at})
        self.checkpoints = sorted({observations for _, _, observations in self._at})

    @property
    def budgets(self) -> list[int]:
        """The budgets reached, or the largest there is."""
        return [budget for budget in BUDGETS if budget in self.checkpoints] or self.checkpoints[-1:]

    @property
    def budget(self) -> int:
        """The one budget of tables that have no room for all: 30 where it was reached."""
        return self.budgets[min(1, len(self.budgets) - 1)]

    def at(self, tuner: str, parallel: int, observations: int) -> list[Score]:
        """One tuner's scores at one checkpoint."""
        return self._at.get((tuner, parallel, observations), [])

    def regrets(self, tuner: str, parallel: int, observations: int) -> dict[Pair, float]:
        """One tuner's regrets by service and seed."""
        return {(one.cell.scenario, one.cell.seed): one.regret for one in self.at(tuner, parallel, observations)}

    def of(self, tuners: Collection[str]) -> Comparison:
        """The same of these tuners alone."""
        return Comparison((one for one in self._scores if one.cell.tuner in tuners), self.subject)

    def within(self, services: Collection[str]) -> Comparison:
        """The same on these services alone."""
        return Comparison((one for one in self._scores if one.cell.scenario in services), self.subject)
