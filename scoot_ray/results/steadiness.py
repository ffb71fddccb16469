"""Whether machines are alike and stay so: what the default's repeated measurements say of nodes and of time. Pure.

The default is measured again by canaries and probes, always under the same arrivals: what differs is the machine's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from scoot_ray.inference import CONFIDENCE
from scoot_ray.log import Log
from scoot_ray.recheck import remeasured
from scoot_ray.search import Measured, Problem

Floats = npt.NDArray[np.float64]

_FEWEST = 4  # measurements of which anything is said
_RELEVANT = 0.02  # a smaller difference is no matter, however certain


@dataclass(frozen=True, slots=True)
class Effect:
    """A relative difference of one metric of the default, with a 95% interval over all that are compared.

    ``node`` is the one compared with all others together; None: the end with the beginning, on a straight line.
    """

    metric: str
    node: str | None
    relative: float
    low: float
    high: float
    measurements: int

    @property
    def beyond_noise(self) -> bool:
        """Whether it is certain, and large enough to matter."""
        return (self.low > 0 or self.high < 0) and abs(self.relative) >= _RELEVANT


def steadiness(problem: Problem, log: Log) -> tuple[Effect, ...]:
    """The effects of time and of each node on the objectives; none while the default was measured too seldom."""
    again = remeasured(log)
    found: list[Effect] = []
    for objective in problem.objectives:
        pairs = [
            (seen.outcome.metrics[objective.metric], seen.where)
            for seen in again
            if isinstance(seen.outcome, Measured) and seen.outcome.metrics.get(objective.metric, 0.0) > 0
        ]
        if len(pairs) >= _FEWEST:
            y = np.log([value for value, _ in pairs])
            found.extend(_effects(objective.metric, y, [where for _, where in pairs]))
    return tuple(found)


def unsteady(effects: Iterable[Effect]) -> list[str]:
    """A line for each effect beyond the noise."""
    return [
        f"the default's {one.metric} is {one.relative:+.1%} ({one.low:+.1%} to {one.high:+.1%}) "
        + ("at the end against the beginning" if one.node is None else f"on {one.node} against the other nodes")
        + f", in {one.measurements} measurements: figures from "
        + ("different times" if one.node is None else "different nodes")
        + " do not compare as they are"
        for one in effects
        if one.beyond_noise
    ]


def _effects(metric: str, y: Floats, nodes: Sequence[str]) -> Iterator[Effect]:
    """``y`` (n,) are logarithms in the order measured. The 5% are shared among all that is compared."""
    told = [node for node in dict.fromkeys(nodes) if 2 <= nodes.count(node) <= len(nodes) - 2]
    told = told[:1] if len(set(nodes)) == 2 else told  # of two nodes each is the other's opposite
    error = (1 - CONFIDENCE) / (1 + len(told))
    yield _contrast(metric, None, y, np.linspace(0.0, 1.0, len(y)), error)
    for node in told:
        yield _contrast(metric, node, y, np.array([1.0 if one == node else 0.0 for one in nodes]), error)


def _contrast(metric: str, node: str | None, y: Floats, x: Floats, error: float) -> Effect:
    """The slope of y on x (n,), by least squares, with a t interval of its residuals."""
    away = x - np.mean(x)
    square = float(away @ away)
    slope = float(away @ y) / square
    residual = y - np.mean(y) - slope * away
    reach = float(stats.t.ppf(1 - error / 2, len(y) - 2)) * math.sqrt(
        float(residual @ residual) / (len(y) - 2) / square
    )
    low, high = (math.expm1(min(slope + step, 50.0)) for step in (-reach, reach))
    return Effect(metric, node, math.expm1(slope), low, high, len(y))
