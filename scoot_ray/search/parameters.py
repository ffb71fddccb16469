"""One parameter of a search space: its values, and where each lies on the axis from 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, isfinite, log, log2, log10
from typing import Literal, TypeAlias

from scoot_ray.search.constraints import Kind, kind_of
from scoot_ray.search.errors import SpaceError
from scoot_ray.search.trial import Value

Scale: TypeAlias = Literal["linear", "log", "powers_of_two"]

_DIGITS = 2  # of a continuous value, of its range: finer steps than measurements can tell apart, and readable


def canonical_name(name: str) -> str:
    """A parameter's name as the search writes it: ``-`` and ``_`` are the same in engines' options."""
    return name.replace("-", "_")


@dataclass(frozen=True, slots=True)
class Integer:
    """Integers from ``low`` to ``high``, searched on a grid.

    ``scale``: "linear", or "log" for equal steps in the logarithm (``log=True`` for short), both on every ``step``-th
    integer from ``low``; or "powers_of_two" as in the paper's Table I.

    Raises:
        SpaceError: an empty range, a step below 1, or a logarithmic scale from below 1.
    """

    name: str
    low: int
    high: int
    log: bool = False
    scale: Scale = "linear"
    step: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical_name(self.name))
        if self.log and self.scale == "linear":
            object.__setattr__(self, "scale", "log")
        if self.low > self.high or self.step < 1:
            raise SpaceError(f"{self.name}: integers need low <= high and step >= 1, not {self.allowed}")
        if self.scale != "linear" and self.low < 1:
            raise SpaceError(f"{self.name}: a {self.scale} scale starts at 1 or above, not at {self.low}")
        if self.size < 1:
            raise SpaceError(f"{self.name}: no power of two from {self.low} to {self.high}")

    @property
    def kind(self) -> Kind:
        """A number."""
        return "number"

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        return f"integers from {self.low} to {self.high}" + (f" by {self.step}" if self.step > 1 else "")

    @property
    def size(self) -> int:
        """How many values the grid has."""
        if self.scale == "powers_of_two":
            return floor(log2(self.high)) - ceil(log2(self.low)) + 1
        return (self.high - self.low) // self.step + 1

    def level(self, index: int) -> int:
        """The grid's value of an index from 0 to size - 1."""
        if self.scale == "powers_of_two":
            return int(2 ** (ceil(log2(self.low)) + index))
        return self.low + index * self.step

    def accepts(self, value: Value) -> bool:
        """Whether a value is an integer within the range."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high

    def encode(self, value: Value) -> float:
        """Where a value lies on the axis: in [0, 1]."""
        start, end = self._ends
        return _clipped((self._axis(float(value)) - start) / (end - start))

    def decode(self, u: float) -> int:
        """The grid's value nearest to a place on the axis."""
        start, end = self._ends
        place = start + _clipped(u) * (end - start)
        if self.scale == "powers_of_two":
            index = round(place) - ceil(log2(self.low))
        else:
            value = exp(place) if self.scale == "log" else place
            index = round((value - self.low) / self.step)
        return self.level(min(max(index, 0), self.size - 1))

    def _axis(self, value: float) -> float:
        if self.scale == "linear":
            return value
        return log(value) if self.scale == "log" else log2(value)

    @property
    def _ends(self) -> tuple[float, float]:
        """The axis runs from half a cell below the first value to half a cell above the last."""
        first, last = self.level(0), self.level(self.size - 1)
        if self.scale == "powers_of_two":
            return log2(first) - 0.5, log2(last) + 0.5
        half = self.step / 2
        # Half a cell below must stay positive on a logarithmic axis.
        start = first - half if self.scale == "linear" else max(first - half, first / 2)
        return self._axis(start), self._axis(last + half)


