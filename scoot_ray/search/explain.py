"""What a study has learnt, for people: which parameters mattered, which way, what does not work, and how far to trust.

A function of the problem, the search's observations and a seed; the models are fitted anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoot_ray.search.beliefs import LOGARITHMIC, Model, believe
from scoot_ray.search.crashes import Rule, crash_rules
from scoot_ray.search.feasibility import feasible, fit_forest
from scoot_ray.search.problem import Problem, settled, usable
from scoot_ray.search.sensitivity import Curve, Importance, curve, importances, workable
from scoot_ray.search.trial import Config, Observation

_FEWEST = 8  # measurements below which a GP of many parameters says nothing about any of them
_MOST = 300  # observations that the GPs are fitted to: their cost grows with the cube
_QUARTILE = 0.674  # half of a normal distribution lies within so many standard deviations
_NINETY = 1.645


@dataclass(frozen=True, slots=True)
class Calibration:
    """How well the GP foretells each observation from the others.

    ``within_50`` and ``within_90`` are the shares of observations inside its intervals of that probability; ``error``
    is the root mean square error and ``spread`` the observations' own standard deviation: in the metric's unit, or of
    its natural logarithm where ``logarithmic``.
    """

    observations: int
    within_50: float
    within_90: float
    error: float
    spread: float
    logarithmic: bool


@dataclass(frozen=True, slots=True)
class Explained:
    """One objective: parameters by importance, their curves, and how good the model behind them is."""

    metric: str
    importances: tuple[Importance, ...]
    curves: tuple[Curve, ...]
    calibration: Calibration


@dataclass(frozen=True, slots=True)
class Explanation:
    """All of it. ``objectives`` are empty where ``silence`` says why nothing can be told of them."""

    measured: int
    failed: int
    objectives: tuple[Explained, ...]
    rules: tuple[Rule, ...]
    silence: str | None


def explain(problem: Problem, history: Sequence[Observation], seed: int) -> Explanation:
    """Explain a search from its observations; histories of other studies are left out."""
    own = replace(problem, earlier=())
    counted = settled(history)
    ran = usable(own, counted)
    rules = crash_rules(own.space, counted, seed)
    failed = sum(feasible(o) is False for o in counted)
    least = max(_FEWEST, own.space.dimension + 1)
    beliefs = believe(own, _spread(counted), replace(LOGARITHMIC, slos=False)) if len(ran) >= least else None
    if beliefs is None:
        silence = f"{len(ran)} usable measurements are too few to tell; it takes {least}"
        return Explanation(len(ran), failed, (), rules, silence)
    points = workable(own.space, fit_forest(own.space, counted, seed), seed)
    objectives = tuple(_explained(own, model, points, seed) for model in beliefs.objectives)
    return Explanation(len(ran), failed, objectives, rules, None)


def _spread(history: Sequence[Observation]) -> Sequence[Observation]:
    """As many as a GP can be fitted to, evenly over the search."""
    if len(history) <= _MOST:
        return history
    return [history[at * (len(history) - 1) // (_MOST - 1)] for at in range(_MOST)]


def _explained(problem: Problem, model: Model, points: Sequence[Config], seed: int) -> Explained:
    space = problem.space
    curves = [curve(space, model, points, parameter) for parameter in space.parameters]
    return Explained(
        model.metric,
        importances(space, model, points, seed),
        tuple(one for one in curves if one is not None),
        calibration(model),
    )


def calibration(model: Model) -> Calibration:
    """Leave-one-out, with the hyperparameters fitted to all."""
    mean, std = model.surrogate.leave_one_out()
    z = np.abs(model.surrogate.z - mean) / std
    return Calibration(
        observations=len(z),
        within_50=float(np.mean(z <= _QUARTILE)),
        within_90=float(np.mean(z <= _NINETY)),
        error=float(np.sqrt(np.mean((model.surrogate.z - mean) ** 2))) * model.target.spread,
        spread=float(np.std(model.surrogate.z)) * model.target.spread,
        logarithmic=model.target.unit == "log",
    )
