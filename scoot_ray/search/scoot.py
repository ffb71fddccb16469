"""SCOOT's suggestions: as in the paper (``SCOOT_PAPER``), and with what we changed (``SCOOT``).

Both evaluate the default, then an initial sample of as many points as dimensions, then what the models promise, under
known constraints and a threshold on the probability of feasibility; where that yields too few, points drawn without a
model make up for it (paper, sections IV-A to IV-G and Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from scoot_ray.search import solver
from scoot_ray.search.beliefs import OURS, PAPER, Beliefs, Modelling, believe
from scoot_ray.search.feasibility import START, Forest, fit_forest, threshold
from scoot_ray.search.problem import Suggestion, centres
from scoot_ray.search.sampling import covering, flips
from scoot_ray.search.situation import Situation, sobol_points, staged
from scoot_ray.search.space import FloatArray
from scoot_ray.search.surrogate import Kernel
from scoot_ray.search.transfer import lessons
from scoot_ray.search.trial import Config

_LEAST_DRAWN = 2  # points that no history has chosen
_SEARCHES = 8  # in one call
_LEAST_POF = 1e-3  # a forest's 0 of a hundred trees is no proof


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the two tuners differ.

    ``design``: how points are drawn without a model. ``batch``: all points of a batch from one Pareto set or ranking,
    blind to those in flight; or one after the other, each as if those before it had turned out as predicted, by the
    improvement expected times the probabilities of feasibility and of meeting the SLOs.

    The others are switched off to see what they are worth. ``forest``: whether failures teach at all; ``threshold``:
    whether the POF asked for moves or stays where it starts. Of greedy batches: ``weighted`` by the POF, and
    ``expectant`` of what is in flight. ``turns``: the kernels of which the suggestions of greedy batches follow one
    after the other; a kernel that is wrong about a part of the space, and sure of it, would never look there again.
    """

    design: Literal["sobol", "covering", "flips"]
    batch: Literal["ensemble", "greedy"]
    modelling: Modelling = OURS
    forest: bool = True
    threshold: Literal["dynamic", "fixed"] = "dynamic"
    weighted: bool = True
    expectant: bool = True
    turns: tuple[Kernel, ...] = ("additive", "matern")
    individuals: int = 100
    generations: int = 100


SCOOT_PAPER = Settings(design="sobol", batch="ensemble", modelling=PAPER)
SCOOT = Settings(design="flips", batch="greedy")


def propose(settings: Settings, situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions beyond the default and the baseline; fewer only where the space is exhausted."""
    sample = len(situation.problem.leads()) + _sample(settings, situation)
    return staged(situation, n, sample, partial(_modelled, settings), partial(_drawn, settings))


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


def _drawn(settings: Settings, situation: Situation, n: int) -> Sequence[Config]:
    """Up to n points drawn without a model."""
    if settings.design == "sobol":
        return sobol_points(situation, n)
    draw = flips if settings.design == "flips" else covering
    chosen: list[Config] = []
    for _ in range(n):
        now = situation.after(chosen)
        config = draw(now.problem.space, now.tried, now.seed, now.submitted)
        if config is None:
            break
        chosen.append(config)
    return chosen


def _modelled(settings: Settings, situation: Situation, n: int) -> Sequence[Config]:
    """Up to n points that the models promise most of; none while nothing was measured."""
    if settings.batch == "greedy":
        return _greedy(settings, situation, n)
    beliefs = _beliefs(settings, situation)
    return _ensemble(settings, situation, beliefs, n) if beliefs is not None else ()


def _beliefs(settings: Settings, situation: Situation, kernel: Kernel | None = None) -> Beliefs | None:
    modelling = settings.modelling
    modelling = replace(modelling, kernel=modelling.kernel if kernel is None else kernel)
    return believe(situation.problem, situation.history, modelling)


def _forest(settings: Settings, situation: Situation) -> Forest:
    if not settings.forest:
        return Forest(None, 1.0)
    problem = situation.problem
    return fit_forest(problem.space, lessons(problem, situation.history), situation.seed)


def _least(settings: Settings, situation: Situation) -> float:
    """The POF that a suggestion must reach."""
    return threshold(situation.history) if settings.threshold == "dynamic" else START


def _ensemble(settings: Settings, situation: Situation, beliefs: Beliefs, n: int) -> Sequence[Config]:
    """The paper's: n at random from the Pareto set of UCB, PI and EI, or the n with the largest EHVI."""
    space, forest = situation.problem.space, _forest(settings, situation)
    parallel = max(1, n + len(situation.pending))
    field = solver.Field(
        space=space,
        seen=situation.seen,
        score=lambda u: beliefs.ensemble(u, parallel),
        pof=lambda u: forest.pof(space.features(u)),
        least=_least(settings, situation),
    )
    best = solver.nsga2(field, settings.individuals, settings.generations, situation.stream())
    if len(beliefs.objectives) == 1:
        order = np.random.default_rng(situation.stream()).permutation(len(best))
        best = [best[i] for i in order]
    return best[:n]


def _greedy(settings: Settings, situation: Situation, n: int) -> Sequence[Config]:
    """One after the other, each as if those in flight had turned out as predicted.

    Of more than a few, several come from what one search has found, each judged again after the one before it.
    """
    turns = [settings.turns[(situation.submitted + i) % len(settings.turns)] for i in range(n)]
    believed = {kernel: _beliefs(settings, situation, kernel) for kernel in dict.fromkeys(turns)}
    forest = _forest(settings, situation)
    from_one_search = -(-n // _SEARCHES)
    chosen: list[Config] = []
    found: list[Config] = []
    for i, kernel in enumerate(turns):
        now, news = situation.after(chosen), chosen[-1:] or situation.pending
        if settings.expectant:
            believed = {k: beliefs and beliefs.expecting(news) for k, beliefs in believed.items()}
        beliefs = believed[kernel]
        if beliefs is None:
            break
        field = _weighted(settings, now, beliefs, forest)
        found = solver.ranked(field, found) if i % from_one_search else []
        found = found or solver.local_best(field, centres(now.problem, now.history), now.stream())
        if not found:
            break
        chosen.append(found[0])
    return chosen


def _weighted(settings: Settings, situation: Situation, beliefs: Beliefs, forest: Forest) -> solver.Field:
    """The expected improvement weighted by the probability of feasibility, above its threshold."""
    space = situation.problem.space

    def pof(u: FloatArray) -> FloatArray:
        return forest.pof(space.features(u))

    def score(u: FloatArray) -> FloatArray:
        weight = np.log(np.maximum(pof(u), _LEAST_POF)) if settings.weighted else 0.0
        return (beliefs.improvement(u) + weight)[:, None]

    return solver.Field(space, situation.seen, score, pof, _least(settings, situation))
