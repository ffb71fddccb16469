"""Seeded noise: an engine is a little faster or slower from start to start, and from step to step."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_BLOCK = 4096


class Noise:
    """Factors on the time of steps. ``level`` is their relative spread; 0 turns all noise off.

    Half of it stays for the life of an engine, as temperature and placement do; the rest is drawn for every step.
    ``fragmentation`` is how much of the memory that it may waste the allocator does waste, from 0 to 1.
    """

    def __init__(self, level: float, seed: tuple[int, ...]) -> None:
        self._rng = np.random.default_rng(seed)
        self._level = level
        self._start = float(np.exp(self._rng.normal(0.0, level / 2))) if level else 1.0
        self.fragmentation = float(self._rng.beta(2.0, 2.0)) if level else 0.5
        self._factors = self._drawn()

    def factor(self) -> float:
        """For the next step."""
        return next(self._factors) if self._level else 1.0

    def _drawn(self) -> Iterator[float]:
        while True:
            yield from (self._start * np.exp(self._rng.normal(0.0, self._level, _BLOCK))).tolist()
