"""The report's tables, as Markdown. Every figure in them is simulated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from benchmarks.search.score import Score
from benchmarks.search.statistics import Pair, difference, mean_ranks
from scoot_ray.search.space import FloatArray

BUDGETS = (15, 30, 60)


class Comparison:
    """The scores of one group of services; ``subject`` is the tuner that the others are compared with."""

    def __init__(self, scores: Iterable[Score], subject: str) -> None:
        self.subject = subject
        self._at: dict[tuple[str, int, int], list[Score]] = {}
        for one in scores:
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


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines."""
    return [_row(header), _row(["---"] * len(header)), *(_row(row) for row in rows), ""]


def mean_regrets(comparison: Comparison) -> list[str]:
    """Tuner by PD and budget: mean regret, and of how many cells."""
    columns = [(parallel, budget) for parallel in comparison.parallels for budget in comparison.budgets]
    rows = [
        [tuner, *(_mean_and_count([one.regret for one in comparison.at(tuner, *column)]) for column in columns)]
        for tuner in comparison.tuners
    ]
    return markdown(["tuner", *(f"PD {parallel}, {budget}" for parallel, budget in columns)], rows)


def ranks(comparison: Comparison) -> list[str]:
    """Mean ranks among all tuners, on the services and seeds that all of them have."""
    columns: list[tuple[str, Mapping[str, float]]] = []
    for parallel in comparison.parallels:
        for budget in comparison.budgets:
            found = {tuner: comparison.regrets(tuner, parallel, budget) for tuner in comparison.tuners}
            means, pairs = mean_ranks({tuner: pairs for tuner, pairs in found.items() if pairs})
            if len(means) > 1:
                columns.append((f"PD {parallel}, {budget} ({pairs})", means))
    rows = [
        [tuner, *(f"{means[tuner]:.2f}" if tuner in means else "" for _, means in columns)]
        for tuner in comparison.tuners
    ]
    return markdown(["tuner", *(title for title, _ in columns)], rows)


def differences(comparison: Comparison) -> list[str]:
    """The subject's regret less each other's, paired by service and seed; below zero the subject is better."""
    rows = []
    for parallel in comparison.parallels:
        for budget in comparison.budgets:
            subject = comparison.regrets(comparison.subject, parallel, budget)
            for tuner in comparison.tuners[1:]:
                found = difference(subject, comparison.regrets(tuner, parallel, budget))
                if found is not None:
                    ratio = _ratio(found.subject_mean, found.other_mean)
                    intervals = (_interval(found.over_seeds), _interval(found.over_services))
                    case = [str(parallel), str(budget), tuner, f"{found.subject_mean:.3f}", f"{found.other_mean:.3f}"]
                    rows.append([*case, ratio, f"{found.mean:+.3f}", *intervals, str(found.pairs)])
    header = ["PD", "budget", "against", comparison.subject, "other", "ratio", "difference"]
    return markdown([*header, "95% over seeds", "95% over services", "pairs"], rows)


def parallelism(comparison: Comparison) -> list[str]:
    """By tuner and PD at the middle budget: regret, against PD 1 on the same pairs, and virtual hours of tuning."""
    budget = comparison.budget
    rows = []
    for tuner in comparison.tuners:
        alone = comparison.regrets(tuner, 1, budget)
        for parallel in comparison.parallels:
            found = comparison.at(tuner, parallel, budget)
            if found:
                against = difference(comparison.regrets(tuner, parallel, budget), alone)
                ratio = "" if against is None else _ratio(against.subject_mean, against.other_mean)
                interval = "" if against is None else _interval(against.over_seeds)
                hours = float(np.mean([one.virtual_s for one in found])) / 3600
                regret = f"{np.mean([one.regret for one in found]):.3f}"
                rows.append([tuner, str(parallel), regret, ratio, interval, f"{hours:.2f}"])
    header = ["tuner", "PD", f"regret at {budget}", "ratio to PD 1", "difference, 95% over seeds", "virtual hours"]
    return markdown(header, rows)


def by_service(comparison: Comparison) -> list[str]:
    """Service by tuner at the smallest PD and the middle budget: mean regret."""
    parallel, budget = comparison.parallels[0], comparison.budget
    found = [comparison.at(tuner, parallel, budget) for tuner in comparison.tuners]
    names = sorted({one.cell.scenario for scores in found for one in scores})
    rows = [
        [name, *(_mean([one.regret for one in scores if one.cell.scenario == name]) for scores in found)]
        for name in names
    ]
    return markdown([f"service (PD {parallel}, {budget})", *comparison.tuners], rows)


def costs(comparison: Comparison, seconds: Mapping[str, FloatArray]) -> list[str]:
    """By tuner: share of trials that failed, and CPU seconds per suggestion."""
    rows = []
    for tuner in comparison.tuners:
        failed = []
        for budget in comparison.budgets:
            found = [one for parallel in comparison.parallels for one in comparison.at(tuner, parallel, budget)]
            failed.append(_mean([one.failures / budget for one in found]))
        took_s = seconds.get(tuner, np.empty(0))
        times = [f"{np.median(took_s):.2f}", f"{np.max(took_s):.2f}"] if len(took_s) else ["", ""]
        rows.append([tuner, *failed, *times])
    shares = [f"failed of {budget}" for budget in comparison.budgets]
    return markdown(["tuner", *shares, "median s per suggestion", "longest"], rows)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _mean(values: Sequence[float]) -> str:
    return f"{np.mean(values):.3f}" if values else ""


def _mean_and_count(values: Sequence[float]) -> str:
    return f"{_mean(values)} ({len(values)})" if values else ""


def _ratio(subject: float, other: float) -> str:
    return f"{subject / other:.2f}" if other > 0 else ""


def _interval(interval: tuple[float, float]) -> str:
    return f"{interval[0]:+.3f} to {interval[1]:+.3f}"
