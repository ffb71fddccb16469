"""``hebo``: the method of HEBO (Cowen-Rivers et al. 2022; paper, section V-A3) on the surrogate of the search.

One objective: power-transformed costs, a GP with warped inputs, and MACE (UCB, PI and EI) by NSGA-II, from whose Pareto
set suggestions are drawn. Two: the lower confidence bounds of both, likewise; the least certain point of the set comes
first. Failures enter the models as penalties, and there is no model of feasibility: that is the difference from
``scoot-paper``. The PyPI package itself cannot be installed beside current packages; see docs/method.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scoot_ray.search import solver
from scoot_ray.search.acquisition import upper_confidence_bound
from scoot_ray.search.baselines.penalty import judged
from scoot_ray.search.beliefs import PAPER, Beliefs, believe
from scoot_ray.search.problem import Problem, Suggestion
from scoot_ray.search.situation import Situation, sobol_points, staged
from scoot_ray.search.space import FloatArray
from scoot_ray.search.trial import Config, Measured, Observation

_KAPPA = 2.0  # of the two-objective bounds, as in the package
_INDIVIDUALS = 100
_GENERATIONS = 100


def propose(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions; fewer only where the space is exhausted."""
    sample = len(situation.problem.leads()) + situation.problem.space.dimension
    return staged(situation, n, sample, _modelled, sobol_points)


def _modelled(situation: Situation, n: int) -> Sequence[Config]:
    """Up to n of the acquisitions' Pareto set; none while nothing usable was measured."""
    problem, space = situation.problem, situation.problem.space
    one = len(problem.objectives) == 1
    beliefs = believe(problem, _penalised(problem, situation.history), PAPER)
    if beliefs is None:
        return []
    parallel = n + len(situation.pending)
    field = solver.Field(
        space=space,
        seen=situation.seen,
        score=lambda u: beliefs.ensemble(u, parallel) if one else _bounds(beliefs, u),
        pof=lambda u: np.ones(len(u)),
        least=0.0,
    )
    best = solver.nsga2(field, _INDIVIDUALS, _GENERATIONS, situation.stream())
    order = np.random.default_rng(situation.stream()).permutation(len(best))
    drawn = [best[i] for i in order]
    return (drawn if one else _least_certain_first(beliefs, drawn))[:n]


def _bounds(beliefs: Beliefs, u: FloatArray) -> FloatArray:
    """The negated lower confidence bounds (n, 2) of the costs at u (n, d)."""
    return upper_confidence_bound(*beliefs.predict(u), _KAPPA)


def _least_certain_first(beliefs: Beliefs, configs: list[Config]) -> list[Config]:
    """The configurations with the one of largest joint uncertainty moved to the front."""
    if not configs:
        return configs
    _, std = beliefs.predict(beliefs.space.encode_all(configs))
    first = int(np.argmax(np.sum(np.log(std), axis=1)))
    return [configs[first], *configs[:first], *configs[first + 1 :]]


def _penalised(problem: Problem, history: Sequence[Observation]) -> list[Observation]:
    """The history with every failure measured at the penalty."""
    return [
        replace(
            one.observation,
            outcome=Measured({o.metric: float(o.sign * c) for o, c in zip(problem.objectives, one.costs, strict=True)}),
        )
        for one in judged(problem, history)
    ]
