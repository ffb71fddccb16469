"""The report's tables of tuners, as Markdown. Every figure in them is simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.search.comparison import Comparison
from benchmarks.search.markdown import mean, mean_and_count, ratio, span, table
from benchmarks.search.statistics import Pair, difference, mean_ranks
from benchmarks.search.variants import base
from scoot_ray.search.space import FloatArray

PAIRED = ["ratio", "difference", "95% over seeds", "95% over services", "pairs"]
"""The columns of ``paired`` after the two means."""


def paired(subject: Mapping[Pair, float], other: Mapping[Pair, float]) -> list[str] | None:
    """Both means and ``PAIRED``; None where no pair has both."""
    found = difference(subject, other)
    if found is None:
        return None
    means = [f"{found.subject_mean:.3f}", f"{found.other_mean:.3f}", ratio(found.subject_mean, found.other_mean)]
    return [*means, f"{found.mean:+.3f}", span(found.over_seeds), span(found.over_services), str(found.pairs)]


def mean_regrets(comparison: Comparison) -> list[str]:
    """Tuner by PD and budget: mean regret, and of how many cells."""
    columns = [(parallel, budget) for parallel in comparison.parallels for budget in comparison.budgets]
    rows = [
        [tuner, *(mean_and_count([one.regret for one in comparison.at(tuner, *column)]) for column in columns)]
        for tuner in comparison.tuners
    ]
    return table(["tuner", *(f"PD {parallel}, {budget}" for parallel, budget in columns)], rows)


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
    return table(["tuner", *(title for title, _ in columns)], rows)


def differences(comparison: Comparison) -> list[str]:
    """The subject's regret less each other's, paired by service and seed; below zero the subject is better."""
    rows = []
    for parallel in comparison.parallels:
        for budget in comparison.budgets:
            subject = comparison.regrets(comparison.subject, parallel, budget)
            for tuner in comparison.tuners[1:]:
                figures = paired(subject, comparison.regrets(tuner, parallel, budget))
                if figures is not None:
                    rows.append([str(parallel), str(budget), tuner, *figures])
    return table(["PD", "budget", "against", comparison.subject, "other", *PAIRED], rows)


def by_group(comparison: Comparison, members: Mapping[str, frozenset[str]]) -> list[str]:
    """Group of services by tuner at the smallest PD and the middle budget: mean regret."""
    parallel, budget = comparison.parallels[0], comparison.budget
    rows = []
    for title, services in members.items():
        part = comparison.within(services)
        means = (mean([one.regret for one in part.at(tuner, parallel, budget)]) for tuner in comparison.tuners)
        rows.append([f"{title} ({len(services)})", *means])
    return table([f"services (PD {parallel}, {budget})", *comparison.tuners], rows)


def group_differences(comparison: Comparison, members: Mapping[str, frozenset[str]]) -> list[str]:
    """``differences`` within each group, at the smallest PD and the middle budget."""
    parallel, budget = comparison.parallels[0], comparison.budget
    rows = []
    for title, services in members.items():
        part = comparison.within(services)
        subject = part.regrets(comparison.subject, parallel, budget)
        for tuner in comparison.tuners[1:]:
            figures = paired(subject, part.regrets(tuner, parallel, budget))
            if figures is not None:
                rows.append([title, tuner, *figures])
    return table([f"services (PD {parallel}, {budget})", "against", comparison.subject, "other", *PAIRED], rows)


def by_service(comparison: Comparison) -> list[str]:
    """Service by tuner at the smallest PD and the middle budget: mean regret."""
    parallel, budget = comparison.parallels[0], comparison.budget
    found = [comparison.at(tuner, parallel, budget) for tuner in comparison.tuners]
    names = sorted({one.cell.scenario for scores in found for one in scores})
    rows = [
        [name, *(mean([one.regret for one in scores if one.cell.scenario == name]) for scores in found)]
        for name in names
    ]
    return table([f"service (PD {parallel}, {budget})", *comparison.tuners], rows)


def variants(comparison: Comparison, names: Sequence[str], budgets: Sequence[int]) -> list[str]:
    """Each variant against the tuner that it is a variant of, and the share of trials that failed in both."""
    rows = []
    for parallel in comparison.parallels:
        for budget in budgets:
            for name in names:
                changed, unchanged = (comparison.regrets(tuner, parallel, budget) for tuner in (name, base(name)))
                figures = paired(changed, unchanged)
                if figures is not None:
                    failed = [_failed(comparison, tuner, parallel, budget) for tuner in (name, base(name))]
                    rows.append([str(parallel), str(budget), name, *figures, *failed])
    return table(["PD", "budget", "variant", "regret", "unchanged", *PAIRED, "failed", "unchanged"], rows)


def costs(comparison: Comparison, seconds: Mapping[str, FloatArray]) -> list[str]:
    """By tuner: share of trials that failed, and CPU seconds per suggestion."""
    rows = []
    for tuner in comparison.tuners:
        failed = []
        for budget in comparison.budgets:
            found = [one for parallel in comparison.parallels for one in comparison.at(tuner, parallel, budget)]
            failed.append(mean([one.failures / budget for one in found]))
        took_s = seconds.get(tuner, np.empty(0))
        times = [f"{np.median(took_s):.2f}", f"{np.max(took_s):.2f}"] if len(took_s) else ["", ""]
        rows.append([tuner, *failed, *times])
    shares = [f"failed of {budget}" for budget in comparison.budgets]
    return table(["tuner", *shares, "median s per suggestion", "longest"], rows)


def _failed(comparison: Comparison, tuner: str, parallel: int, budget: int) -> str:
    return mean([one.failures / budget for one in comparison.at(tuner, parallel, budget)])
