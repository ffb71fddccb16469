"""What a fitted GP says of each parameter: how much of an objective hangs on it, and which way.

Points are drawn from what is allowed and likely to work, so that figures speak of configurations one could use.
u (n, d) snapped points · x (n, c) their features · f (s, n) functions drawn from the posterior
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from math import sqrt
from typing import Literal

import numpy as np
from scipy.stats import norm

from scoot_ray.search.beliefs import Model
from scoot_ray.search.feasibility import Forest
from scoot_ray.search.parameters import Parameter
from scoot_ray.search.sampling import unseen
from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.trial import Config, Value

_POINTS = 96
_POOL = 512  # points drawn, of which the likeliest to work are kept
_DRAWS = 200  # functions from the posterior
_DONORS = 8  # other points asked for a value that is allowed here
_FEWEST_PAIRS = 10
_GRID = 9  # values of a parameter in a curve, at most
_TAIL = 0.05  # on each side of a 90% interval
_MATTERS = 0.05  # share of an objective's variance


@dataclass(frozen=True, slots=True)
class Importance:
    """The share of an objective's variance that hangs on a parameter, alone or with others, with a 90% interval.

    Shares add up to more than 1 where parameters act together. ``verdict`` compares the interval with 5%.
    """

    parameter: str
    share: float
    low: float
    high: float

    @property
    def verdict(self) -> Literal["matters", "hardly matters", "cannot tell"]:
        """What may be said of it."""
        if self.low >= _MATTERS:
            return "matters"
        return "hardly matters" if self.high < _MATTERS else "cannot tell"


@dataclass(frozen=True, slots=True)
class Curve:
    """Partial dependence: the metric at each value of a parameter, averaged over all else, with a 90% band.

    The band is the model's uncertainty of the average, which is geometric where the metric is modelled on a log scale.
    """

    parameter: str
    values: tuple[Value, ...]
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def workable(space: SearchSpace, forest: Forest, seed: int) -> list[Config]:
    """Distinct allowed configurations spread over the space, those most likely to work."""
    pool = list(islice(unseen(space, (), seed), _POOL))
    if not pool:
        return []
    pof = forest.pof(space.features(space.encode_all(pool)))
    # The first that are at least as likely as the median of the most likely ones: spread, not crowded around one.
    enough = min(0.5, float(np.sort(pof)[-min(_POINTS, len(pof))]))
    return [config for config, p in zip(pool, pof, strict=True) if p >= enough][:_POINTS]


def importances(space: SearchSpace, model: Model, points: Sequence[Config], seed: int) -> tuple[Importance, ...]:
    """Total-effect Sobol indices by Jansen's estimator (1999), each over functions drawn from the GP's posterior.

    Only swaps that keep the known constraints count; a parameter with hardly any is left out.
    """
    rng = np.random.default_rng(seed)
    swaps = [_swaps(space, parameter, points, rng) for parameter in space.parameters]
    configs = [*points, *(config for swapped in swaps for _, config in swapped)]
    f = _draws(model, space.features(space.encode_all(configs)), rng)
    base, start = f[:, : len(points)], len(points)
    variance = np.maximum(np.var(base, axis=1), np.finfo(float).tiny)
    found: list[Importance] = []
    for parameter, swapped in zip(space.parameters, swaps, strict=True):
        moved = f[:, start : start + len(swapped)]
        start += len(swapped)
        if len(swapped) >= _FEWEST_PAIRS:
            differences = base[:, [index for index, _ in swapped]] - moved
            shares = np.minimum(np.mean(differences**2, axis=1) / (2 * variance), 1.0)
            low, middle, high = np.quantile(shares, [_TAIL, 0.5, 1 - _TAIL])
            found.append(Importance(parameter.name, float(middle), float(low), float(high)))
    return tuple(sorted(found, key=lambda one: -one.share))


def _swaps(
    space: SearchSpace, parameter: Parameter, points: Sequence[Config], rng: np.random.Generator
) -> list[tuple[int, Config]]:
    """Each point with the parameter's value of another one, the first of a few that is allowed."""
    found: list[tuple[int, Config]] = []
    for index, point in enumerate(points):
        donors = rng.integers(len(points), size=_DONORS)
        swapped = ({**point, parameter.name: points[donor][parameter.name]} for donor in donors)
        allowed = next((config for config in swapped if space.allows(config)), None)
        if allowed is not None:
            found.append((index, allowed))
    return found


def _draws(model: Model, x: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Functions (s, n) of the posterior, at x (n, c)."""
    mean, covariance = model.surrogate.joint(x)
    values, vectors = np.linalg.eigh(covariance)  # of a covariance that is singular where features repeat
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return np.asarray(mean + rng.standard_normal((_DRAWS, len(x))) @ root.T)


def curve(space: SearchSpace, model: Model, points: Sequence[Config], parameter: Parameter) -> Curve | None:
    """Partial dependence (Friedman 2001) on one parameter; None where hardly any of the points may be moved.

    All values are averaged over the same points, those at which each of them is allowed, so that nothing but the
    parameter differs between them. For that, values that few points allow are left out.
    """
    values = list(_grid(parameter))
    allowed = np.array([[space.allows({**point, parameter.name: value}) for point in points] for value in values])
    while len(values) > 1 and np.sum(np.all(allowed, axis=0)) < _FEWEST_PAIRS:
        rarest = int(np.argmin(np.sum(allowed, axis=1)))
        values.pop(rarest)
        allowed = np.delete(allowed, rarest, axis=0)
    if len(values) < 2:
        return None
    common = [point for point, everywhere in zip(points, np.all(allowed, axis=0), strict=True) if everywhere]
    moved = [space.encode_all([{**point, parameter.name: value} for point in common]) for value in values]
    metric = model.target.metric(np.array([_average(model, space.features(u)) for u in moved]))
    low, high = np.sort(metric[:, 1:], axis=1).T.tolist()  # where more is better, the ends change places
    return Curve(parameter.name, tuple(values), tuple(metric[:, 0].tolist()), tuple(low), tuple(high))


def _average(model: Model, x: FloatArray) -> FloatArray:
    """Mean, low and high end of the cost averaged over x (n, c): the average of a GP is a Gaussian."""
    mean, covariance = model.surrogate.joint(x)
    middle, variance = float(np.mean(mean)), float(np.mean(covariance))
    reach = float(norm.ppf(1 - _TAIL)) * sqrt(max(variance, 0.0))
    return np.array([middle, middle - reach, middle + reach])


def _grid(parameter: Parameter) -> tuple[Value, ...]:
    """All levels of a parameter that has few, or as many spread over its axis."""
    if parameter.size is not None and parameter.size <= _GRID:
        return tuple(parameter.level(index) for index in range(parameter.size))
    return tuple(dict.fromkeys(parameter.decode(float(place)) for place in np.linspace(0.0, 1.0, _GRID)))
