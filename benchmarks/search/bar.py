"""The bar that the search is held to, line by line, with what was measured and whether it is reached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.search.comparison import Comparison
from benchmarks.search.markdown import table
from benchmarks.search.relatives import WARM
from benchmarks.search.statistics import Pair, difference
from benchmarks.search.tables import PAIRED, paired
from scoot_ray.search import TUNERS

PAPER = "scoot-paper"


@dataclass(frozen=True, slots=True)
class Demand:
    """``subject`` must be at most ``most`` times ``other``; ``clear``: and the difference's interval below zero."""

    text: str
    subject: Mapping[Pair, float]
    other: Mapping[Pair, float]
    most: float
    clear: bool = False

    def verdict(self) -> str:
        """``yes``; ``no``; or that more seeds are needed to say which. Empty where nothing was measured."""
        found = difference(self.subject, self.other)
        scaled = difference(self.subject, {pair: self.most * regret for pair, regret in self.other.items()})
        if found is None or scaled is None:
            return ""
        if scaled.mean <= 0 and (not self.clear or found.over_services[1] < 0):
            return "yes"
        unclear = scaled.over_seeds is None or scaled.over_seeds[0] <= 0
        return "not told apart" if not self.clear and unclear else "no"


def demands(comparison: Comparison) -> Iterator[Demand]:
    """All lines of the bar, measured or not."""
    subject = comparison.subject
    alone = comparison.regrets(subject, 1, 30)
    for tuner in TUNERS:
        if tuner != subject:
            other = comparison.regrets(tuner, 1, 30)
            yield Demand(f"at 30, PD 1: at most half of {tuner}'s, clear of zero", alone, other, 0.5, clear=True)
    paper = comparison.regrets(PAPER, 1, 30)
    yield Demand(f"at 15 no worse than {PAPER} at 30", comparison.regrets(subject, 1, 15), paper, 1.0)
    yield Demand("at 30, PD 4 no worse than PD 1", comparison.regrets(subject, 4, 30), alone, 1.0)
    yield Demand("at 30, PD 8 at most 1.2 times PD 1", comparison.regrets(subject, 8, 30), alone, 1.2)
    related, *misleading = WARM
    warm = comparison.regrets(related, 1, 10)
    yield Demand("with related histories at 10 as good as cold at 30", warm, alone, 1.0)
    for name in misleading:
        told = f"with histories that are {name.partition('/')[2]}, no worse than cold at 20"
        yield Demand(told, comparison.regrets(name, 1, 20), comparison.regrets(subject, 1, 20), 1.0)


def bar(comparison: Comparison) -> list[str]:
    """The table; without rows where nothing of it was measured."""
    rows, measured = [], False
    for demand in demands(comparison):
        found = paired(demand.subject, demand.other)
        measured = measured or found is not None
        figures = found or ["not measured", *[""] * (len(PAIRED) + 1)]
        rows.append([demand.text, *figures, demand.verdict()])
    return table(
        [f"the bar for {comparison.subject}", "regret", "compared with", *PAIRED, "reached"], rows if measured else []
    )
