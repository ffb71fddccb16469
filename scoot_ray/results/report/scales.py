"""From values to places on an axis, and where its ticks stand. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

_WIDE = 20.0  # largest over smallest from which a linear axis would crush the small ones
_WIDEST = 1e30  # beyond, the small ones are as good as zero
_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from ``low`` to ``high`` (low < high; both positive where ``logarithmic``)."""

    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a value lies: 0 at ``low``, 1 at ``high``."""
        low, high, at = (self._scaled(one) for one in (self.low, self.high, value))
        return (at - low) / (high - low)

    def ticks(self, most: int = 6) -> tuple[float, ...]:
        """Round values within the axis, ascending, at most ``most`` (2 or more) of them."""
        if self.logarithmic and len(found := _log_ticks(self.low, self.high, most)) >= 2:
            return found
        return _linear_ticks(self.low, self.high, most)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.logarithmic else value


def scale_of(values: Iterable[float], *, from_zero: bool = False, margin: float = 0.06) -> Scale:
    """A scale that holds all values with some room; logarithmic where they are positive and far apart.

    ``from_zero`` starts it there, as bars must. No values at all give 0 to 1.
    """
    found = sorted(values)
    if not found:
        return Scale(0.0, 1.0)
    low, high = found[0], found[-1]
    if from_zero:
        return Scale(0.0, high * (1 + margin) if high > 0 else 1.0)
    if low > 0 and low * _WIDE <= high <= low * _WIDEST:
        room = (high / low) ** margin
        return Scale(low / room, high * room, logarithmic=True)
    room = (high - low) * margin or abs(high) * margin or 0.5
    return Scale(low - room, high + room)


def _linear_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    rough = (high - low) / most
    magnitude = 10.0 ** math.floor(math.log10(rough))
    for step in (factor * magnitude for factor in (*_STEPS, 20.0)):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < most:
            return tuple(round(at * step, 12) for at in range(first, last + 1))
    raise AssertionError("twenty times the magnitude of a share is wider than the share")


def _log_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,)):
        ticks = tuple(f * 10.0**d for d in decades for f in factors if low <= f * 10.0**d <= high)
        if len(ticks) <= most:
            return ticks
    every = -(-len(ticks) // most)
    return ticks[::every]
