"""Whether a configuration measured again agrees with what it was measured as before. Pure.

Both measurements have the same trace, seed and arrival orders, so that they differ by what one engine start, and chance
within it, do to a figure. Two things are known of that:

- **From start to start**: the confirmation measured several configurations under the same arrival orders. What is left
  of its (log) figures once each configuration's and each order's own effect is taken away (the residuals of a two-way
  layout; Scheffé, The Analysis of Variance, 1959, chapter 4) is the spread of two runs under one order. It holds the
  interaction of configuration and order too, which errs to the wide side. Repeats of the trial add what they show.
- **Within a load**: the bootstrap interval over the trial's own requests. It tells of a configuration near its limits,
  whose tail is less certain than the finalists'; yet requests of one load share its queues and its start, so it is no
  substitute for the first.

The two are added as independent spreads, which counts the finalists' share of the second twice: a difference is only
held against a trial where both together cannot explain it. Of two runs' difference the variance is that of one times
1 + 1/K with K repeats. The interval covers all metrics together with 95% (Bonferroni), and is never narrower than 2%,
a difference that nobody would change a service for. It is taken on a log scale where all figures are positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scoot_ray.inference import CONFIDENCE, ByOrder, Floats, Interval, mean
from scoot_ray.search import Metrics
from scoot_ray.verdict import INDIFFERENT

_NORMAL = float(stats.norm.ppf(1 - (1 - CONFIDENCE) / 2))
_FARTHEST = math.log(1000)  # what may be a thousand times more says nothing


@dataclass(frozen=True, slots=True)
class Spread:
    """The standard deviation of runs under one arrival order, and the degrees of freedom it was estimated with."""

    sd: float
    freedom: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one metric's chance: over requests (a 95% interval around ``centre``) and over runs.

    ``runs`` has the confirmation's figures of each configuration by arrival order. Relative differences of ``least``
    mean nothing whatever else is known.
    """

    over_requests: Interval | None = None
    centre: float | None = None
    runs: tuple[ByOrder, ...] = ()
    least: float = INDIFFERENT


@dataclass(frozen=True, slots=True)
class Agreement:
    """One metric then and now; ``then`` is a range (low, high) whose ends are equal where it was measured.

    ``difference`` is relative to the nearest of ``then``, None where that is 0 and now is not. ``basis`` names what the
    interval was made of: confirmation, repeats, requests; empty: nothing was known, and 2% are allowed.
    """

    metric: str
    then: Interval
    now: float
    difference: float | None
    interval: Interval
    basis: tuple[str, ...]

    @property
    def within(self) -> bool:
        """Whether it is the same again."""
        return self.interval[0] <= self.now <= self.interval[1]


def agreements(
    metrics: Sequence[str], then: Mapping[str, Interval], now: Sequence[Metrics], known: Mapping[str, Known]
) -> tuple[Agreement, ...]:
    """Compare K = len(now) ≥ 1 repeats with what was measured, for those of ``metrics`` that both have."""
    shared = {one: [run[one] for run in now] for one in metrics if one in then and all(one in run for run in now)}
    error = (1 - CONFIDENCE) / max(1, len(shared))
    return tuple(_agreement(one, then[one], found, known.get(one, Known()), error) for one, found in shared.items())


def spread_of(runs: Sequence[ByOrder], repeats: Sequence[float] = (), *, logarithmic: bool = True) -> Spread | None:
    """The spread from run to run under one order: residuals of the additive layout, pooled with the repeats' own.

    None where there is no residual to judge by. Where one configuration alone was measured its spread over the orders
    is taken, which is more.
    """
    estimates = [*_layout(runs, logarithmic)]
    if len(repeats) > 1:
        estimates.append(Spread(float(np.std(_scaled(repeats, logarithmic), ddof=1)), len(repeats) - 1))
    freedom = sum(one.freedom for one in estimates)
    if not freedom:
        return None
    return Spread(math.sqrt(sum(one.freedom * one.sd**2 for one in estimates) / freedom), freedom)


def _layout(runs: Sequence[ByOrder], logarithmic: bool) -> Iterator[Spread]:
    """At most one estimate: with the orders' effects taken out, or else with them in."""
    cells = [(who, order) for who, by_order in enumerate(runs) for order in sorted(by_order)]
    if not cells:
        return
    values = _scaled([runs[who][order] for who, order in cells], logarithmic)
    orders = sorted({order for _, order in cells})
    configurations = np.array([[who == one for one in range(len(runs))] for who, _ in cells], dtype=float)
    by_order = np.array([[order == one for one in orders] for _, order in cells], dtype=float)
    for design in (np.hstack([configurations, by_order]), configurations):
        effects, _, rank, _ = np.linalg.lstsq(design, values)
        freedom = len(cells) - int(rank)
        if freedom:
            left = values - design @ effects
            yield Spread(math.sqrt(float(left @ left) / freedom), freedom)
            return


def _agreement(metric: str, then: Interval, now: Sequence[float], known: Known, error: float) -> Agreement:
    given = [*(end for end in then if math.isfinite(end)), *now, *(v for one in known.runs for v in one.values())]
    logarithmic = all(value > 0 for value in given)
    spread = spread_of(known.runs, now, logarithmic=logarithmic)
    run = 0.0 if spread is None else spread.sd * float(stats.t.ppf(1 - error / 2, spread.freedom))
    below, above = _over_requests(known, error, logarithmic)
    wider = math.sqrt(1 + 1 / len(now))
    reaches = (math.hypot(run, below) * wider, math.hypot(run, above) * wider)
    middle = now[0] if len(now) == 1 else mean(now) if logarithmic else float(np.mean(now))
    return Agreement(
        metric,
        then,
        middle,
        _difference(then, middle),
        (
            _moved(then[0], -1, reaches[0], known.least, logarithmic),
            _moved(then[1], 1, reaches[1], known.least, logarithmic),
        ),
        tuple(_basis(known, now, logarithmic)),
    )


def _over_requests(known: Known, error: float, logarithmic: bool) -> tuple[float, float]:
    """How far the bootstrap's interval reaches to either side, at this error instead of its own 5%."""
    if known.over_requests is None or known.centre is None:
        return 0.0, 0.0
    low, high = known.over_requests
    if logarithmic and min(low, known.centre) <= 0:
        return 0.0, 0.0
    low, centre, high = _scaled([low, known.centre, high], logarithmic)
    factor = float(stats.norm.ppf(1 - error / 2)) / _NORMAL
    return max(0.0, centre - low) * factor, max(0.0, high - centre) * factor


def _moved(end: float, sign: int, reach: float, least: float, logarithmic: bool) -> float:
    """One end of the interval, moved outwards by what chance can do, at least by ``least``."""
    if not math.isfinite(end):
        return end
    if logarithmic:
        return end * math.exp(sign * max(min(reach, _FARTHEST), math.log1p(least)))
    return end + sign * max(reach, least * abs(end))


def _difference(then: Interval, now: float) -> float | None:
    nearest = min(max(now, then[0]), then[1])
    if now == nearest:
        return 0.0
    return (now - nearest) / nearest if nearest else None


def _basis(known: Known, now: Sequence[float], logarithmic: bool) -> Iterator[str]:
    if spread_of(known.runs, logarithmic=logarithmic) is not None:
        yield "confirmation"
    if len(now) > 1:
        yield "repeats"
    if known.over_requests is not None:
        yield "requests"


def _scaled(values: Sequence[float], logarithmic: bool) -> Floats:
    given = np.array(values, dtype=float)
    return np.log(given) if logarithmic else given
