"""The highest rate at which a service holds its SLOs: which rate to try next, and when the answer stands. Pure.

The rate doubles while the SLOs hold (or halves until they do), then the bracket between the highest rate held and the
lowest one broken is bisected, on a log scale, to the precision asked. A probe whose figures leave it open on which side
of an SLO the service is, is repeated, and the majority decides. A probe that the client could not send in time says
nothing about the server: after two of them the rate is the client's limit, never the server's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scoot_ray.load.errors import LoadError
from scoot_ray.load.intervals import Interval
from scoot_ray.search.objectives import SLO
from scoot_ray.search.trial import Metrics

Verdict: TypeAlias = Literal["held", "broken", "invalid"]
Standing: TypeAlias = Literal["held", "broken", "client"]
LimitedBy: TypeAlias = Literal["server", "client", "max_rate", "probes"]

MAX_ERROR_RATE = 0.01
"""What a service may drop and still hold its SLOs, unless one of them is about the error rate itself."""

CLEAR = 0.05
"""A figure without an interval must be this far from its limit, relative to it, for one probe to decide."""

INVALID_PROBES = 2
_LOWEST = 1 / 64  # of the first rate: below it the search gives up
_FEWEST_REQUESTS = 10  # of one load: fewer say nothing


@dataclass(frozen=True, slots=True)
class RateSearch:
    """What is searched. Raises LoadError for what cannot be.

    Rates are in requests per second, each load lasts ``duration_s``. ``precision`` is how far apart, relatively, the
    highest rate held and the lowest broken may be in the end; ``votes`` the most probes of one rate; ``max_probes``
    bounds them all.
    """

    start_rate: float
    max_rate: float
    duration_s: float
    precision: float = 0.05
    votes: int = 3
    max_probes: int = 24

    def __post_init__(self) -> None:
        if not (math.isfinite(self.max_rate) and 0 < self.start_rate <= self.max_rate):
            raise LoadError(
                f"rate: from {self.start_rate:g} to {self.max_rate:g}; allowed a positive start rate and none below it"
            )
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise LoadError(f"duration_s: {self.duration_s:g}; allowed a positive number of seconds")
        if not 0 < self.precision < 1:
            raise LoadError(f"precision: {self.precision:g}; allowed between 0 and 1, such as 5%")
        if self.max_probes < 1 or self.votes < 1:
            raise LoadError(f"max_probes: {self.max_probes}; allowed 1 or more")

    @property
    def min_rate(self) -> float:
        """The lowest rate that is tried: a load at it still has some requests."""
        return min(self.start_rate, max(self.start_rate * _LOWEST, _FEWEST_REQUESTS / self.duration_s))


@dataclass(frozen=True, slots=True)
class Probe:
    """One load at one rate. ``sure`` is True where it decides alone; ``why`` gives the reasons of a verdict not held.

    An invalid probe was not sent as intended: its metrics are the client's.
    """

    rate: float
    verdict: Verdict
    sure: bool = True
    metrics: Metrics | None = None
    why: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Try:
    """Load the service at this rate next; ``repeat`` counts the probes of it so far."""

    rate: float
    repeat: int


@dataclass(frozen=True, slots=True)
class Capacity:
    """The answer: ``rate`` is the highest held (None: none was), ``above`` the lowest not held (None: none was met).

    ``limited_by`` says what kept the rate from being higher: the server's SLOs; the client, which could send no more;
    ``max_rate``, which held; or the number of probes, with the bracket still wider than asked.
    """

    rate: float | None
    above: float | None
    limited_by: LimitedBy
    probes: tuple[Probe, ...]

    @property
    def sentence(self) -> str:
        """The answer in words."""
        if self.rate is None:
            return _nothing_held(self)
        held = f"The SLOs hold up to {self.rate:.4g} requests/s"
        above = "" if self.above is None else f"{self.above:.4g}"
        return {
            "server": f"{held}; at {above} they do not.",
            "client": f"{held} at least: this client cannot send {above} in time, so the server's limit is not known.",
            "max_rate": f"{held}, the highest rate allowed; the service may hold more.",
            "probes": f"{held} at least; the number of probes ran out"
            + (f" with {above} not held." if above else " before any rate was too high."),
        }[self.limited_by]


def _nothing_held(capacity: Capacity) -> str:
    if capacity.limited_by == "client":
        return "This client could not send even the lowest rate in time, so nothing is known about the server."
    if capacity.above is None:
        return "No rate was decided before the number of probes ran out."
    return f"The SLOs do not hold at any rate tried, down to {capacity.above:.4g} requests/s."


def find(settings: RateSearch, probe: Callable[[Try], Probe], known: Sequence[Probe] = ()) -> Capacity:
    """Probe until the answer stands. ``known`` are probes made already; they count."""
    probes = tuple(known)
    while isinstance(step := next_step(settings, probes), Try):
        probes = (*probes, probe(step))
    return step


def next_step(settings: RateSearch, probes: Sequence[Probe]) -> Try | Capacity:
    """What the probes so far ask for: a function of them alone."""
    standings = _standings(settings, probes)
    low = max((rate for rate, standing in standings.items() if standing == "held"), default=None)
    high = min((rate for rate, standing in standings.items() if standing in {"broken", "client"}), default=None)
    ceiling: LimitedBy = "client" if high is not None and standings[high] == "client" else "server"
    if _narrow(settings, low, high):
        return Capacity(low, high, ceiling, tuple(probes))
    if low is not None and low >= settings.max_rate:
        return Capacity(low, None, "max_rate", tuple(probes))
    if len(probes) >= settings.max_probes:
        return Capacity(low, high, "probes", tuple(probes))
    rate = next((rate for rate, standing in standings.items() if standing is None), _next_rate(settings, low, high))
    return Try(rate, sum(probe.rate == rate for probe in probes))


def _narrow(settings: RateSearch, low: float | None, high: float | None) -> bool:
    """Whether nothing is left to try between the rates held and those not."""
    if high is None:
        return False
    return high <= settings.min_rate if low is None else high <= low * (1 + settings.precision)


def _next_rate(settings: RateSearch, low: float | None, high: float | None) -> float:
    if low is None:
        return settings.start_rate if high is None else max(high / 2, settings.min_rate)
    return min(low * 2, settings.max_rate) if high is None else math.sqrt(low * high)


def _standings(settings: RateSearch, probes: Sequence[Probe]) -> dict[float, Standing | None]:
    """What has been decided of each rate, in the order in which they were first tried; None: not yet."""
    by_rate: dict[float, list[Probe]] = {}
    for probe in probes:
        by_rate.setdefault(probe.rate, []).append(probe)
    return {rate: _standing(settings, found) for rate, found in by_rate.items()}


def _standing(settings: RateSearch, found: Sequence[Probe]) -> Standing | None:
    valid = [probe for probe in found if probe.verdict != "invalid"]
    if len(found) - len(valid) >= INVALID_PROBES:
        return "client"
    sides: tuple[Standing, Standing] = ("held", "broken")
    for side in sides:
        votes = [probe for probe in valid if probe.verdict == side]
        if any(probe.sure for probe in votes) or len(votes) > settings.votes // 2:
            return side
    return None


def judge(
    rate: float,
    metrics: Metrics,
    intervals: Mapping[str, Interval],
    slos: Sequence[SLO],
    invalid: Sequence[str] = (),
) -> Probe:
    """What one load says of its rate. ``invalid`` are the client's reasons why it was not sent as intended.

    Raises:
        LoadError: an SLO on a metric that this load does not have, though requests succeeded.
    """
    if invalid:
        return Probe(rate, "invalid", metrics=metrics, why=tuple(invalid))
    if not metrics.get("completed"):
        return Probe(rate, "broken", metrics=metrics, why=("no request succeeded",))
    wanted = with_error_rate(slos)
    for slo in wanted:
        if slo.met(metrics) is None:
            raise LoadError(f"slo: {slo}: this load has no {slo.metric}; allowed are SLOs on what it measures")
    broken = [slo for slo in wanted if not slo.met(metrics)]
    sure = [slo for slo in wanted if _is_clear(slo, metrics[slo.metric], intervals.get(slo.metric))]
    decided = any(slo in sure for slo in broken) if broken else len(sure) == len(wanted)
    why = tuple(f"{slo}: {metrics[slo.metric]:.4g}" for slo in broken)
    return Probe(rate, "broken" if broken else "held", decided, metrics, why)


def with_error_rate(slos: Sequence[SLO]) -> tuple[SLO, ...]:
    """The SLOs, and a limit on failures where none of them is one: dropping requests looks fast."""
    if any(slo.metric == "error_rate" and slo.is_ceiling for slo in slos):
        return tuple(slos)
    return (*slos, SLO("error_rate", "<=", MAX_ERROR_RATE))


def _is_clear(slo: SLO, value: float, interval: Interval | None) -> bool:
    """Whether the figure is beyond doubt on its side of the limit."""
    if interval is not None:
        return not interval[0] <= slo.limit <= interval[1]
    return abs(value - slo.limit) > CLEAR * abs(slo.limit)
