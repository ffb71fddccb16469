"""What a load's metrics can still become: bounds that no continuation leaves. Pure.

In the best case a request that has not ended takes what it has taken so far, and one not yet sent takes no time at
all. Those that may still drop out of the statistics, because they fail or their user goes away, count as 0 ms, which
lies below any latency: adding it lowers the mean and every percentile more than leaving a request out can.

How many may fail is a premise: at most ``max_error_rate`` of all. With more the load is lost anyway, since errors make
any service look fast. Once more have failed than that, the bounds are of all continuations.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.metrics import Floats, statistics
from scoot_ray.load.figures.standing import PER_REQUEST, Standing

Bounds = dict[str, tuple[float, float]]

_GROWN = 8
"""Requests that must wait before a queue is said to grow."""
_SEEN_S = 10.0
_SEEN = 20
_PARTS = 8


def bounds_of(
    standing: Standing, max_error_rate: float, goodput: Sequence[Limit] = (), starts_per_s: float = math.inf
) -> Bounds:
    """The range (low, high) of every metric about which anything is known.

    Latencies have a lower bound (percentiles of ITL and standard deviations none), throughputs an upper one.
    ``starts_per_s`` adds a premise that no continuation has to keep: that first tokens come no faster than this.
    """
    absent = _may_drop_out(standing, max_error_rate)
    floors = _floors_ms(standing, starts_per_s)
    found: Bounds = {}
    for name in PER_REQUEST:
        values_ms = _best_case_ms(standing.settled_ms[name], floors[name], absent)
        for metric, low in statistics(name, values_ms).items():
            if low > 0 and not metric.startswith("std_"):
                found[metric] = (low, math.inf)
    if standing.itl_tokens:
        mean_itl_ms = standing.itl_s / (standing.itl_tokens + standing.tokens_left) * 1e3
        found["mean_itl_ms"] = (mean_itl_ms, math.inf)
    found |= _rates(standing, absent, floors, goodput, starts_per_s)
    return found | dict(_counts(standing))


def fastest_start_rate(standing: Standing) -> float | None:
    """First tokens per second of the fastest eighth of the load so far, where its queue grows; else None.

    A queue grows where more wait at the end than after three quarters, and more then than after half; a few more, or a
    load of a few seconds, are no sign.
    """
    span_s = standing.now_s - standing.first_sent_s
    if span_s < _SEEN_S or len(standing.first_s) < _SEEN:
        return None
    moments_s = standing.first_sent_s + span_s * np.array([0.5, 0.75, 1.0])
    waiting = np.searchsorted(standing.sent_s, moments_s, "right") - np.searchsorted(
        standing.first_s, moments_s, "right"
    )
    gone = standing.failed + standing.cancelled  # they may never have had a token
    if not (waiting[0] < waiting[1] < waiting[2] and waiting[2] - gone >= max(_GROWN, 1.25 * waiting[0])):
        return None
    edges_s = standing.first_sent_s + span_s * np.arange(_PARTS + 1) / _PARTS
    started = np.histogram(standing.first_s, edges_s)[0]
    return float(started.max() / (span_s / _PARTS))


def _may_drop_out(standing: Standing, max_error_rate: float) -> int:
    """How many of the requests that have not ended may be missing from the statistics."""
    counted = standing.planned - standing.cancelled
    remaining = counted - standing.completed - standing.failed
    allowed = int(max_error_rate * counted + 1e-9)
    if standing.failed > allowed:
        return remaining
    return min(remaining, allowed - standing.failed + standing.may_leave)


def _starts_s(standing: Standing, starts_per_s: float) -> tuple[Floats, Floats]:
    """When those that wait and those to be sent are due, and when each first token can come, both in order."""
    # What has yet to be sent is due now at the earliest: a session's turn counts from when it can be sent.
    due_s = np.concatenate([standing.waiting_due_s, np.maximum(standing.unsent_due_s, standing.now_s)])
    after_s = np.arange(1, len(due_s) + 1) / starts_per_s
    return due_s, np.maximum(standing.now_s + after_s, due_s)


def _floors_ms(standing: Standing, starts_per_s: float) -> dict[str, Floats]:
    """What each request that has not ended takes at least, if it succeeds."""
    due_s, starts_s = _starts_s(standing, starts_per_s)
    waits_ms = (starts_s - due_s) * 1e3
    return {
        "ttft": np.concatenate([standing.started_ttft_ms, waits_ms]),
        "e2el": np.concatenate([np.maximum(standing.now_s - standing.started_due_s, 0.0) * 1e3, waits_ms]),
        "tpot": np.concatenate([standing.started_tpot_ms, np.zeros(len(waits_ms))]),
    }


def _best_case_ms(settled_ms: Floats, floors_ms: Floats, absent: int) -> Floats:
    """The samples as they are in the best case."""
    floors_ms = np.sort(floors_ms)
    floors_ms[len(floors_ms) - absent :] = 0.0
    return np.concatenate([settled_ms, floors_ms])


def _rates(
    standing: Standing, absent: int, floors: dict[str, Floats], goodput: Sequence[Limit], starts_per_s: float
) -> Bounds:
    """Throughputs: everything that can succeed does, in the shortest time in which as many as must can."""
    shortest_s = _shortest_s(standing, absent, starts_per_s)
    if not len(standing.sent_s) or shortest_s <= 0:
        return {}
    left = standing.planned - standing.cancelled - standing.failed - standing.completed
    rates = {
        "request_throughput": float(standing.completed + left),
        "output_throughput": float(standing.output_tokens + standing.tokens_left),
    }
    if goodput:
        spoilt = max(int(np.sum(floors[one.latency] > one.at_most_ms)) for one in goodput)
        rates["request_goodput"] = float(standing.good + left - spoilt)
    return {name: (0.0, amount / shortest_s) for name, amount in rates.items()}


def _shortest_s(standing: Standing, absent: int, starts_per_s: float) -> float:
    """The least time from the first sending to the last completion."""
    required = standing.planned - standing.cancelled - standing.failed - absent
    end_s = standing.last_done_s
    if required > standing.completed:
        end_s = standing.now_s
        beyond = required - standing.completed - len(standing.started_due_s)
        if beyond > 0:
            end_s = float(_starts_s(standing, starts_per_s)[1][beyond - 1])
        end_s = max(end_s, standing.last_done_s)
    return end_s - standing.first_sent_s


def _counts(standing: Standing) -> Iterator[tuple[str, tuple[float, float]]]:
    counted = standing.planned - standing.cancelled
    yield "completed", (standing.completed, counted - standing.failed)
    yield "failed", (standing.failed, counted - standing.completed)
    if standing.failed:
        yield "error_rate", (standing.failed / counted, 1.0)
