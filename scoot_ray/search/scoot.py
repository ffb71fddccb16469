"""SCOOT's suggestions: as in the paper (``SCOOT_PAPER``), and with what we changed (``SCOOT``).

Both evaluate the default, then an initial sample of as many points as dimensions, then what the models promise, under
known constraints and a threshold on the probability of feasibility; where that yields too few, points drawn without a
model make up for it (paper, sections IV-A to IV-G and Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from scoot_ray.search import solver
from scoot_ray.search.beliefs import Beliefs, believe
from scoot_ray.search.feasibility import Forest, fit_forest, threshold
from scoot_ray.search.objectives import pareto
from scoot_ray.search.problem import Problem, Suggestion, usable
from scoot_ray.search.sampling import covering, unseen
from scoot_ray.search.space import FloatArray, Key
from scoot_ray.search.targets import Shape
from scoot_ray.search.transfer import lessons
from scoot_ray.search.trial import Config, Observation, Origin

_LEAST_DRAWN = 2  # points that no history has chosen
_LEAST_POF = 1e-3  # a forest's 0 of a hundred trees is no proof
_BEST = 4  # observations, by each objective, whose neighbours are searched


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the two tuners differ.

    ``design``: how points are drawn without a model. ``batch``: all points of a batch from one Pareto set or ranking,
    blind to those in flight; or one after the other, each as if those before it had turned out as predicted, by the
    improvement expected times the probabilities of feasibility and of meeting the SLOs.
    """

    design: Literal["sobol", "covering"]
    batch: Literal["ensemble", "greedy"]
    one_objective: Shape
    two_objectives: Shape
    individuals: int = 100
    generations: int = 100


SCOOT_PAPER = Settings(design="sobol", batch="ensemble", one_objective="power", two_objectives="plain")
SCOOT = Settings(design="covering", batch="greedy", one_objective="log", two_objectives="log")


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a suggestion depends on.

    ``history`` has no failures of ours; ``submitted`` counts every search trial so far, the default and the baseline
    included.
    """

    problem: Problem
    history: Sequence[Observation]
    pending: tuple[Config, ...]
    seed: int
    submitted: int

    @property
    def tried(self) -> tuple[Config, ...]:
        """Every configuration finished or in flight."""
        return (*(o.trial.config for o in self.history), *self.pending)

    @property
    def seen(self) -> frozenset[Key]:
        """The keys of those."""
        return frozenset(self.problem.space.key(c) for c in self.tried)

    def after(self, suggestions: Sequence[Suggestion]) -> Situation:
        """The situation once these suggestions are in flight."""
        pending = (*self.pending, *(s.config for s in suggestions))
        return Situation(self.problem, self.history, pending, self.seed, self.submitted + len(suggestions))

    def stream(self) -> int:
        """A seed of this suggestion's own."""
        return int(np.random.SeedSequence([self.seed, self.submitted]).generate_state(1)[0])


