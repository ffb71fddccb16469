"""Statistics of a stream in bounded memory: distributions, reuse of names, counts over time."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

_LARGEST_HASH = 1 << 64
_GOLDEN = 0x9E3779B97F4A7C15  # multiplying by it spreads neighbouring integers over all of 64 bits


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram knows: moments exactly, quantiles to half a per cent."""

    count: int
    mean: float
    std: float
    min: int
    p50: int
    p90: int
    p99: int
    max: int


class Histogram:
    """Counts of integers from 0 on: exact below 1,000, beyond it by their first three digits."""

    __slots__ = ("_counts", "_largest", "_smallest", "_squares", "_sum", "count")

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count = self._sum = self._squares = self._largest = 0
        self._smallest: int | None = None

    def add(self, value: int) -> None:
        """Count one value."""
        self._counts[_coarse(value)] += 1
        self.count += 1
        self._sum += value
        self._squares += value * value
        self._largest = max(self._largest, value)
        self._smallest = value if self._smallest is None else min(self._smallest, value)

    def distribution(self) -> Distribution | None:
        """All of it in a few figures; None of nothing."""
        if not self.count or self._smallest is None:
            return None
        mean = self._sum / self.count
        return Distribution(
            count=self.count,
            mean=mean,
            std=math.sqrt(max(0.0, self._squares / self.count - mean * mean)),
            min=self._smallest,
            p50=self._quantile(0.5),
            p90=self._quantile(0.9),
            p99=self._quantile(0.99),
            max=self._largest,
        )

    def doublings(self) -> list[tuple[int, int]]:
        """Counts of the values from 0 or 1 on, from 2, from 4, …, as (lowest value, count), without empty ends."""
        bins: Counter[int] = Counter()
        for value, times in self._counts.items():
            bins[max(0, value.bit_length() - 1)] += times
        return [(1 << power, bins[power]) for power in range(min(bins), max(bins) + 1)] if bins else []

    def _quantile(self, share: float) -> int:
        left = share * self.count
        for value in sorted(self._counts):
            left -= self._counts[value]
            if left <= 0:
                return min(value, self._largest)
        return self._largest


class Reuse:
    """How often names come again, over a sample of names: those whose hash is below a bound that sinks as they grow.

    Every name has the same chance, and one that is in it has all its uses counted (SHARDS, Waldspurger et al., FAST
    2015), so that shares are unbiased at any length of the stream.
    """

    __slots__ = ("_below", "_most", "_uses")

    def __init__(self, most: int = 1 << 18) -> None:
        self._uses: dict[int, int] = {}
        self._below = _LARGEST_HASH
        self._most = most

    def add(self, name: int | str) -> None:
        """Count one use."""
        spread = _spread(name)
        if spread >= self._below:
            return
        self._uses[spread] = self._uses.get(spread, 0) + 1
        while len(self._uses) > self._most:
            self._below //= 2
            self._uses = {name: uses for name, uses in self._uses.items() if name < self._below}

    @property
    def names(self) -> int:
        """How many different names there are; an estimate where they are more than are kept."""
        return round(len(self._uses) * _LARGEST_HASH / self._below)

    @property
    def repeated(self) -> float | None:
        """The share of uses that were not a name's first; None without uses."""
        uses = sum(self._uses.values())
        return 1 - len(self._uses) / uses if uses else None

    def uses(self) -> Iterator[int]:
        """How often each sampled name is used."""
        return iter(self._uses.values())


class Timeline:
    """Counts over time in at most ``most`` bins, whose width (s) doubles as the time grows. Times begin near 0 s."""

    __slots__ = ("_most", "counts", "width_s")

    def __init__(self, most: int = 120) -> None:
        self._most = most
        self.counts: list[int] = []
        self.width_s = 1.0

    def add(self, time_s: float) -> None:
        """Count one event; what lies before 0 s counts as at 0 s."""
        while time_s >= self._most * self.width_s:
            self.width_s *= 2
            pairs = range(0, len(self.counts), 2)
            self.counts = [sum(self.counts[at : at + 2]) for at in pairs]
        at = max(0, int(time_s / self.width_s))
        self.counts.extend([0] * (at + 1 - len(self.counts)))
        self.counts[at] += 1


def _coarse(value: int) -> int:
    if value < 1000:
        return value
    unit = int(10 ** (len(str(value)) - 3))
    return round(value / unit) * unit


def _spread(name: int | str) -> int:
    """A number of 64 bits, evenly spread."""
    if isinstance(name, int):
        return (name * _GOLDEN) % _LARGEST_HASH
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest())