@dataclass(frozen=True, slots=True)
class Float:
    """Numbers from ``low`` to ``high`` on a linear or (``log=True``) logarithmic axis.

    Any number in the range is legal; searched are those of two digits of the range.

    Raises:
        SpaceError: an empty range, or a logarithmic axis from 0 or below.
    """

    name: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical_name(self.name))
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise SpaceError(f"{self.name}: needs finite low < high, not {self.allowed}")
        if self.log and self.low <= 0:
            raise SpaceError(f"{self.name}: a logarithmic axis starts above 0, not at {self.low}")

    @property
    def kind(self) -> Kind:
        """A number."""
        return "number"

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        return f"numbers from {self.low} to {self.high}"

    @property
    def size(self) -> None:
        """Continuous: has no size."""
        return

    def level(self, index: int) -> float:
        """Continuous: has no levels."""
        raise SpaceError(f"{self.name}: a continuous parameter has no level {index}")

    def accepts(self, value: Value) -> bool:
        """Whether a value is a number within the range."""
        return isinstance(value, int | float) and not isinstance(value, bool) and self.low <= value <= self.high

    def encode(self, value: Value) -> float:
        """Where a value lies on the axis: in [0, 1]."""
        number = float(value)
        if self.log:
            return _clipped(log(number / self.low) / log(self.high / self.low))
        return _clipped((number - self.low) / (self.high - self.low))

    def decode(self, u: float) -> float:
        """The value at a place on the axis, rounded to what is worth telling apart."""
        if self.log:
            value = float(f"{self.low * exp(_clipped(u) * log(self.high / self.low)):.{_DIGITS + 1}g}")
        else:
            span = self.high - self.low
            value = round(self.low + _clipped(u) * span, _DIGITS - floor(log10(span)))
        return min(max(value, self.low), self.high)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few values. Increasing numbers count as ordered; anything else is one-hot for the models.

    Raises:
        SpaceError: no values, or one given twice.
    """

    name: str
    values: Sequence[Value]

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical_name(self.name))
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values or len(set(self.values)) < len(self.values):
            raise SpaceError(f"{self.name}: a choice needs distinct values, not {list(self.values)}")

    @property
    def kind(self) -> Kind:
        """The kind of all values, or "mixed"."""
        kinds = {kind_of(value) for value in self.values}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        return "one of " + ", ".join(repr(value) for value in self.values)

    @property
    def size(self) -> int:
        """How many values there are."""
        return len(self.values)

    @property
    def ordered(self) -> bool:
        """Whether the values are numbers in increasing order."""
        return self.kind == "number" and list(self.values) == sorted(self.values, key=float)

    def level(self, index: int) -> Value:
        """The value of an index from 0 to size - 1."""
        return self.values[index]

    def accepts(self, value: Value) -> bool:
        """Whether a value is among those given (1 is not true)."""
        return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in self.values)

    def encode(self, value: Value) -> float:
        """The middle of the value's cell."""
        return (self.values.index(value) + 0.5) / self.size

    def decode(self, u: float) -> Value:
        """The value in whose cell a place lies."""
        return self.values[min(int(_clipped(u) * self.size), self.size - 1)]


@dataclass(frozen=True, slots=True)
class Boolean:
    """False or true."""

    name: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", canonical_name(self.name))

    @property
    def kind(self) -> Kind:
        """A boolean."""
        return "boolean"

    @property
    def allowed(self) -> str:
        """The values allowed, in words."""
        return "true or false"

    @property
    def size(self) -> int:
        """Two."""
        return 2

    def level(self, index: int) -> bool:
        """False, then true."""
        return bool(index)

    def accepts(self, value: Value) -> bool:
        """Whether a value is a boolean."""
        return isinstance(value, bool)

    def encode(self, value: Value) -> float:
        """The middle of the value's half."""
        return 0.75 if value else 0.25

    def decode(self, u: float) -> bool:
        """The value in whose half a place lies."""
        return u >= 0.5


Parameter: TypeAlias = Integer | Float | Choice | Boolean


def _clipped(u: float) -> float:
    return min(max(u, 0.0), 1.0)
