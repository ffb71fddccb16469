"""Fronts of two objectives: what there is to choose from, and where it lies.

A front (k, 2) is of ln(cost / default's cost), by the first objective, and of what beats the default in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.search.best_known import usable_costs
from benchmarks.search.markdown import mean, table
from benchmarks.search.score import Result, Yardstick
from scoot_ray.search import Metrics, hypervolume, pareto
from scoot_ray.search.space import FloatArray

BEST_KNOWN = "best known"
_FEWEST = 3  # points that have a spacing


@dataclass(frozen=True, slots=True)
class Diversity:
    """How much there is to choose from on one front.

    ``covered``: of the best known front's range, mean of both objectives. ``spacing``: Schott's, the standard deviation
    of the distances to the nearest neighbour, in units of that range; None of fewer than three points. ``single``: the
    hypervolume of the best point alone as a share of its own front's; None of an empty one. ``joint``: how many points
    are dominated by no tuner's front of that seed.
    """

    points: int
    covered: float
    spacing: float | None
    single: float | None
    joint: int


def front(stick: Yardstick, recommended: Iterable[Metrics | None]) -> FloatArray:
    """The front of what was recommended and works without noise."""
    costs = [usable_costs(stick.problem, metrics) for metrics in recommended]
    found = np.log(np.array([c / stick.reference for c in costs if c is not None]).reshape(-1, 2))
    found = np.unique(found[np.all(found < 0, axis=1)], axis=0)
    return found[sorted(pareto(found))] if len(found) else found


def diversity(mine: FloatArray, known: FloatArray, others: Sequence[FloatArray]) -> Diversity:
    """Of one front, beside the best known one and those of the other tuners."""
    if not len(mine):
        return Diversity(0, 0.0, None, None, 0)
    low, high = np.min(known, axis=0), np.max(known, axis=0)
    extent = np.where(high > low, high - low, 1.0)
    inside = np.clip(mine, low, high)
    covered = float(np.mean((np.max(inside, axis=0) - np.min(inside, axis=0)) / extent))
    joint = sum(index < len(mine) for index in pareto(np.vstack([mine, *others])))
    return Diversity(len(mine), covered, _spacing(mine / extent), _single(mine), joint)


def _spacing(points: FloatArray) -> float | None:
    if len(points) < _FEWEST:
        return None
    distances = np.sum(np.abs(points[:, None] - points[None]), axis=2)
    np.fill_diagonal(distances, np.inf)
    return float(np.std(np.min(distances, axis=1), ddof=1))


def _single(points: FloatArray) -> float:
    return float(np.max(np.prod(-points, axis=1))) / hypervolume(points, np.zeros(2))


def with_fronts(results: Iterable[Result], sticks: Mapping[str, Yardstick], parallel: int, n: int) -> list[Result]:
    """The cells of two objectives and a PD that were judged after n observations."""
    return [
        result
        for result in results
        if result.cell.parallel == parallel
        and result.cell.scenario in sticks
        and len(sticks[result.cell.scenario].problem.objectives) == 2
        and n in result.judgement.recommended
    ]


def diversities(results: Iterable[Result], sticks: Mapping[str, Yardstick], n: int) -> dict[str, list[Diversity]]:
    """By tuner, and of the best known: each cell's front, beside those of the same service and seed.

    ``results`` are ``with_fronts`` after the same n observations.
    """
    by_pair: dict[tuple[str, int], dict[str, FloatArray]] = {}
    for result in results:
        mine = front(sticks[result.cell.scenario], result.judgement.at(n))
        by_pair.setdefault((result.cell.scenario, result.cell.seed), {})[result.cell.tuner] = mine
    found: dict[str, list[Diversity]] = {}
    for (name, _), fronts in sorted(by_pair.items()):
        known = front(sticks[name], sticks[name].known)
        for tuner, mine in fronts.items():
            others = [other for rival, other in fronts.items() if rival != tuner]
            found.setdefault(tuner, []).append(diversity(mine, known, others))
        found.setdefault(BEST_KNOWN, []).append(diversity(known, known, ()))
    return found


def diversity_table(found: Mapping[str, Sequence[Diversity]], tuners: Sequence[str]) -> list[str]:
    """Means by tuner, and of the best known."""
    rows = [_diversity_row(tuner, found[tuner]) for tuner in (*tuners, BEST_KNOWN) if tuner in found]
    header = ["tuner", "fronts", "points", "range covered", "spacing", "best point's share", "on the joint front"]
    return table(header, rows)


def _diversity_row(tuner: str, found: Sequence[Diversity]) -> list[str]:
    points = f"{np.mean([one.points for one in found]):.1f}"
    spacing = mean([one.spacing for one in found if one.spacing is not None])
    single = mean([one.single for one in found if one.single is not None])
    joint = "" if tuner == BEST_KNOWN else f"{np.mean([one.joint for one in found]):.1f}"
    return [tuner, str(len(found)), points, mean([one.covered for one in found]), spacing, single, joint]
