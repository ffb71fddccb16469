"""The prior mean that other studies' surfaces make for the GPs here.

A history is believed as far as its surface explains what is measured here: its share of the prior is the posterior
probability, among all histories and none, that costs here are its surface plus a smooth remainder and mostly in its
order. So a misleading one fades with the first measurements that speak against it.

x (n, c) features of this problem's space · z (n,) standardised costs observed here
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.distance import cdist
from scipy.stats import kendalltau

from scoot_ray.search.problem import Earlier, Problem
from scoot_ray.search.space import FloatArray
from scoot_ray.search.surrogate import Surrogate, fit
from scoot_ray.search.targets import Shape, Target, fit_target
from scoot_ray.search.trial import Measured

_FEWEST = 5  # measurements that make a surface
_SLOPES = ((0.5, 0.25), (1.0, 0.5), (1.5, 0.25))  # how much steeper a surface may be here, and how likely that is
_LENGTH = 0.2  # of the square root of the features: the length scale that the GPs' prior prefers
_AGREEING = 0.8  # share of pairs that a surface that holds here puts in the right order
_LEAST_SHARE = 0.01
_NOISE = 0.02  # share of the remainder's variance
_FREEDOM = 1.0  # observations that the prior scale of the remainder, 1, counts for


@dataclass(frozen=True, slots=True)
class Surface:
    """A metric as another study has seen it."""

    target: Target
    surrogate: Surrogate


@dataclass(frozen=True, slots=True)
class Prior:
    """The mean that a GP here starts from: other studies' surfaces, each with a factor that includes its share."""

    surfaces: tuple[tuple[Surface, float], ...]

    def __call__(self, x: FloatArray) -> FloatArray:
        """Standardised costs (n,), up to a constant, at features x (n, c)."""
        total = np.zeros(len(x))
        for surface, factor in self.surfaces:
            total += factor * surface.surrogate.predict(x)[0]
        return total


def fit_prior(
    problem: Problem, metric: str, shape: Shape, sign: float, target: Target, x: FloatArray, z: FloatArray
) -> Prior:
    """Weigh the other studies' surfaces of a metric by how well they explain z at x; what hardly counts is dropped."""
    surfaces = [(_surface(one, metric, shape, sign), one.similarity) for one in problem.earlier]
    known = [(surface, similarity) for surface, similarity in surfaces if surface is not None and similarity > 0]
    if not known:
        return Prior(())
    shifts = np.array([_unit(surface.target, target) * surface.surrogate.predict(x)[0] for surface, _ in known])
    similarities = np.array([similarity for _, similarity in known])
    shares = _shares(x, z, shifts, similarities / np.sum(similarities) * np.max(similarities))
    factors = shares @ [slope for slope, _ in _SLOPES]
    kept = np.flatnonzero(np.sum(shares, axis=1) >= _LEAST_SHARE)
    return Prior(tuple((known[i][0], float(factors[i]) * _unit(known[i][0].target, target)) for i in kept))


def _shares(x: FloatArray, z: FloatArray, shifts: FloatArray, chances: FloatArray) -> FloatArray:
    """The posterior probabilities (k, slopes) of surfaces with values (k, n) at x, probable a priori by ``chances``.

    What is missing to 1, before and after, is the probability that none of them holds here.
    """
    steepness = [slope for slope, _ in _SLOPES]
    evidence = np.array([[_log_evidence(x, z - slope * shift) for slope in steepness] for shift in shifts])
    order = np.array([[_log_order(shift, z)] for shift in shifts])
    prior = np.log(chances)[:, None] + np.log([likely for _, likely in _SLOPES])
    with np.errstate(divide="ignore"):  # a chance of 0 is meant to give -inf
        none = np.log(max(1.0 - float(np.sum(chances)), 0.0)) + _log_evidence(x, z)
    logs = prior + evidence + order
    return np.asarray(np.exp(logs - np.logaddexp.reduce(np.append(logs, none))))


def _log_order(there: FloatArray, here: FloatArray) -> float:
    """How much likelier the order of the costs is if a surface holds here than by chance, as a logarithm.

    The rank-weighting idea of Feurer, Letham, Hutter and Bakshy (2018): pairs put in the same order speak for the
    surface, others against it. Of n costs the pairs count as n - 1, since they are not independent. It sees what the
    evidence does not: near its own winners, a misleading surface differs from the truth by no more than a smooth
    remainder would explain.
    """
    if len(here) < 2:
        return 0.0
    same = (1 + kendalltau(there, here).statistic) / 2
    if np.isnan(same):  # all are equal
        return 0.0
    return float((len(here) - 1) * (same * np.log(_AGREEING / 0.5) + (1 - same) * np.log((1 - _AGREEING) / 0.5)))


@lru_cache(maxsize=64)
def _surface(one: Earlier, metric: str, shape: Shape, sign: float) -> Surface | None:
    """The GP of a metric in another study's history; kept, since neither changes while a study runs."""
    measured = [
        (o.trial.config, o.outcome.metrics[metric])
        for o in one.history
        if isinstance(o.outcome, Measured) and metric in o.outcome.metrics
    ]
    if len(measured) < _FEWEST:
        return None
    values = np.array([value for _, value in measured])
    target = fit_target(values, shape, sign)
    space = one.space
    x = space.features(space.encode_all([config for config, _ in measured]))
    return Surface(target, fit(x, target(values), space.numeric_features))


def _unit(there: Target, here: Target) -> float:
    """What a standardised cost there is here: the same factor of the metric, or the same share of its spread."""
    return there.spread / here.spread if there.unit == here.unit == "log" else 1.0


def _log_evidence(x: FloatArray, remainder: FloatArray) -> float:
    """The logarithm, up to a constant, of p(remainder) under a GP with mean and scale integrated out.

    A Student t: Rasmussen and Williams 2006, section 2.7, with a scaled inverse chi-squared prior of the variance.
    """
    count, features = x.shape
    distance = np.sqrt(3.0) * cdist(x, x) / (_LENGTH * np.sqrt(features))
    covariance = (1 + distance) * np.exp(-distance) + _NOISE * np.eye(count)
    solved = np.linalg.solve(covariance, np.column_stack([remainder, np.ones(count)]))
    mean = float(np.sum(solved[:, 0]) / np.sum(solved[:, 1]))
    misfit = float((remainder - mean) @ (solved[:, 0] - mean * solved[:, 1]))
    return float(-0.5 * (count - 1 + _FREEDOM) * np.log(_FREEDOM + misfit))
