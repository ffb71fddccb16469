"""The report's figures, as SVG; they need matplotlib (the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks.search.best_known import usable_costs
from benchmarks.search.score import Result, Yardstick
from benchmarks.search.tables import Comparison
from scoot_ray.search import pareto
from scoot_ray.search.space import FloatArray


def available() -> bool:
    """Whether there is a matplotlib to draw with."""
    return find_spec("matplotlib") is not None


def regret_figure(comparison: Comparison, parallel: int, path: Path) -> None:
    """Mean regret over observations, a line for each tuner."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for tuner in comparison.tuners:
        found = {n: comparison.at(tuner, parallel, n) for n in comparison.checkpoints}
        at = [n for n, scores in found.items() if scores]
        means = [float(np.mean([one.regret for one in found[n]])) for n in at]
        axes.plot(at, means, label=tuner, linewidth=2.5 if tuner == comparison.subject else 1.2)
    axes.set(xlabel="observations", ylabel="mean regret", ylim=(0, 1), title=f"PD {parallel}, simulated")
    axes.legend()
    figure.savefig(path)


def front_figure(results: Sequence[Result], stick: Yardstick, observations: int, path: Path) -> None:
    """The fronts recommended in the first seed of one service with two objectives, relative to the default."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for result in results:
        front = _relative_front(stick, result, observations)
        axes.plot(front[:, 0], front[:, 1], marker="o", markersize=4, linewidth=1, label=result.cell.tuner)
    first, second = (objective.metric for objective in stick.problem.objectives)
    axes.axhline(1, color="grey", linewidth=0.5)
    axes.axvline(1, color="grey", linewidth=0.5)
    title = f"{results[0].cell.scenario}, {observations} observations, simulated; the default is at 1, 1"
    axes.set(xlabel=first, ylabel=second, title=title, xscale="log", yscale="log")
    axes.legend()
    figure.savefig(path)


def _relative_front(stick: Yardstick, result: Result, observations: int) -> FloatArray:
    """What was recommended and works without noise: the front of it, by the first objective, (k, 2)."""
    costs = [usable_costs(stick.problem, metrics) for metrics in result.judgement.at(observations)]
    relative = np.array([c / stick.reference for c in costs if c is not None]).reshape(-1, 2)
    front = relative[pareto(relative)] if len(relative) else relative
    return front[np.argsort(front[:, 0])]
