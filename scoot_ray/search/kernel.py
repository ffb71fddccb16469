"""The covariance of the surrogate and its slopes: Matérn 3/2 over warped features, as a whole and feature by feature.

x  (n, c)  features in [0, 1]
θ  (p,)    hyperparameters: logarithms, but for the mean

    k(x, x') = s·f(|d|) + Σ_j v_j·f(|d_j|),  f(r) = (1 + √3 r)·exp(-√3 r),  d = (w(x) - w(x')) / l

The first term is the paper's (section IV-C). The second knows each feature's own effect, which few observations tell.
w is the Kumaraswamy distribution 1 - (1 - x^a)^b (Snoek et al. 2014), of ordered features alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoot_ray.search.space import FloatArray

_SQRT3 = np.sqrt(3.0)
_INSIDE = 1e-7  # warping has no slope at the ends


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each hyperparameter stands in θ, for ``features`` of which ``warped`` are bent; ``additive``: with Σ_j."""

    features: int
    warped: tuple[int, ...]
    additive: bool

    @property
    def lengths(self) -> slice:
        """Ln l (c,)."""
        return slice(0, self.features)

    @property
    def noise(self) -> int:
        """Ln of the noise's variance."""
        return self.features

    @property
    def scale(self) -> int:
        """Ln s."""
        return self.features + 1

    @property
    def mean(self) -> int:
        """The constant mean, as it is."""
        return self.features + 2

    @property
    def bends(self) -> tuple[slice, slice]:
        """Ln a and ln b, of the warped features each."""
        start, count = self.features + 3, len(self.warped)
        return slice(start, start + count), slice(start + count, start + 2 * count)

    @property
    def effects(self) -> slice:
        """Ln v (c,), or nothing."""
        return slice(self.features + 3 + 2 * len(self.warped), self.size)

    @property
    def size(self) -> int:
        """P."""
        start = self.features + 3 + 2 * len(self.warped)
        return start + (self.features if self.additive else 0)


def warp(layout: Layout, theta: FloatArray, x: FloatArray) -> FloatArray:
    """Features (n, c) with the warped ones bent."""
    if not layout.warped:
        return x
    a, b = (np.exp(theta[part]) for part in layout.bends)
    bent = x.copy()
    inside = np.clip(x[:, layout.warped], _INSIDE, 1 - _INSIDE)
    bent[:, layout.warped] = 1 - (1 - inside**a) ** b
    return bent


def covariance(layout: Layout, theta: FloatArray, one: FloatArray, other: FloatArray) -> FloatArray:
    """K between warped features (n, c) and (m, c): (n, m), without noise."""
    lengths = np.exp(theta[layout.lengths])
    a, b = one / lengths, other / lengths
    square = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1)[None, :] - 2 * a @ b.T
    k = np.exp(theta[layout.scale]) * _matern(np.sqrt(np.maximum(square, 0.0)))
    if layout.additive:
        effects = np.exp(theta[layout.effects])
        for j in range(layout.features):
            k += effects[j] * _matern(np.abs(a[:, j, None] - b[None, :, j]))
    return np.asarray(k)


def variance(layout: Layout, theta: FloatArray) -> float:
    """k(x, x), the same everywhere."""
    return float(np.exp(theta[layout.scale]) + np.sum(np.exp(theta[layout.effects])))


def _matern(r: FloatArray) -> FloatArray:
    return np.asarray((1 + _SQRT3 * r) * np.exp(-_SQRT3 * r))


class Slopes:
    """k of a set of points with itself, and what a weighted sum of it gains by each hyperparameter."""

    def __init__(self, layout: Layout, x: FloatArray) -> None:
        self._layout = layout
        self._x = x
        self._inside = np.clip(x[:, layout.warped], _INSIDE, 1 - _INSIDE)
        self._log = np.log(self._inside)

    def covariance(self, theta: FloatArray) -> FloatArray:
        """K (n, n) without noise; remembers what ``gradient`` needs."""
        lay = self._layout
        bent = warp(lay, theta, self._x)
        difference = np.ascontiguousarray(np.moveaxis(bent[:, None, :] - bent[None, :, :], 2, 0))  # (c, n, n)
        self._d = difference / np.exp(theta[lay.lengths])[:, None, None]
        square = self._d**2
        r = np.sqrt(np.sum(square, axis=0))
        decay = np.exp(theta[lay.scale] - _SQRT3 * r)
        self._whole = (1 + _SQRT3 * r) * decay
        slope = np.broadcast_to(3 * decay, square.shape)
        k = self._whole
        if lay.additive:
            size = np.abs(self._d)
            each = np.exp(theta[lay.effects])[:, None, None] * np.exp(-_SQRT3 * size)
            self._each = (1 + _SQRT3 * size) * each
            slope = slope + 3 * each
            k = k + np.sum(self._each, axis=0)
        self._slope = slope * self._d  # -dk/dd_j
        return np.asarray(k)

    def gradient(self, theta: FloatArray, weights: FloatArray) -> FloatArray:
        """Σ weights_ij·dk_ij/dθ (p,) for symmetric weights (n, n); zero for noise and mean."""
        lay = self._layout
        out = np.zeros(lay.size)
        weighted = weights * self._slope
        out[lay.lengths] = np.sum(weighted * self._d, axis=(1, 2))
        out[lay.scale] = np.sum(weights * self._whole)
        if lay.additive:
            out[lay.effects] = np.sum(weights * self._each, axis=(1, 2))
        if lay.warped:
            # By symmetry a shift of one point counts twice: in its row and in its column.
            by_point = -2 * np.sum(weighted[list(lay.warped)], axis=2).T / np.exp(theta[lay.lengths])[list(lay.warped)]
            first, second = lay.bends
            a, b = np.exp(theta[first]), np.exp(theta[second])
            power = self._inside**a
            rest = 1 - power
            out[first] = np.sum(by_point * b * rest ** (b - 1) * power * self._log * a, axis=0)
            out[second] = np.sum(by_point * -(rest**b) * np.log(rest) * b, axis=0)
        return out
