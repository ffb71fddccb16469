"""How far a figure would move with other requests of the same kind: percentile bootstrap intervals. Pure.

Requests are drawn anew, with replacement, so many times; a figure's interval spans the middle of what it then is
(Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13). Requests of one load share its queues and are not
independent: between loads figures differ by more than this says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from scipy.special import betaincinv  # scipy.stats takes most of a second to import, in every worker

from scoot_ray.load.figures.metrics import PERCENTILES, Floats, itl_s, request_latencies_s, successes
from scoot_ray.load.trace import RequestRecord

Interval: TypeAlias = tuple[float, float]

CONFIDENCE = 0.95
RESAMPLES = 1000
FEWEST = 10
"""Fewer requests than this have no interval: their tail has not been seen."""

_PER_REQUEST = ("ttft", "tpot", "e2el")
_BLOCK = 2_000_000  # values drawn at a time: bounds the memory
_MOST_DRAWN = 20_000_000
_FEWEST_RESAMPLES = 200


def intervals_of(records: Sequence[RequestRecord], seed: int = 0) -> dict[str, Interval]:
    """95% intervals of the mean and the percentiles of TTFT, TPOT and E2EL, and of the mean ITL.

    By the metrics' names, in their units; a latency of fewer than FEWEST requests has none. Above 20,000 requests
    fewer than RESAMPLES samples are drawn, at least 200. Equal seeds give equal intervals.
    """
    done = successes(records)
    latencies = [request_latencies_s(record) for record in done]
    found: dict[str, Interval] = {}
    for name in _PER_REQUEST:
        values_ms = np.array([one[name] for one in latencies if name in one]) * 1e3
        found |= _of_latency(name, values_ms, seed)
    return found | _of_itl(done, seed)


def share_interval(hits: int, count: int) -> Interval | None:
    """The exact 95% interval of a share such as ``error_rate`` (Clopper and Pearson, 1934); None of nothing."""
    if not count:
        return None
    tail = (1.0 - CONFIDENCE) / 2
    low = betaincinv(hits, count - hits + 1, tail) if hits else 0.0
    high = betaincinv(hits + 1, count - hits, 1.0 - tail) if hits < count else 1.0
    return float(low), float(high)


def _of_latency(name: str, values_ms: Floats, seed: int) -> dict[str, Interval]:
    if len(values_ms) < FEWEST:
        return {}
    means, percentiles = [], []
    for rows in _resampled(len(values_ms), seed):
        drawn = values_ms[rows]
        means.append(drawn.mean(axis=1))
        percentiles.append(np.percentile(drawn, PERCENTILES, axis=1))
    by_rank = np.concatenate(percentiles, axis=1)
    found = {f"mean_{name}_ms": _middle(np.concatenate(means))}
    found |= {f"p{rank}_{name}_ms": _middle(values) for rank, values in zip(PERCENTILES, by_rank, strict=True)}
    return found | {f"median_{name}_ms": found[f"p50_{name}_ms"]}


def _of_itl(done: Sequence[RequestRecord], seed: int) -> dict[str, Interval]:
    """The mean alone: a request's gaps are drawn together, as the ratio of their sum to their number."""
    gaps = [gaps_s for gaps_s in (itl_s(record) for record in done) if len(gaps_s)]
    if len(gaps) < FEWEST:
        return {}
    sums_ms = np.array([gaps_s.sum() * 1e3 for gaps_s in gaps])
    counts = np.array([len(gaps_s) for gaps_s in gaps])
    means = [sums_ms[rows].sum(axis=1) / counts[rows].sum(axis=1) for rows in _resampled(len(gaps), seed)]
    return {"mean_itl_ms": _middle(np.concatenate(means))}


def _resampled(count: int, seed: int) -> Iterator[np.ndarray[tuple[int, int], np.dtype[np.int64]]]:
    """Blocks of rows drawn with replacement, shape (resamples, count) altogether."""
    rng = np.random.default_rng(seed)
    left = max(_FEWEST_RESAMPLES, min(RESAMPLES, _MOST_DRAWN // count))
    while left:
        size = min(left, max(1, _BLOCK // count))
        yield rng.integers(0, count, (size, count))
        left -= size


def _middle(values: Floats) -> Interval:
    outside = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, (outside, 1 - outside))
    return float(low), float(high)
