"""Two traces side by side: are their lengths, their sharing of prefixes and their rate still alike? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from scoot_ray.inference import Floats
from scoot_ray.load.formats.blocks import chained_ids
from scoot_ray.load.formats.tokens import EstimatedTokens, input_length, text_of
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.census import take_census
from scoot_ray.rerun.changes import Change

APART = 0.1
"""The least Kolmogorov-Smirnov distance that counts: a tenth of the requests lie on another side of some length."""
ERROR = 0.01
"""And no accident. Requests of one conversation resemble each other, so that probabilities alone would say too much."""
FASTER = 1.1
"""The least factor between two rates that counts."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A trace, row by row (n,): tokens of prompt and output, and the share of the prompt that came before."""

    inputs: Floats
    outputs: Floats
    shared: Floats


def shape_of(requests: Iterable[Request]) -> Shape:
    """The shape of a trace in its order; texts are measured at four bytes to a token."""
    kept = list(requests)
    tokens = EstimatedTokens()
    inputs = np.array([input_length(request, tokens) for request in kept], dtype=float)
    outputs = np.array([request.output_tokens for request in kept], dtype=float)
    return Shape(inputs, outputs, np.array(list(_shared(kept, inputs.tolist(), tokens))))


def rate_of(requests: Sequence[Request]) -> float | None:
    """Requests per second as recorded; None where all came at once."""
    arrived = take_census(requests).arrivals
    return None if arrived is None else arrived.mean_rate


def traffic_changes(then: Shape, now: Shape) -> Iterator[Change]:
    """Where two traces differ in distribution: beyond chance (two-sample Kolmogorov-Smirnov), and by enough to matter.

    Prefixes are compared over equally many rows, since the longer a trace the more of it came before.
    """
    rows = min(len(then.inputs), len(now.inputs))
    compared = (
        ("prompt tokens", then.inputs, now.inputs),
        ("output tokens", then.outputs, now.outputs),
        ("share of the prompt seen before", then.shared[:rows], now.shared[:rows]),
    )
    for what, before, after in compared:
        found = stats.ks_2samp(before, after)
        if found.statistic >= APART and found.pvalue < ERROR / len(compared):
            yield Change(f"{what} (KS distance {found.statistic:.2f})", _words(before), _words(after))


def rate_changes(then: float | None, now: float | None) -> Iterator[Change]:
    """The rates, where both are known and one is a tenth above the other."""
    if then is not None and now is not None and not 1 / FASTER < now / then < FASTER:
        yield Change("requests per second", f"{then:.3g}", f"{now:.3g}")


def _shared(requests: Sequence[Request], inputs: Sequence[float], tokens: EstimatedTokens) -> Iterator[float]:
    """Of each prompt the share in leading blocks that an earlier one began with, as an endless cache would see it."""
    seen: set[int] = set()
    for request, length in zip(requests, inputs, strict=True):
        text = text_of(request)
        prefixes = _prefixes(request.hash_ids) if text is None else chained_ids(tokens.blocks(text))
        known = next((at for at, prefix in enumerate(prefixes) if prefix not in seen), len(prefixes))
        seen.update(prefixes)
        yield min(known * BLOCK_TOKENS / length, 1.0)


def _prefixes(hash_ids: Sequence[int]) -> tuple[int, ...]:
    return chained_ids(str(one).encode() for one in hash_ids)


def _words(values: Floats) -> str:
    median, tail = np.percentile(values, (50, 95))
    return f"median {_number(median)}, 95th percentile {_number(tail)}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"
