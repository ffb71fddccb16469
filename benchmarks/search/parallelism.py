"""Trials at a time (PD): quality at equal observations, total tuning time, and what a larger PD needs to catch up."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np

from benchmarks.search.comparison import Comparison
from benchmarks.search.markdown import ratio, span, table
from benchmarks.search.score import Score
from benchmarks.search.statistics import Pair, difference


@dataclass(frozen=True, slots=True)
class Course:
    """Mean regret and mean virtual seconds of one tuner and PD, after so many observations each."""

    observations: Sequence[int]
    regrets: Sequence[float]
    seconds: Sequence[float]

    def reaches(self, regret: float) -> float | None:
        """After how many observations, between two checkpoints in proportion, the mean regret is this low."""
        for i, (now, n) in enumerate(zip(self.regrets, self.observations, strict=True)):
            if now <= regret:
                if i == 0:
                    return float(n)
                before, then = self.regrets[i - 1], self.observations[i - 1]
                return then + (n - then) * (before - regret) / (before - now)
        return None

    def ended_s(self, observations: float) -> float:
        """When so many would have been made."""
        return float(np.interp(observations, self.observations, self.seconds))


def course(comparison: Comparison, tuner: str, parallel: int, pairs: Set[Pair] | None = None) -> Course | None:
    """Of the services and seeds that have the most observations, or of those among them; None where there are none."""
    chosen = longest(comparison, tuner, parallel)
    chosen = chosen if pairs is None else chosen & pairs
    found = {n: comparison.at(tuner, parallel, n) for n in comparison.checkpoints}
    kept = {n: [one for one in scores if _pair(one) in chosen] for n, scores in found.items()}
    reached = [n for n, scores in kept.items() if scores]
    if not reached:
        return None
    regrets = [float(np.mean([one.regret for one in kept[n]])) for n in reached]
    return Course(reached, regrets, [float(np.mean([one.virtual_s for one in kept[n]])) for n in reached])


def longest(comparison: Comparison, tuner: str, parallel: int) -> Set[Pair]:
    """The services and seeds that have the most observations."""
    reached = [n for n in comparison.checkpoints if comparison.at(tuner, parallel, n)]
    return comparison.regrets(tuner, parallel, reached[-1]).keys() if reached else frozenset()


def _pair(score: Score) -> Pair:
    return score.cell.scenario, score.cell.seed


def quality(comparison: Comparison) -> list[str]:
    """By tuner and PD: regrets at the budgets, and at the middle one against PD 1 on the same services and seeds."""
    rows = []
    for tuner in comparison.tuners:
        alone = comparison.regrets(tuner, 1, comparison.budget)
        for parallel in comparison.parallels:
            by_budget = [comparison.regrets(tuner, parallel, budget) for budget in comparison.budgets]
            if any(by_budget):
                against = difference(comparison.regrets(tuner, parallel, comparison.budget), alone)
                means = [f"{np.mean([*found.values()]):.3f}" if found else "" for found in by_budget]
                times = "" if against is None else ratio(against.subject_mean, against.other_mean)
                interval = "" if against is None else span(against.over_seeds)
                rows.append([tuner, str(parallel), *means, times, interval])
    regrets = [f"regret at {budget}" for budget in comparison.budgets]
    header = ["tuner", "PD", *regrets, f"ratio to PD 1 at {comparison.budget}", "difference, 95% over seeds"]
    return table(header, rows)


def duration(comparison: Comparison) -> list[str]:
    """By tuner and PD: virtual hours of tuning, and what it takes to have the regret of PD 1 at the middle budget.

    On the services and seeds that both have.
    """
    budget = comparison.budget
    rows = []
    for tuner in comparison.tuners:
        for parallel in comparison.parallels:
            both = longest(comparison, tuner, 1) & longest(comparison, tuner, parallel)
            alone, found = (course(comparison, tuner, pd, both) for pd in (1, parallel))
            if alone is not None and found is not None and budget in alone.observations:
                rows.append([tuner, str(parallel), *_times(found, alone, budget), str(len(both))])
    needed = ["observations to PD 1's regret", "more than PD 1", "hours until then", "pairs"]
    return table(["tuner", "PD", f"virtual hours for {budget}", "times faster", *needed], rows)


def _times(found: Course, alone: Course, budget: int) -> list[str]:
    target = alone.regrets[alone.observations.index(budget)]
    hours, before = found.ended_s(budget) / 3600, alone.ended_s(budget) / 3600
    times = [f"{hours:.2f}", f"{before / hours:.1f}"]
    needed = found.reaches(target)
    if needed is None:
        return [*times, f"over {found.observations[-1]}", f"over {found.observations[-1] - budget}", ""]
    first = alone.reaches(target)
    assert first is not None  # the target is on its course
    return [*times, f"{needed:.0f}", f"{needed - first:+.0f}", f"{found.ended_s(needed) / 3600:.2f}"]
