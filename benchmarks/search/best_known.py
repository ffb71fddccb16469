"""A very long search of one service without noise: what there is to find, as far as anybody knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from benchmarks.search.evaluation import Evaluator
from scoot_ray.search import Config, Measured, Metrics, Outcome, Problem, SearchSpace, pareto
from scoot_ray.search.sampling import unseen
from scoot_ray.search.space import FloatArray

_DRAWN = 1 / 3  # of the evaluations are Sobol points; the others change the best of those before
_KEPT = 5  # of one objective's best
_CHANGED = 3  # parameters at most, from parent to child
_STEP = 0.15  # of an axis
_TRIES = 1000


@dataclass(frozen=True, slots=True)
class Point:
    """A configuration with its noise-free metrics."""

    config: Config
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Survey:
    """What a long search found: the default, the best few or the front, after how many evaluations."""

    default: Point
    best: tuple[Point, ...]
    evaluations: int


def usable_costs(problem: Problem, metrics: Metrics | None) -> FloatArray | None:
    """The costs (m,) of what one could use: few errors, SLOs kept. None of anything else, a failure (None) included."""
    if metrics is None or metrics.get("error_rate", 0.0) > problem.max_error_rate or not problem.meets_slos(metrics):
        return None
    return problem.costs(metrics)


def metrics_of(outcome: Outcome) -> Metrics | None:
    """The metrics of what was measured; None of what failed."""
    return outcome.metrics if isinstance(outcome, Measured) else None


def survey(evaluator: Evaluator, evaluations: int, seed: int = 0) -> Survey:
    """Evaluate the default, then Sobol points, then changes of the best so far.

    Raises:
        ValueError: the default does not work, so that there is nothing to gain over.
    """
    problem = evaluator.problem
    space, rng = problem.space, np.random.default_rng(seed)
    default = space.default or {}
    metrics = metrics_of(evaluator.evaluate(default, None).outcome)
    if metrics is None:
        raise ValueError(f"{evaluator.scenario.name}: the default does not work")
    tried = {space.key(default)}
    reference = problem.costs(metrics)
    assert reference is not None
    best: tuple[Point, ...] = ()

    def look(config: Config) -> tuple[Point, ...]:
        tried.add(space.key(config))
        seen = metrics_of(evaluator.evaluate(config, None).outcome)
        return best if seen is None else _best(problem, reference, [*best, Point(config, seen)])

    for config in islice(unseen(space, tried, seed), int(evaluations * _DRAWN)):
        best = look(config)
    for _ in range(_TRIES * evaluations):
        if len(tried) >= evaluations:
            break
        child = changed(space, [default, *(point.config for point in best)], rng)
        if space.allows(child) and space.key(child) not in tried:
            best = look(child)
    return Survey(Point(default, metrics), best, len(tried))


def _best(problem: Problem, reference: FloatArray, points: Sequence[Point]) -> tuple[Point, ...]:
    """The front, or the few best by one objective, of what is usable and in no objective worse than the reference."""
    costs = [(usable_costs(problem, point.metrics), point) for point in points]
    counted = [(cost, point) for cost, point in costs if cost is not None and np.all(cost <= reference)]
    if not counted:
        return ()
    y = np.array([cost for cost, _ in counted])
    chosen = np.argsort(y[:, 0], kind="stable")[:_KEPT].tolist() if y.shape[1] == 1 else pareto(y)
    return tuple(counted[i][1] for i in chosen)


def changed(space: SearchSpace, parents: Sequence[Config], rng: np.random.Generator) -> Config:
    """A parent with one to three parameters moved a little or drawn anew."""
    u = space.encode(parents[int(rng.integers(len(parents)))])
    for index in rng.choice(space.dimension, size=int(rng.integers(1, _CHANGED + 1)), replace=False):
        near = float(np.clip(rng.normal(u[index], _STEP), 0.0, 1.0))
        u[index] = near if rng.random() < 0.5 else rng.random()
    return space.decode(u)
