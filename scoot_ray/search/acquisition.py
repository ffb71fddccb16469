"""What a point promises, from its predicted cost: UCB, PI, EI (MACE's three) and the two-objective EHVI.

mean, std  (n,) or (n, 2)   predicted costs, smaller is better
Larger acquisitions are better. PI, EI and EHVI are logarithms: their order is that of the plain ones, and far from the
incumbents, where those underflow to equal zeros, they still say which way to go.
"""

from __future__ import annotations

from math import log, pi, sqrt

import numpy as np
from scipy.special import erfcx, log_ndtr

from scoot_ray.search.objectives import pareto
from scoot_ray.search.space import FloatArray

XI = 1e-4
_NU = 0.5
_DELTA = 0.01
_LEAST_GAIN = 1e-12
_LOG_SQRT_2PI = 0.5 * log(2 * pi)
_FAR = -1e4  # beyond, 1 - t·Mills(t) cancels and its limit 1/t² is exact to eight digits


def kappa(dimension: int, iteration: float) -> float:
    """UCB's coefficient as in GP-UCB: sqrt(2ν·((2 + d/2)·ln t + ln(3π²/(3δ)))), ν = 0.5, δ = 0.01."""
    t = max(iteration, 1.0)
    return sqrt(2 * _NU * ((2 + dimension / 2) * log(t) + log(3 * pi**2 / (3 * _DELTA))))


def upper_confidence_bound(mean: FloatArray, std: FloatArray, coefficient: float) -> FloatArray:
    """Equation 7 for costs: κσ - μ (n,)."""
    return coefficient * std - mean


def log_probability_of_improvement(mean: FloatArray, std: FloatArray, best: float, xi: float = XI) -> FloatArray:
    """Equation 8 for costs: ln P(y < best - ξ) (n,)."""
    return np.asarray(log_ndtr((best - xi - mean) / std))


def log_expected_improvement(mean: FloatArray, std: FloatArray, best: float, xi: float = XI) -> FloatArray:
    """Equation 9 for costs: ln E[(best - ξ - y)⁺] (n,)."""
    return np.log(std) + _log_h((best - xi - mean) / std)


def log_augmentation(std: FloatArray, noise: float) -> FloatArray:
    """ln(1 - τ/sqrt(σ² + τ²)) (n,), τ the noise's standard deviation: added to ln EI, the augmented EI.

    What is known as well as the noise allows is hardly worth another measurement (Huang, Allen, Notz and Zeng 2006).
    """
    return np.asarray(np.log1p(-noise / np.hypot(std, noise) + _LEAST_GAIN))


def log_expected_hypervolume_improvement(
    mean: FloatArray, std: FloatArray, front: FloatArray, reference: FloatArray
) -> FloatArray:
    """Equation 10 for two independent Gaussian costs, exact: ln EHVI (n,).

    The region not yet dominated is cut into strips between neighbours a of the front (k, 2) on the first axis, each
    open up to a height b on the second. With ψ(a) = E[(a - y)⁺] the improvement within a strip is
    (ψ₁(a_next) - ψ₁(a))·ψ₂(b): the strip decomposition of Emmerich, Yang, Deutz, Wang and Fonseca (2016).
    """
    inside = front[np.all(front < reference, axis=1)].reshape(-1, 2)
    inside = np.unique(inside[pareto(inside)], axis=0)  # sorted by the first cost, so the second descends
    edges = np.append(inside[:, 0], reference[0])
    heights = np.append(reference[1], inside[:, 1])
    to_edges = _log_psi(mean[:, :1], std[:, :1], edges)
    widths = np.hstack([to_edges[:, :1], _log_difference(to_edges[:, 1:], to_edges[:, :-1])])
    return np.asarray(np.logaddexp.reduce(widths + _log_psi(mean[:, 1:], std[:, 1:], heights), axis=1))


def _log_psi(mean: FloatArray, std: FloatArray, level: FloatArray) -> FloatArray:
    """The logarithm of E[(level - y)⁺] for y ~ N(mean, std²)."""
    return np.log(std) + _log_h((level - mean) / std)


def _log_h(z: FloatArray) -> FloatArray:
    """ln(φ(z) + z·Φ(z)), without underflow (Ament et al. 2023, "Unexpected improvements to expected improvement")."""
    near = np.maximum(z, -1.0)
    plain = np.log(np.exp(-0.5 * near**2 - _LOG_SQRT_2PI) + near * np.exp(log_ndtr(near)))
    t = -np.clip(z, _FAR, -1.0)
    tail = np.log1p(-t * sqrt(pi / 2) * erfcx(t / sqrt(2)))
    tail = np.where(z < _FAR, -2 * np.log(np.maximum(-z, 1.0)), tail)
    return np.where(z > -1.0, plain, -0.5 * z**2 - _LOG_SQRT_2PI + tail)


def _log_difference(larger: FloatArray, smaller: FloatArray) -> FloatArray:
    """ln(exp(larger) - exp(smaller)); -inf where rounding leaves nothing between them."""
    gap = np.minimum(smaller - larger, 0.0)
    with np.errstate(divide="ignore"):  # a gap of 0 is meant to give -inf
        return larger + np.log(-np.expm1(gap))
