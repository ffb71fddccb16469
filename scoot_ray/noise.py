"""Run-to-run noise: how far a further run may be from those seen. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Noise:
    """Run-to-run noise of one metric, pooled over all configurations confirmed.

    On a log scale where every value is positive: noise of latencies and throughputs is proportional. Pooling gives
    the few runs per configuration enough degrees of freedom to say anything.
    """

    deviation: float
    freedom: int
    logarithmic: bool

    @classmethod
    def of(cls, groups: Iterable[Sequence[float]]) -> Noise:
        """Estimate from one group of values per configuration."""
        filled = [group for group in groups if group]
        logarithmic = all(value > 0 for group in filled for value in group)
        scaled = [[math.log(value) if logarithmic else value for value in group] for group in filled]
        freedom = sum(len(group) - 1 for group in scaled)
        squares = sum((value - sum(group) / len(group)) ** 2 for group in scaled for value in group)
        return cls(math.sqrt(squares / freedom) if freedom else 0.0, freedom, logarithmic)

    def mean(self, values: Sequence[float]) -> float:
        """The mean on this scale, in the metric's own unit (geometric where the scale is logarithmic)."""
        return self._back(sum(map(self._scaled, values)) / len(values))

    def prediction_bound(self, values: Sequence[float], worse: int) -> float | None:
        """The value a further run stays within with 95% probability; ``worse`` is +1 where larger is worse."""
        if self.freedom == 0:
            return None
        quantile = float(stats.t.ppf(CONFIDENCE, self.freedom))
        reach = quantile * self.deviation * math.sqrt(1 + 1 / len(values))
        return self._back(self._scaled(self.mean(values)) + worse * reach)

    def relative_difference(
        self, values: Sequence[float], reference: Sequence[float], comparisons: int
    ) -> tuple[float, float] | None:
        """Confidence interval of mean ÷ reference mean - 1, Bonferroni for ``comparisons``; None without freedom."""
        if self.freedom == 0 or not values or not reference:
            return None
        quantile = float(stats.t.ppf(1 - (1 - CONFIDENCE) / 2 / comparisons, self.freedom))
        reach = quantile * self.deviation * math.sqrt(1 / len(values) + 1 / len(reference))
        base = self.mean(reference)
        middle = self._scaled(self.mean(values)) - self._scaled(base)
        if self.logarithmic:
            return math.expm1(middle - reach), math.expm1(middle + reach)
        unit = abs(base) or 1.0
        return (middle - reach) / unit, (middle + reach) / unit

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value

    def _back(self, value: float) -> float:
        return math.exp(value) if self.logarithmic else value
