"""What a few runs say: bounds for a further run, differences within arrival orders, bootstrap over runs. Pure.

A run is one engine start under one arrival order. The order moves a figure far more than anything else where a service
is near its limits, and it moves all configurations alike: so configurations are compared order by order. Figures that
are all positive are looked at on a log scale, since what disturbs latencies and throughputs does so by a factor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST = 5
"""Of fewer runs than this no bootstrap is made: their resamples are too few and too alike."""
_FARTHEST = math.log(1000)
"""What may be a thousand times more says nothing: two runs far apart allow as much."""

ByOrder: TypeAlias = Mapping[int, float]
"""A figure of each arrival order."""
Interval: TypeAlias = tuple[float, float]
Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """A relative difference to a reference, and its interval; None where the shared orders are too few to tell."""

    relative: float
    interval: Interval | None


def mean(values: Sequence[float]) -> float:
    """The geometric mean of positive values, else the arithmetic one; in the values' own unit."""
    logarithmic = _positive(values)
    return _back(float(np.mean(_scaled(values, logarithmic))), logarithmic)


def prediction_bound(values: Sequence[float], worse: int, error: float = 1 - CONFIDENCE) -> float | None:
    """What a further run exceeds, on the worse side, with probability ``error`` (Student's t).

    None where the runs are too few to tell. ``worse`` is +1 where larger is worse. Each configuration's own spread
    counts: one near its limits has more.
    """
    if len(values) < 2:
        return None
    logarithmic = _positive(values)
    scaled = _scaled(values, logarithmic)
    quantile = float(stats.t.ppf(1 - error, len(values) - 1))
    reach = quantile * float(np.std(scaled, ddof=1)) * math.sqrt(1 + 1 / len(values))
    if logarithmic and reach > _FARTHEST:
        return None
    return _back(float(np.mean(scaled)) + worse * reach, logarithmic)


def difference(values: ByOrder, reference: ByOrder, error: float = 1 - CONFIDENCE) -> Difference | None:
    """The mean of value ÷ reference - 1 over the orders that both have, with a two-sided t interval.

    None where they share no order. Where not all are positive: of differences, over the reference's mean.
    """
    steps = log_ratios(values, reference)
    logarithmic = steps is not None
    found = _plain_differences(values, reference) if steps is None else steps
    if not len(found):
        return None
    middle = float(np.mean(found))
    interval = None
    if len(found) > 1:
        quantile = float(stats.t.ppf(1 - error / 2, len(found) - 1))
        reach = quantile * float(np.std(found, ddof=1)) / math.sqrt(len(found))
        if not logarithmic or reach <= _FARTHEST:
            interval = _relative(middle - reach, logarithmic), _relative(middle + reach, logarithmic)
    return Difference(_relative(middle, logarithmic), interval)


def log_ratios(values: ByOrder, reference: ByOrder) -> Floats | None:
    """Logarithms of value ÷ reference, shape (orders shared,); None where a figure is not positive."""
    shared = sorted(values.keys() & reference.keys())
    pairs = [(values[order], reference[order]) for order in shared]
    if not _positive([value for pair in pairs for value in pair]):
        return None
    return np.array([math.log(mine / theirs) for mine, theirs in pairs])


def mean_interval(values: Sequence[float], seed: int = 0) -> Interval | None:
    """A 95% bootstrap interval of the mean over runs; None with fewer than FEWEST.

    Percentiles are widened for the few runs as Student's t and the factor n ÷ (n - 1) ask (Hesterberg, What Teachers
    Should Know About the Bootstrap, 2014, section 4.2.3).
    """
    count = len(values)
    if count < FEWEST:
        return None
    logarithmic = _positive(values)
    means = resampled(_scaled(values, logarithmic)[:, None], seed)[:, 0]
    wide = math.sqrt(count / (count - 1)) * float(stats.t.ppf((1 - CONFIDENCE) / 2, count - 1))
    outside = float(stats.norm.cdf(wide))
    low, high = np.quantile(means, (outside, 1 - outside))
    return _back(float(low), logarithmic), _back(float(high), logarithmic)


def resampled(rows: Floats, seed: int = 0) -> Floats:
    """Means of rows (n, m) drawn anew with replacement, whole rows together: shape (RESAMPLES, m)."""
    drawn = np.random.default_rng(seed).integers(0, len(rows), (RESAMPLES, len(rows)))
    means: Floats = rows[drawn].mean(axis=1)
    return means


def _plain_differences(values: ByOrder, reference: ByOrder) -> Floats:
    shared = sorted(values.keys() & reference.keys())
    unit = abs(float(np.mean([reference[order] for order in shared]))) if shared else 0.0
    return np.array([(values[order] - reference[order]) / (unit or 1.0) for order in shared])


def _positive(values: Sequence[float]) -> bool:
    return all(value > 0 for value in values)


def _scaled(values: Sequence[float], logarithmic: bool) -> Floats:
    given = np.array(values, dtype=float)
    return np.log(given) if logarithmic else given


def _back(value: float, logarithmic: bool) -> float:
    return math.exp(value) if logarithmic else value


def _relative(step: float, logarithmic: bool) -> float:
    return math.expm1(step) if logarithmic else step
