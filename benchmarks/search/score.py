"""How much of what there is to gain was found: regret = 1 - normalised score, for every cell and checkpoint.

One objective: the relative gain over the default, as a share of the best known one. Two: the hypervolume between the
recommended front and the default, as a share of the best known one; TTFT varies over three orders of magnitude, so it
is taken of ln(cost / default's cost), or, with the scale "plain", of cost / default's cost (the paper's, but for
units). What fails or breaks an SLO without noise, or is worse than the default, counts as no gain: a comparison with
the default would show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from benchmarks.search.best_known import Survey, usable_costs
from benchmarks.search.campaign import read_survey
from benchmarks.search.cell import Cell, Step, read_steps
from benchmarks.search.judgement import Judgement, read_judgement
from benchmarks.search.services import SERVICES, Scenario
from scoot_ray.search import Failed, Metrics, Problem, hypervolume
from scoot_ray.search.space import FloatArray

Scale: TypeAlias = Literal["log", "plain"]


@dataclass(frozen=True, slots=True)
class Result:
    """One cell as it was run and judged."""

    cell: Cell
    steps: tuple[Step, ...]
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Score:
    """One cell after ``observations``; ``virtual_s`` is when the last of them would have ended."""

    cell: Cell
    observations: int
    regret: float
    failures: int
    virtual_s: float


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What a service's recommendations are measured by.

    ``reference`` (m,) are the default's costs, ``best`` the best known value, ``known`` the metrics of what has it.
    """

    problem: Problem
    reference: FloatArray
    scale: Scale
    best: float = 1.0
    known: tuple[Metrics, ...] = ()

    def value(self, recommended: Iterable[Metrics | None]) -> float:
        """The relative gain or the hypervolume, at least 0."""
        costs = [c for c in (usable_costs(self.problem, metrics) for metrics in recommended) if c is not None]
        if not costs:
            return 0.0
        y = np.array(costs)
        if y.shape[1] == 1:
            return max(0.0, float(np.max((self.reference - y) / np.abs(self.reference))))
        relative = y / self.reference
        if self.scale == "log":
            return hypervolume(np.log(relative), np.zeros(2))
        return hypervolume(relative, np.ones(2))

    def regret(self, recommended: Iterable[Metrics | None]) -> float:
        """1 - value / best known value, in [0, 1]."""
        return 1.0 - self.value(recommended) / self.best


def read_results(folder: Path) -> tuple[Result, ...]:
    """Every cell of a folder that was judged."""
    found = []
    for path in sorted((folder / "judged").rglob("*.json")):
        cell, judgement = Cell.of(path, folder / "judged"), read_judgement(path)
        if judgement is not None:
            found.append(Result(cell, read_steps(cell.path(folder / "cells", ".jsonl")), judgement))
    return tuple(found)


def yardsticks(folder: Path, results: Sequence[Result], scale: Scale) -> dict[str, Yardstick]:
    """By service: its default and its best known, of the long search and of everything that was ever recommended.

    A service without anything to gain, or whose long search has not been made, has none.
    """
    sticks = {}
    for scenario in SERVICES:
        known = read_survey(folder, scenario.name)
        mine = [result for result in results if result.cell.scenario == scenario.name]
        if known is not None and mine and (stick := _yardstick(scenario, known, mine, scale)).best > 0:
            sticks[scenario.name] = stick
    return sticks


def _yardstick(scenario: Scenario, known: Survey, results: Sequence[Result], scale: Scale) -> Yardstick:
    problem = scenario.problem()
    reference = problem.costs(known.default.metrics)
    assert reference is not None  # the long search has seen to it
    stick = Yardstick(problem, reference, scale)
    everything = [point.metrics for point in known.best]
    everything += [metrics for result in results for metrics in result.judgement.metrics.values() if metrics]
    return Yardstick(problem, reference, scale, stick.value(everything), tuple(everything))


def scores(results: Sequence[Result], sticks: dict[str, Yardstick]) -> tuple[Score, ...]:
    """All cells at all their checkpoints."""
    return tuple(
        Score(
            cell=result.cell,
            observations=n,
            regret=sticks[result.cell.scenario].regret(result.judgement.at(n)),
            failures=sum(isinstance(step.outcome, Failed) for step in result.steps[:n]),
            virtual_s=max(step.ended_s for step in result.steps[:n]),
        )
        for result in results
        if result.cell.scenario in sticks
        for n in result.judgement.recommended
    )


def suggestion_seconds(results: Sequence[Result]) -> dict[str, FloatArray]:
    """By tuner: CPU seconds of each suggestion after the initial sample."""
    dimensions = {scenario.name: scenario.problem().space.dimension for scenario in SERVICES}
    seconds: dict[str, list[float]] = {}
    for result in results:
        after = result.steps[dimensions[result.cell.scenario] + 1 :]
        seconds.setdefault(result.cell.tuner, []).extend(step.suggested_s for step in after)
    return {tuner: np.array(values) for tuner, values in seconds.items()}