def propose(settings: Settings, situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions beyond the default and the baseline; fewer only where the space is exhausted."""
    problem = situation.problem
    # Observations of other studies, which were not submitted here, shorten the initial sample.
    known = max(situation.submitted, len(situation.tried))
    initial = len(problem.leads()) + _sample(settings, situation) - known
    chosen = _drawn(settings, situation, min(n, max(initial, 0)), Origin.INITIAL)
    if len(chosen) < n:
        chosen += _modelled(settings, situation.after(chosen), n - len(chosen))
    if len(chosen) < n:
        chosen += _drawn(settings, situation.after(chosen), n - len(chosen), Origin.TOP_UP)
    return chosen


def _sample(settings: Settings, situation: Situation) -> int:
    """How many points are tried before the models are asked: as many as dimensions (paper, section IV-A).

    With other studies' histories it is their winners and a few: enough to see whether any of them holds here. Where
    none does, the sample is made up to the usual size.
    """
    problem = situation.problem
    usual, least = problem.space.dimension, len(problem.winners) + max(_LEAST_DRAWN, problem.space.dimension // 3)
    tried = len(situation.tried) - len(problem.leads())
    if not problem.earlier or least >= usual or tried >= usual:
        return usual
    if tried < least:
        return least
    beliefs = _beliefs(settings, situation)
    return least if beliefs is not None and any(model.prior.surfaces for model in beliefs.objectives) else usual


def _drawn(settings: Settings, situation: Situation, n: int, origin: Origin) -> tuple[Suggestion, ...]:
    """Up to n points drawn without a model."""
    space, seed = situation.problem.space, situation.seed
    if settings.design == "sobol":
        return tuple(Suggestion(c, origin) for c in islice(unseen(space, situation.seen, seed), n))
    chosen: tuple[Suggestion, ...] = ()
    for _ in range(n):
        now = situation.after(chosen)
        config = covering(space, now.tried, seed, now.submitted)
        if config is None:
            break
        chosen += (Suggestion(config, origin),)
    return chosen


def _modelled(settings: Settings, situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n points that the models promise most of; none while nothing was measured."""
    problem = situation.problem
    beliefs = _beliefs(settings, situation)
    if beliefs is None:
        return ()
    forest = fit_forest(problem.space, lessons(problem, situation.history), situation.seed)
    configs = (
        _greedy(situation, beliefs, forest, n)
        if settings.batch == "greedy"
        else _ensemble(settings, situation, beliefs, forest, n)
    )
    return tuple(Suggestion(config, Origin.MODEL) for config in configs)


def _beliefs(settings: Settings, situation: Situation) -> Beliefs | None:
    problem = situation.problem
    shape = settings.one_objective if len(problem.objectives) == 1 else settings.two_objectives
    return believe(problem, situation.history, shape, with_slos=settings.batch == "greedy")


def _ensemble(settings: Settings, situation: Situation, beliefs: Beliefs, forest: Forest, n: int) -> Sequence[Config]:
    """The paper's: n at random from the Pareto set of UCB, PI and EI, or the n with the largest EHVI."""
    space = situation.problem.space
    parallel = max(1, n + len(situation.pending))
    field = solver.Field(
        space=space,
        seen=situation.seen,
        score=lambda u: beliefs.ensemble(u, parallel),
        pof=lambda u: forest.pof(space.features(u)),
        least=threshold(situation.history),
    )
    best = solver.nsga2(field, settings.individuals, settings.generations, situation.stream())
    if len(beliefs.objectives) == 1:
        order = np.random.default_rng(situation.stream()).permutation(len(best))
        best = [best[i] for i in order]
    return best[:n]


def _greedy(situation: Situation, beliefs: Beliefs, forest: Forest, n: int) -> Sequence[Config]:
    """One after the other, each as if those in flight had turned out as predicted."""
    beliefs = beliefs.expecting(situation.pending)
    chosen: list[Config] = []
    for _ in range(n):
        now = situation.after([Suggestion(c, Origin.MODEL) for c in chosen])
        config = solver.local_search(_weighted(now, beliefs, forest), _centres(now), now.stream())
        if config is None:
            break
        chosen.append(config)
        beliefs = beliefs.expecting([config])
    return chosen


def _weighted(situation: Situation, beliefs: Beliefs, forest: Forest) -> solver.Field:
    """The expected improvement weighted by the probability of feasibility, above its threshold."""
    space = situation.problem.space

    def pof(u: FloatArray) -> FloatArray:
        return forest.pof(space.features(u))

    def score(u: FloatArray) -> FloatArray:
        return (beliefs.improvement(u) + np.log(np.maximum(pof(u), _LEAST_POF)))[:, None]

    return solver.Field(space, situation.seen, score, pof, threshold(situation.history))


def _centres(situation: Situation) -> list[Config]:
    """What is worth improving on: the front, then the best by each objective."""
    ran = usable(situation.problem, situation.history)
    costs = np.array([one.costs for one in ran])
    ranked = [int(i) for column in costs.T for i in np.argsort(column, kind="stable")[:_BEST]]
    distinct = dict.fromkeys([*pareto(costs), *ranked])
    return [ran[i].observation.trial.config for i in distinct]
