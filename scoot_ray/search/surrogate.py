"""The surrogate: a GP with a Matérn 3/2 kernel, a length scale per feature, warped inputs and learnt noise.

x  (n, c)  features of snapped configurations, in [0, 1]
z  (n,)    standardised costs

Paper, section IV-C. Objectives are modelled by one such GP each. It is written out, slopes included, since with a few
dozen observations a library for large ones spends its time on bookkeeping: a fit takes milliseconds instead of a third
of a second. Nothing in it is random. The tests hold it against GPyTorch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log, sqrt
from typing import Literal, TypeAlias

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

from scoot_ray.search.kernel import Layout, Slopes, covariance, variance, warp
from scoot_ray.search.space import FloatArray

Kernel: TypeAlias = Literal["matern", "additive"]
"""The paper's, or with every feature's own effect beside it."""

_FEWEST = 3  # below, the priors' modes are as good as any fit
_ITERATIONS = 100
_MOST = 150  # observations that hyperparameters are fitted to: the work grows with their cube
_SMALLEST_STD = 1e-6
_JITTER = 1e-8
_FREE = 1e6  # the standard deviation of a prior that says nothing


@dataclass(frozen=True)
class Surrogate:
    """A GP with its hyperparameters ``theta``, conditioned on costs z at x."""

    layout: Layout
    theta: FloatArray
    x: FloatArray
    z: FloatArray

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation (n,) of the noise-free cost at features x (n, c)."""
        k = covariance(self.layout, self.theta, self._bent, warp(self.layout, self.theta, x))
        explained = solve_triangular(self._factor, k, lower=True, check_finite=False)
        left = variance(self.layout, self.theta) - np.sum(explained**2, axis=0)
        return k.T @ self._weights + self._mean, np.sqrt(np.maximum(left, _SMALLEST_STD**2))

    def joint(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean (n,) and covariance (n, n) of the noise-free costs at x (n, c) taken together."""
        bent = warp(self.layout, self.theta, x)
        k = covariance(self.layout, self.theta, self._bent, bent)
        explained = solve_triangular(self._factor, k, lower=True, check_finite=False)
        own = covariance(self.layout, self.theta, bent, bent)
        return k.T @ self._weights + self._mean, own - explained.T @ explained

    @property
    def noise(self) -> float:
        """The learnt standard deviation of an observation around the cost."""
        return exp(0.5 * self.theta[self.layout.noise])

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """For each observation, mean and standard deviation (n,) predicted for it from the others alone.

        Hyperparameters are those fitted to all (Rasmussen and Williams 2006, equation 5.12).
        """
        spread = 1.0 / np.diag(cho_solve((self._factor, True), np.eye(len(self.z))))
        return self.z - self._weights * spread, np.sqrt(spread)

    def conditioned(self, x: FloatArray, z: FloatArray) -> Surrogate:
        """The same GP, its hyperparameters kept, with the costs z (k,) at x (k, c) added to its data.

        The factor of a GP that has predicted before is extended, which takes a k-th part of the time of a new one.
        """
        grown = Surrogate(self.layout, self.theta, np.vstack([self.x, x]), np.append(self.z, z))
        if "_factor" in self.__dict__:
            grown.__dict__["_factor"] = self._extended(grown._bent[len(self.x) :])
        return grown

    @property
    def _mean(self) -> float:
        return float(self.theta[self.layout.mean])

    @cached_property
    def _bent(self) -> FloatArray:
        return warp(self.layout, self.theta, self.x)

    @cached_property
    def _factor(self) -> FloatArray:
        """The lower triangle L (n, n) with L·Lᵀ = k + noise."""
        k = covariance(self.layout, self.theta, self._bent, self._bent)
        return _cholesky(k + (self.noise**2 + _JITTER) * np.eye(len(k)))

    def _extended(self, bent: FloatArray) -> FloatArray:
        """The factor with further warped points (k, c): [[L, 0], [Bᵀ, C]], B = L⁻¹·k(x, new), C·Cᵀ what B leaves."""
        old, new = len(self.x), len(bent)
        below = solve_triangular(
            self._factor, covariance(self.layout, self.theta, self._bent, bent), lower=True, check_finite=False
        )
        own = covariance(self.layout, self.theta, bent, bent) + (self.noise**2 + _JITTER) * np.eye(new)
        whole = np.zeros((old + new, old + new))
        whole[:old, :old], whole[old:, :old] = self._factor, below.T
        whole[old:, old:] = _cholesky(own - below.T @ below)
        return whole

    @cached_property
    def _weights(self) -> FloatArray:
        """(k + noise)⁻¹·(z - mean) (n,)."""
        return np.asarray(cho_solve((self._factor, True), self.z - self._mean))


def fit(x: FloatArray, z: FloatArray, warped: Sequence[int], kernel: Kernel = "matern") -> Surrogate:
    """Fit to costs z (n,) at features x (n, c), n >= 1; ``warped`` are the features whose axis may be bent.

    Hyperparameters maximise the posterior density, of at most 150 observations spread evenly over all; where there is
    nothing to fit they stay at the priors' modes.
    """
    layout = Layout(x.shape[1], tuple(warped), additive=kernel == "additive")
    prior = _prior(layout)
    if len(z) < _FEWEST or not np.ptp(z) > 0:
        return Surrogate(layout, prior.modes, x, z)
    some = np.unique(np.linspace(0, len(z) - 1, min(len(z), _MOST)).astype(int))
    found = minimize(
        _loss,
        prior.modes,
        args=(layout, prior, Slopes(layout, x[some]), z[some]),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(prior.lower, prior.upper, strict=True)),
        options={"maxiter": _ITERATIONS},
    )
    return Surrogate(layout, np.asarray(found.x), x, z)


@dataclass(frozen=True, slots=True)
class _Prior:
    """Normal densities of θ (p,), but for ln s: s is gamma distributed with shape 2. Searched between the bounds."""

    layout: Layout
    centre: FloatArray
    spread: FloatArray
    lower: FloatArray
    upper: FloatArray

    @property
    def modes(self) -> FloatArray:
        """Where the density is largest (p,)."""
        return np.clip(self.centre, self.lower, self.upper)

    def __call__(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """The log density up to a constant, and its slope (p,)."""
        off = (theta - self.centre) / self.spread
        scale = self.layout.scale
        slope = -off / self.spread
        slope[scale] += 1.0 - exp(theta[scale])
        return float(-0.5 * off @ off + theta[scale] - exp(theta[scale])), slope


def _prior(layout: Layout) -> _Prior:
    """What is believed of the hyperparameters before anything is seen.

    Length scales grow with the dimension, which keeps a GP of many features from fitting noise (Hvarfner et al. 2024).
    A log-normal density of a value has its mode, and so the centre of an equal normal one of its logarithm, at μ - σ².
    """
    size = layout.size
    prior = _Prior(layout, np.zeros(size), np.full(size, _FREE), np.full(size, -10.0), np.full(size, 10.0))
    if layout.additive:
        _believe(prior, layout.lengths, 0.5 * log(layout.features), 1.0, (0.025, 1e3))
        _believe(prior, layout.effects, -1.5, 1.5, (1e-5, 50.0))
        _believe(prior, layout.noise, -3.0 - 1.5**2, 1.5, (1e-4, 10.0))
    else:
        _believe(prior, layout.lengths, sqrt(2) + 0.5 * log(layout.features) - 3, sqrt(3), (0.025, 1e3))
        _believe(prior, layout.noise, -4.0 - 1, 1.0, (1e-4, 10.0))
    _believe(prior, layout.scale, 0.0, _FREE, (1e-3, 100.0))
    for bend in layout.bends:
        _believe(prior, bend, -0.3, sqrt(0.3), (0.05, 20.0))
    return prior


def _believe(prior: _Prior, which: slice | int, centre: float, spread: float, limits: tuple[float, float]) -> None:
    prior.centre[which], prior.spread[which] = centre, spread
    prior.lower[which], prior.upper[which] = log(limits[0]), log(limits[1])


def _loss(theta: FloatArray, layout: Layout, prior: _Prior, slopes: Slopes, z: FloatArray) -> tuple[float, FloatArray]:
    """The negative log posterior density of θ (p,), up to a constant, and its slope (p,)."""
    noise = exp(theta[layout.noise])
    k = slopes.covariance(theta) + (noise + _JITTER) * np.eye(len(z))
    factor = _cholesky(k)
    rest = z - theta[layout.mean]
    solved = cho_solve((factor, True), np.column_stack([rest, np.eye(len(z))]), check_finite=False)
    alpha, inverse = solved[:, 0], solved[:, 1:]
    weights = 0.5 * (np.outer(alpha, alpha) - inverse)
    value, slope = prior(theta)
    value += -0.5 * float(rest @ alpha) - float(np.sum(np.log(np.diag(factor))))
    slope += slopes.gradient(theta, weights)
    slope[layout.noise] += np.trace(weights) * noise
    slope[layout.mean] += np.sum(alpha)
    return -value, -slope


def _cholesky(k: FloatArray) -> FloatArray:
    """The lower factor; with as much more on the diagonal as rounding makes necessary."""
    for jitter in (0.0, 1e-6, 1e-4):
        try:
            return np.asarray(np.tril(cho_factor(k + jitter * np.eye(len(k)), lower=True)[0]))
        except LinAlgError:
            continue
    raise AssertionError("a covariance with noise is positive definite")  # pragma: no cover
