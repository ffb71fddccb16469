"""Metrics as the GP sees them: bent towards a normal distribution, standardised, and smaller is better."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from scipy.special import boxcox

from scoot_ray.search.space import FloatArray

Shape: TypeAlias = Literal["plain", "log", "power"]


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
        """What a step of the bent metric is: of the metric itself, or of its logarithm; None for a power of it."""
        if self.bend is _plain:
            return "plain"
        return "log" if isinstance(self.bend, partial) and self.bend.func is _log else None

    def metric(self, z: FloatArray) -> FloatArray:
        """The way back, from standardised costs to metric values; not of "power", which nothing needs back."""
        bent = self.centre + self.sign * self.spread * z
        if self.unit is None:
            raise ValueError("a power-transformed target has no way back")
        return np.asarray(np.exp(bent)) if self.unit == "log" else np.asarray(bent)


def fit_target(metric: FloatArray, shape: Shape, sign: float) -> Target:
    """Choose the map from the values (n,) seen; ``sign`` is -1 where more is better.

    "log" needs positive values and is "plain" without; "power" is Box-Cox for positive values and Yeo-Johnson
    otherwise (as HEBO and the paper's released code), and "plain" where the likelihood has no sensible maximum.
    """
    bend = _bend(metric, shape)
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
