"""The report's figures, as SVG; they need matplotlib (the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search.comparison import Comparison
from benchmarks.search.fronts import front
from benchmarks.search.parallelism import course
from benchmarks.search.score import Result, Yardstick
from benchmarks.search.statistics import mean_interval

_COLUMNS = 2
_SIMULATED = "simulated"


def available() -> bool:
    """Whether there is a matplotlib to draw with."""
    return find_spec("matplotlib") is not None


def regret_figure(parts: Mapping[str, Comparison], parallel: int, path: Path) -> None:
    """Mean regret over observations, a panel for each group and a line for each tuner with its interval over seeds."""
    figure, panels = _panels(len(parts))
    for axes, (title, comparison) in zip(panels, parts.items(), strict=False):
        for tuner in comparison.tuners:
            _regret_line(axes, comparison, tuner, parallel)
        axes.set(
            xlabel="observations", ylabel="mean regret", ylim=(0, 1), title=f"{title}, PD {parallel}, {_SIMULATED}"
        )
    panels[0].legend(fontsize="small")
    figure.savefig(path)


def _regret_line(axes: Any, comparison: Comparison, tuner: str, parallel: int) -> None:
    found = {n: comparison.regrets(tuner, parallel, n) for n in comparison.checkpoints}
    at = [n for n, regrets in found.items() if regrets]
    means = [float(np.mean([*found[n].values()])) for n in at]
    intervals = np.array([mean_interval(found[n]) for n in at]).reshape(-1, 2)
    (line,) = axes.plot(at, means, label=tuner, linewidth=2.5 if tuner == comparison.subject else 1.2)
    axes.fill_between(at, intervals[:, 0], intervals[:, 1], color=line.get_color(), alpha=0.15, linewidth=0)


def parallel_figure(comparison: Comparison, tuners: Sequence[str], path: Path) -> None:
    """Mean regret for each PD over observations and over virtual hours, a row of panels for each tuner."""
    figure, panels = _panels(2 * len(tuners))
    for row, tuner in enumerate(tuners):
        left, right = panels[2 * row : 2 * row + 2]
        for parallel in comparison.parallels:
            found = course(comparison, tuner, parallel)
            if found is not None:
                left.plot(found.observations, found.regrets, label=f"PD {parallel}")
                right.plot(np.array(found.seconds) / 3600, found.regrets, label=f"PD {parallel}")
        for axes, across in ((left, "observations"), (right, "virtual hours")):
            axes.set(xlabel=across, ylabel="mean regret", ylim=(0, 1), title=f"{tuner}, {_SIMULATED}")
            axes.legend(fontsize="small")
    figure.savefig(path)


def front_figure(results: Sequence[Result], sticks: Mapping[str, Yardstick], observations: int, path: Path) -> None:
    """A panel for each service with two objectives: the best known front, and each tuner's best over the seeds."""
    names = sorted({result.cell.scenario for result in results})
    tuners = sorted({result.cell.tuner for result in results})
    figure, panels = _panels(len(names))
    for axes, name in zip(panels, names, strict=False):
        stick = sticks[name]
        for result in best_runs([one for one in results if one.cell.scenario == name], stick, observations):
            points = np.exp(front(stick, result.judgement.at(observations)))
            tuner = result.cell.tuner
            colour = f"C{tuners.index(tuner)}"
            axes.plot(points[:, 0], points[:, 1], marker="o", markersize=3, linewidth=1, color=colour, label=tuner)
        known = np.exp(front(stick, stick.known))
        axes.plot(known[:, 0], known[:, 1], color="black", marker=".", linewidth=1.5, label="best known")
        first, second = (f"{objective.metric} / default's" for objective in stick.problem.objectives)
        axes.set(xlabel=first, ylabel=second, xscale="log", yscale="log")
        axes.set_title(f"{name}, {observations} observations, {_SIMULATED}")
        axes.legend(fontsize="small")
    figure.savefig(path)


def best_runs(results: Sequence[Result], stick: Yardstick, observations: int) -> list[Result]:
    """Each tuner's run with the least regret."""
    best: dict[str, tuple[float, Result]] = {}
    for result in results:
        regret = stick.regret(result.judgement.at(observations))
        if regret < best.get(result.cell.tuner, (np.inf, result))[0]:
            best[result.cell.tuner] = regret, result
    return [result for _, (_, result) in sorted(best.items())]


def _panels(count: int) -> tuple[Any, list[Any]]:
    """A figure with at least so many axes, the superfluous ones hidden."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra

    columns = min(count, _COLUMNS)
    rows = ceil(count / columns)
    figure = Figure(figsize=(6.5 * columns, 4.2 * rows), layout="constrained")
    panels = list(np.ravel(figure.subplots(rows, columns, squeeze=False)))
    for axes in panels[count:]:
        axes.set_visible(False)
    return figure, panels
