"""What is wanted: objectives and SLOs; and what wins between two of them: Pareto front and hypervolume.

Costs are what is minimised: a metric as it is, or negated where it is to be maximised. y: (n, m) costs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeAlias, get_args

import numpy as np

from scoot_ray.search.errors import ObjectiveError
from scoot_ray.search.metrics import LATENCIES, require_metric
from scoot_ray.search.space import FloatArray
from scoot_ray.search.trial import Metrics

Direction: TypeAlias = Literal["minimize", "maximize"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric and the direction that is better.

    Raises:
        ObjectiveError: an unknown metric or direction.
    """

    metric: str
    direction: Direction = "minimize"

    def __post_init__(self) -> None:
        require_metric(self.metric, "objective")
        if self.direction not in get_args(Direction):
            allowed = ", ".join(get_args(Direction))
            raise ObjectiveError(f"objective {self.metric}: direction {self.direction!r}; allowed: {allowed}")

    @property
    def sign(self) -> float:
        """Turns the metric into a cost: 1 to minimise, -1 to maximise."""
        return 1.0 if self.direction == "minimize" else -1.0


PRESETS: Mapping[str, tuple[Objective, ...]] = {
    "throughput": (Objective("request_throughput", "maximize"),),
    "tail_latency": (Objective("p95_e2el_ms"),),
    "interactive": (Objective("mean_ttft_ms"), Objective("mean_tpot_ms")),
}


def preset(name: str) -> tuple[Objective, ...]:
    """The objectives that a name stands for.

    Raises:
        ObjectiveError: no such preset.
    """
    if name not in PRESETS:
        raise ObjectiveError(f"objectives {name!r}; allowed: {', '.join(PRESETS)}, or a list of metric and direction")
    return PRESETS[name]


_OPERATORS = ("<=", ">=", "<", ">")
_SLO = re.compile(
    r"\s*(?P<metric>\w+)(?::(?P<statistic>\w+))?\s*(?P<operator><=|>=|<|>)\s*"
    r"(?P<limit>[+]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>ms|s|%)?\s*"
)
_SLO_FORMS = "'ttft:p99<500ms', 'tpot:mean<50ms', 'error_rate<1%', 'request_throughput>=5'"


@dataclass(frozen=True, slots=True)
class SLO:
    """A bound on a metric, in the metric's own unit (ms for latencies, a fraction for error_rate).

    Raises:
        ObjectiveError: an unknown metric or operator, or a limit that is no finite number.
    """

    metric: str
    operator: Literal["<", "<=", ">", ">="]
    limit: float

    def __post_init__(self) -> None:
        require_metric(self.metric, "SLO")
        if self.operator not in _OPERATORS or not isfinite(self.limit):
            raise ObjectiveError(f"SLO {self}: needs one of {' '.join(_OPERATORS)} and a finite limit")

    @classmethod
    def parse(cls, text: str) -> SLO:
        """Read ``latency:statistic<limit`` with ms or s, or ``metric<limit`` with or without %.

        Raises:
            ObjectiveError: neither of the forms, an unknown metric, or a unit that does not fit it.
        """
        match = _SLO.fullmatch(text)
        if match is None:
            raise ObjectiveError(f"SLO {text!r}: not understood; allowed are such as {_SLO_FORMS}")
        name, statistic, unit = match["metric"], match["statistic"], match["unit"]
        if statistic is not None and name not in LATENCIES:
            raise ObjectiveError(f"SLO {text!r}: {name!r} has no statistics; allowed: {', '.join(LATENCIES)}")
        if statistic is None and name in LATENCIES:
            raise ObjectiveError(f"SLO {text!r}: say which statistic of {name}, such as {name}:p99")
        metric = require_metric(name if statistic is None else f"{statistic}_{name}_ms", f"SLO {text!r}")
        return cls(metric, match["operator"], float(match["limit"]) * _factor(metric, unit, text))  # type: ignore[arg-type]  # the pattern admits these four only

    @property
    def is_ceiling(self) -> bool:
        """True where the metric must stay below the limit, False where it must stay above."""
        return self.operator in {"<", "<="}

    def met(self, metrics: Metrics) -> bool | None:
        """Whether measured metrics keep the SLO; None where the metric was not measured."""
        value = metrics.get(self.metric)
        if value is None:
            return None
        strictly = value < self.limit if self.is_ceiling else value > self.limit
        return strictly or (len(self.operator) == 2 and value == self.limit)

    def __str__(self) -> str:
        return f"{self.metric}{self.operator}{self.limit:g}"


def _factor(metric: str, unit: str | None, text: str) -> float:
    """What turns a limit in the unit written into the metric's own."""
    is_latency = "_ms" in metric
    if unit is None:
        return 1.0
    if is_latency == (unit == "%"):
        allowed = "ms or s" if is_latency else "% or none"
        raise ObjectiveError(f"SLO {text!r}: unit {unit!r} does not fit {metric}; allowed: {allowed}")
    return {"ms": 1.0, "s": 1000.0, "%": 0.01}[unit]


def pareto(y: FloatArray) -> list[int]:
    """The indices of the rows of y (n, m) that no other row dominates, in order; of equal rows all stay."""
    left = np.lexsort(y.T[::-1])  # a row is dominated only by rows before it
    kept: list[int] = []
    while len(left):
        first, rest = left[0], left[1:]
        kept.append(int(first))
        left = rest[np.any(y[rest] < y[first], axis=1) | np.all(y[rest] == y[first], axis=1)]
    return sorted(kept)


def hypervolume(y: FloatArray, reference: FloatArray) -> float:
    """The area that the costs y (n, 2) dominate up to the reference (2,): a sum of rectangles (paper, Figure 5)."""
    inside = y[np.all(y < reference, axis=1)]
    area, ceiling = 0.0, float(reference[1])
    for first, second in inside[np.lexsort((inside[:, 1], inside[:, 0]))]:
        if second < ceiling:
            area += (float(reference[0]) - first) * (ceiling - second)
            ceiling = second
    return float(area)


def gain(y: FloatArray, reference: FloatArray) -> float:
    """Equation 11: the hypervolume of the single costs y (m,), 0 where any of them is no better than the reference."""
    return float(np.prod(np.maximum(reference - y, 0.0)))
