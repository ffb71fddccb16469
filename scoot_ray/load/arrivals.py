"""When requests arrive and which one arrives then: pure, seeded schedules.

An arrival order is one draw of both. Every order, 0 included, draws its own times and its own shuffle of the trace, so
that the orders of a confirmation are draws from the same population as the search's; ``recorded`` alone keeps the
trace as it is in order 0. Turns of one session always keep their own order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from scoot_ray.load.errors import LoadError
from scoot_ray.load.trace import Request

Process: TypeAlias = Literal["poisson", "gamma", "constant", "recorded", "ramp"]
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]

MAX_ARRIVALS = 5_000_000
_BLOCK = 1024
_TIMES, _ROWS = 0, 1  # independent random streams of one arrival order


@dataclass(frozen=True, slots=True)
class Arrivals:
    """An arrival process. Raises LoadError for parameters that make none.

    ``rate`` is in requests per second. ``burstiness`` is the shape of gamma's gaps: 1 is Poisson, less is burstier.
    ``time_scale`` multiplies recorded times: 0.5 plays the trace twice as fast. A ramp is a Poisson process whose rate
    goes in a straight line from ``rate`` to ``end_rate`` over the duration.
    """

    process: Process = "poisson"
    rate: float | None = None
    burstiness: float = 1.0
    time_scale: float = 1.0
    end_rate: float | None = None

    def __post_init__(self) -> None:
        if self.process not in get_args(Process):
            raise LoadError(f"arrivals: process {self.process!r}; allowed {', '.join(get_args(Process))}")
        if self.process != "recorded" and self.rate is None:
            raise LoadError(f"arrivals: rate is missing; allowed requests per second for {self.process} arrivals")
        if self.process == "recorded" and self.rate is not None:
            raise LoadError(f"arrivals: rate {self.rate} with recorded arrivals; allowed time_scale instead")
        if (self.process == "ramp") != (self.end_rate is not None):
            raise LoadError(
                f"arrivals: end_rate {self.end_rate} with {self.process} arrivals; allowed with a ramp alone"
            )
        for name in ("rate", "end_rate", "burstiness", "time_scale"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise LoadError(f"arrivals: {name} {value}; allowed a positive number")


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """The n arrivals of one order: seconds from the start, the request each takes, and its pass over the trace.

    All arrays have shape (n,); ``offsets_s`` does not decrease.
    """

    offsets_s: Floats
    rows: Integers
    passes: Integers
    span_s: float
    """Seconds over which the load is offered: the asked duration, or the last arrival without one."""

    @property
    def reused(self) -> int:
        """Arrivals that take a request already taken, because the trace is shorter than the load."""
        return int(np.count_nonzero(self.passes))


def schedule(
    arrivals: Arrivals,
    requests: Sequence[Request],
    *,
    duration_s: float | None = None,
    count: int | None = None,
    seed: int = 0,
    order: int = 0,
) -> Schedule:
    """Draw one arrival order: all arrivals in [0, ``duration_s``), at most ``count`` of them.

    A trace with fewer requests than arrivals is passed over again, each pass shuffled anew; recorded arrivals end with
    the trace instead. Equal arguments give equal schedules. Raises LoadError where no request would be sent.
    """
    if not requests:
        raise LoadError("trace: has no requests; allowed one or more")
    if seed < 0 or order < 0:
        raise LoadError(f"seed {seed}, order {order}; allowed integers from 0 on")
    _check_size(arrivals, duration_s, count)
    most = MAX_ARRIVALS if count is None else count
    end_s = math.inf if duration_s is None else duration_s
    offsets_s = _offsets_s(arrivals, requests, end_s, most, np.random.default_rng((seed, order, _TIMES)))
    if not len(offsets_s):
        raise LoadError(f"duration_s: {duration_s} s bring no arrival with seed {seed}; allowed a longer time")
    keep_trace = arrivals.process == "recorded" and order == 0
    passes, rows = np.divmod(np.arange(len(offsets_s)), len(requests))
    if not keep_trace:
        rows = _shuffled(requests, len(offsets_s), np.random.default_rng((seed, order, _ROWS)))
    span_s = float(offsets_s[-1]) if duration_s is None else duration_s
    return Schedule(offsets_s, rows.astype(np.int64), passes.astype(np.int64), span_s)


def _check_size(arrivals: Arrivals, duration_s: float | None, count: int | None) -> None:
    if duration_s is not None and not (math.isfinite(duration_s) and duration_s > 0):
        raise LoadError(f"duration_s: {duration_s}; allowed a positive number of seconds")
    if count is not None and not 1 <= count <= MAX_ARRIVALS:
        raise LoadError(f"count: {count}; allowed 1 to {MAX_ARRIVALS}")
    if duration_s is None and count is None and arrivals.process != "recorded":
        raise LoadError(f"duration_s: is missing; allowed seconds, or a count, for {arrivals.process} arrivals")
    if duration_s is None and arrivals.process == "ramp":
        raise LoadError("duration_s: is missing; allowed the seconds over which the ramp goes")
    if duration_s is not None and duration_s * max(arrivals.rate or 0, arrivals.end_rate or 0) > MAX_ARRIVALS:
        raise LoadError(f"rate: {arrivals.rate} for {duration_s} s; allowed {MAX_ARRIVALS} arrivals altogether")


def _offsets_s(
    arrivals: Arrivals, requests: Sequence[Request], end_s: float, most: int, rng: np.random.Generator
) -> Floats:
    if arrivals.process == "recorded":
        times_s: Floats = np.array([request.timestamp_s for request in requests[:most]])
        offsets_s: Floats = (times_s - times_s[0]) * arrivals.time_scale
    elif arrivals.process == "constant":
        rate = arrivals.rate or 1.0
        offsets_s = np.arange(min(most, math.ceil(end_s * rate) if math.isfinite(end_s) else most)) / rate
    elif arrivals.process == "ramp":
        offsets_s = _ramp_s(arrivals.rate or 1.0, arrivals.end_rate or 1.0, end_s, most, rng)
    else:
        offsets_s = _drawn_s(_gaps_s(arrivals, rng), end_s, most)
    return offsets_s[offsets_s < end_s]


def _ramp_s(rate: float, end_rate: float, end_s: float, most: int, rng: np.random.Generator) -> Floats:
    """Bend a Poisson process of rate 1 in time: arrival k comes where rate·t + slope·t²/2 reaches its sum of gaps."""
    slope = (end_rate - rate) / end_s
    expected = Arrivals("poisson", rate=1.0)
    sums = _drawn_s(_gaps_s(expected, rng), (rate + end_rate) / 2 * end_s, most)
    sums = sums[sums < (rate + end_rate) / 2 * end_s]
    offsets_s: Floats = 2 * sums / (rate + np.sqrt(rate**2 + 2 * slope * sums))
    return offsets_s


def _drawn_s(gaps_s: Iterator[Floats], end_s: float, most: int) -> Floats:
    """Sum gaps, block by block, until ``most`` arrivals or the end: a longer time extends a shorter one."""
    blocks: list[Floats] = []
    now_s, drawn = 0.0, 0
    while now_s < end_s and drawn < most:
        block = now_s + np.cumsum(next(gaps_s))
        blocks.append(block)
        now_s, drawn = float(block[-1]), drawn + len(block)
    return np.concatenate(blocks)[:most]


def _gaps_s(arrivals: Arrivals, rng: np.random.Generator) -> Iterator[Floats]:
    """Yield blocks of seconds between arrivals, of mean 1/rate; burstiness as ``vllm bench serve`` means it."""
    shape = arrivals.burstiness if arrivals.process == "gamma" else 1.0
    scale_s = 1.0 / (shape * (arrivals.rate or 1.0))
    while True:
        yield rng.standard_gamma(shape, _BLOCK) * scale_s


def _shuffled(requests: Sequence[Request], count: int, rng: np.random.Generator) -> Integers:
    """Rows in a random order, pass after pass, shape (count,); a session's turns stay in theirs."""
    passes = -(-count // len(requests))
    rows = np.concatenate([_in_turn(requests, rng.permutation(len(requests))) for _ in range(passes)])
    return rows[:count]


def _in_turn(requests: Sequence[Request], order: Integers) -> Integers:
    """Give each session's places in ``order`` to its turns in the trace's order."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(order):
        session = requests[row].session
        if session is not None:
            places.setdefault(session, []).append(place)
    result = order.copy()
    for taken in places.values():
        result[taken] = np.sort(order[taken])
    return result
