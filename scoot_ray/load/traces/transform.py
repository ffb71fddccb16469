"""A trace made into another one, row by row: cut, sampled at random, brought to another rate."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from scoot_ray.load.errors import LoadError
from scoot_ray.load.trace import Request


@dataclass(frozen=True, slots=True)
class Slice:
    """Rows ``skip`` to ``skip`` + ``rows``, of those whose time lies in [``from_s``, ``until_s``) after the first."""

    skip: int = 0
    rows: int | None = None
    from_s: float = 0.0
    until_s: float = math.inf

    def __post_init__(self) -> None:
        if self.skip < 0 or (self.rows is not None and self.rows < 1) or not self.from_s < self.until_s:
            raise LoadError("slice: keeps nothing; allowed skip from 0, rows from 1, and from before until")


def rebased(requests: Iterable[Request]) -> Iterator[Request]:
    """Count times from the first row's; earlier rows that come later have times below 0."""
    start_s: float | None = None
    for request in requests:
        start_s = request.timestamp_s if start_s is None else start_s
        yield replace(request, timestamp_s=request.timestamp_s - start_s)


def sliced(requests: Iterable[Request], part: Slice) -> Iterator[Request]:
    """Keep a part; times stay as they are, from the trace's first row on. Ends as soon as the rows are found."""
    found = 0
    for request in rebased(requests):
        if not part.from_s <= request.timestamp_s < part.until_s:
            continue
        found += 1
        if found > part.skip:
            yield request
        if part.rows is not None and found == part.skip + part.rows:
            return


def thinned(requests: Iterable[Request], share: float, seed: int) -> Iterator[Request]:
    """Keep about ``share`` of the sessions, whole, and of the rows without one."""
    if not 0 < share <= 1:
        raise LoadError(f"fraction: {share}; allowed above 0, up to 1")
    rng = np.random.default_rng(seed)
    for request in requests:
        draw = rng.random() if request.session is None else _draw(request.session, seed)
        if draw < share:
            yield request


def chosen(requests: Iterable[Request], count: int, rows: int, seed: int) -> Iterator[Request]:
    """Keep ``count`` of exactly ``rows`` requests, each set of them equally likely, in their order (Knuth's S)."""
    if not 1 <= count <= rows:
        raise LoadError(f"random: {count} of {rows} rows; allowed 1 to {rows}")
    rng = np.random.default_rng(seed)
    left = rows
    for request in requests:
        if rng.random() * left < count:
            count -= 1
            yield request
        left -= 1


def faster(requests: Iterable[Request], factor: float) -> Iterator[Request]:
    """Bring the arrivals to ``factor`` times their rate. Raises LoadError for one that is not positive."""
    if not (math.isfinite(factor) and factor > 0):
        raise LoadError(f"factor: {factor}; allowed a positive number")
    for request in rebased(requests):
        yield replace(request, timestamp_s=request.timestamp_s / factor)


@dataclass(frozen=True, slots=True)
class Extent:
    """How many rows, and from when to when, in seconds."""

    rows: int
    first_s: float
    last_s: float

    @property
    def rate(self) -> float | None:
        """Requests per second; None where all rows have one time."""
        span_s = self.last_s - self.first_s
        return (self.rows - 1) / span_s if span_s > 0 else None


def extent(requests: Iterable[Request]) -> Extent:
    """Go over the requests once."""
    rows, first_s, last_s = 0, math.inf, -math.inf
    for request in requests:
        rows += 1
        first_s, last_s = min(first_s, request.timestamp_s), max(last_s, request.timestamp_s)
    return Extent(rows, first_s, last_s)


def _draw(session: str, seed: int) -> float:
    """A number in [0, 1) that is the session's own."""
    digest = hashlib.blake2b(f"{seed}/{session}".encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64
