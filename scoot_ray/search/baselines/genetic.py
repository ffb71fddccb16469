"""``genetic``: pymoo's mixed-variable GA, and with NSGA-II's survival for two objectives (paper, section V-A3).

Ten individuals, the default and the baseline among the first. A generation is every ten observations in the order
they finished: of them and the parents before, ten survive. Children are bred from the last survivors when they are
asked for. So the population is a function of the log, whatever was lost, finished out of order or came from elsewhere;
asked one after the other this is the usual generational GA. A child that breaks the known constraints or was tried
before is not evaluated at a penalty: another is bred in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymoo.algorithms.soo.nonconvex.ga import FitnessSurvival
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.core.population import Population
from pymoo.core.problem import Problem as Formulation
from pymoo.core.variable import Binary, Real
from pymoo.core.variable import Choice as Category
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

from scoot_ray.search.baselines.penalty import Judged, judged
from scoot_ray.search.parameters import Boolean, Choice, Parameter
from scoot_ray.search.problem import Suggestion
from scoot_ray.search.situation import Situation, sobol_points, staged
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.trial import Config, Value

_POPULATION = 10
_MATINGS = 32  # tried for each child before a Sobol point takes its place


def propose(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions; fewer only where the space is exhausted."""
    return staged(situation, n, _POPULATION, _children, sobol_points)


def _children(situation: Situation, n: int) -> Sequence[Config]:
    """Up to n new children of the present parents."""
    space = situation.problem.space
    parents = judged(situation.problem, situation.history)
    if len(parents) < 2:
        return []
    formulation = _formulation(space, len(situation.problem.objectives))
    population = _survivors(formulation, space, parents)
    rng = np.random.default_rng(situation.stream())
    mating = MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination(), n_max_iterations=1)
    found: dict[tuple[Value, ...], Config] = {}
    for _ in range(_MATINGS * n):
        for child in mating.do(formulation, population, n, random_state=rng):
            config = _decoded(space, child.X)
            if space.key(config) not in situation.seen and space.allows(config):
                found.setdefault(space.key(config), config)
        if len(found) >= n:
            break
    return list(found.values())[:n]


def _survivors(formulation: Any, space: SearchSpace, individuals: Sequence[Judged]) -> Any:
    """The parents after the last complete ten; everybody while there is none."""
    survival = FitnessSurvival() if formulation.n_obj == 1 else RankAndCrowding()
    complete = len(individuals) - len(individuals) % _POPULATION
    if not complete:
        return _population(space, individuals)
    parents = Population.create()
    for start in range(0, complete, _POPULATION):
        ten = _population(space, individuals[start : start + _POPULATION])
        parents = survival.do(
            formulation,
            Population.merge(parents, ten),
            n_survive=_POPULATION,
            random_state=np.random.default_rng(0),  # of equally crowded ones any may go, but always the same
        )
    return parents


def _population(space: SearchSpace, individuals: Sequence[Judged]) -> Any:
    """As pymoo keeps it."""
    genomes = [_encoded(space, one.config) for one in individuals]
    return Population.new(X=genomes, F=np.array([one.costs for one in individuals]))


def _formulation(space: SearchSpace, objectives: int) -> Any:
    """The space as pymoo sees it: numbers on their axes from 0 to 1, choices by index, booleans."""
    return Formulation(vars={p.name: _variable(p) for p in space.parameters}, n_obj=objectives)


def _variable(parameter: Parameter) -> Any:
    if isinstance(parameter, Boolean):
        return Binary()
    if isinstance(parameter, Choice):
        return Category(options=list(range(parameter.size)))
    return Real(bounds=(0.0, 1.0))


def _encoded(space: SearchSpace, config: Config) -> dict[str, bool | int | float]:
    return {p.name: _gene(p, config[p.name]) for p in space.parameters}


def _gene(parameter: Parameter, value: Value) -> bool | int | float:
    if isinstance(parameter, Boolean):
        return bool(value)
    if isinstance(parameter, Choice):
        return list(parameter.values).index(value)
    return parameter.encode(value)


def _decoded(space: SearchSpace, genome: dict[str, Any]) -> Config:
    return {p.name: _value(p, genome[p.name]) for p in space.parameters}


def _value(parameter: Parameter, gene: Any) -> Value:
    if isinstance(parameter, Boolean):
        return bool(gene)
    return parameter.level(int(gene)) if isinstance(parameter, Choice) else parameter.decode(float(gene))
