"""Metrics as the GP sees them: bent towards a normal distribution, standardised, and smaller is better."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import boxcox, ndtri

from scoot_ray.search.space import FloatArray

Shape: TypeAlias = Literal["plain", "log", "power", "half-rank"]

_LEAST_SPREAD = 1e-3  # of logarithms
_FEWEST = 4  # values that have halves


@dataclass(frozen=True, slots=True)
class Target:
    """z = sign·(bend(y) - centre) / spread: an increasing map of a cost to a standardised cost."""

    bend: Callable[[FloatArray], FloatArray]
    sign: float
    centre: float
    spread: float

    def __call__(self, metric: FloatArray) -> FloatArray:
        """Metric values, in their own unit and of any shape, -> standardised costs of the same shape."""
        return self.sign * (self.bend(metric) - self.centre) / self.spread

    @property
    def unit(self) -> Literal["plain", "log"] | None:
        """What a step of the bent metric is: of the metric itself, or of its logarithm; None where it is neither."""
        if self.bend is _plain:
            return "plain"
        return "log" if isinstance(self.bend, partial) and self.bend.func is _log else None

    def metric(self, z: FloatArray) -> FloatArray:
        """The way back, from standardised costs to metric values; of "plain" and "log", which alone need one."""
        bent = self.centre + self.sign * self.spread * z
        if self.unit is None:
            raise ValueError("a target that is neither plain nor logarithmic has no way back")
        return np.asarray(np.exp(bent)) if self.unit == "log" else np.asarray(bent)


def fit_target(metric: FloatArray, shape: Shape, sign: float, reference: float | None = None) -> Target:
    """Choose the map from the values (n,) seen; ``sign`` is -1 where more is better.

    "log" needs positive values and is "plain" without; "power" is Box-Cox for positive values and Yeo-Johnson
    otherwise (as HEBO and the paper's released code), and "plain" where the likelihood has no sensible maximum.
    "half-rank" is "log" for what is better than the median or than ``reference``, and the rank alone for the rest.
    """
    bend = _bend(metric, "log" if shape == "half-rank" else shape)
    if shape == "half-rank" and len(metric) >= _FEWEST:
        bend = _half_rank(bend, sign, bend(metric), bend(np.array([reference or np.median(metric)]))[0])
    bent = bend(metric)
    spread = float(np.std(bent))
    if not spread > 1e-9 * max(1.0, float(np.max(np.abs(bent)))):
        spread = 1.0  # constant: nothing to scale
    return Target(bend, sign, float(np.mean(bent)), spread)


def _bend(metric: FloatArray, shape: Shape) -> Callable[[FloatArray], FloatArray]:
    positive = bool(np.min(metric) > 0)
    if shape == "log" and positive:
        return partial(_log, float(np.min(metric)))
    if shape == "power":
        return _power(metric, positive) or _plain
    return _plain


def _plain(metric: FloatArray) -> FloatArray:
    return metric


def _log(smallest: float, metric: FloatArray) -> FloatArray:
    """ln, with anything far below the smallest value seen (a limit of zero) held at a finite place."""
    return np.asarray(np.log(np.maximum(metric, smallest * 1e-6)))


def _half_rank(
    bend: Callable[[FloatArray], FloatArray], sign: float, bent: FloatArray, reference: float
) -> Callable[[FloatArray], FloatArray]:
    """The worse half by quantiles of a half-normal distribution as wide as the better half.

    The worst of what was tried may be fifty times the default, where all there is to gain are a few percent: on one
    scale a GP would see nothing of these. How bad a bad configuration is does not matter (the idea is Vizier's: Song
    et al. 2024, "The Vizier Gaussian process bandit algorithm").
    """
    costs = sign * bent
    split = max(float(np.median(costs)), sign * float(reference))
    spread = max(float(np.sqrt(np.mean((costs[costs <= split] - split) ** 2))), _LEAST_SPREAD)
    worse = np.unique(costs[costs > split])
    places = ndtri(0.5 + 0.5 * np.arange(len(worse) + 1) / (len(worse) + 1))
    return partial(_ranked, bend, sign, split, spread, np.append(split, worse), places)


def _ranked(
    bend: Callable[[FloatArray], FloatArray],
    sign: float,
    split: float,
    spread: float,
    knots: FloatArray,
    places: FloatArray,
    metric: FloatArray,
) -> FloatArray:
    costs = sign * bend(metric)
    return sign * np.where(costs <= split, (costs - split) / spread, np.interp(costs, knots, places))


def _power(metric: FloatArray, positive: bool) -> Callable[[FloatArray], FloatArray] | None:
    """The power transform of greatest likelihood; None where it is degenerate."""
    from sklearn.preprocessing import PowerTransformer  # noqa: PLC0415  # a second to import; not for --help

    scale = float(np.mean(np.abs(metric))) or 1.0
    transformer = PowerTransformer("box-cox" if positive else "yeo-johnson", standardize=False)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # constant values have no likelihood: seen below
        try:
            bent = transformer.fit_transform((metric / scale)[:, None])
        except ValueError:
            return None
    exponent = float(transformer.lambdas_[0])
    # Extreme exponents come from few, nearly equal values and blow up between them.
    if not np.all(np.isfinite(bent)) or abs(exponent) > _EXTREME or np.ptp(bent) < _FLAT:
        return None
    return partial(_box_cox, exponent, scale) if positive else partial(_yeo_johnson, exponent, scale)


_EXTREME = 10.0
_FLAT = 1e-6


def _box_cox(exponent: float, scale: float, metric: FloatArray) -> FloatArray:
    return np.asarray(boxcox(np.maximum(metric / scale, 1e-6), exponent))


def _yeo_johnson(exponent: float, scale: float, metric: FloatArray) -> FloatArray:
    """Box-Cox of 1 + y above zero and, mirrored, of 1 - y with the exponent 2 - λ below."""
    value = metric / scale
    above = boxcox(1 + np.maximum(value, 0), exponent)
    below = -boxcox(1 - np.minimum(value, 0), 2 - exponent)
    return np.asarray(np.where(value >= 0, above, below))
