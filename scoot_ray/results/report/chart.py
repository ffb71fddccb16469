"""What a figure shows, apart from how it is drawn: ``svg`` and ``picture`` draw the same charts.

Values are in the axes' own units. Roles name what a mark stands for; ``palette`` gives them colours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scoot_ray.results.report.palette import Role
from scoot_ray.results.report.scales import Scale, scale_of
from scoot_ray.results.report.text import number

Size: TypeAlias = Literal["small", "medium", "large"]
Shape: TypeAlias = Literal["circle", "ring", "square", "triangle", "diamond", "cross"]


@dataclass(frozen=True, slots=True)
class Axis:
    """A labelled scale; ``marks`` are ticks with words of their own, from ``low`` up."""

    label: str
    scale: Scale
    marks: tuple[tuple[float, str], ...] = ()

    def ticks(self, most: int) -> tuple[tuple[float, str], ...]:
        """Values and what is written at them."""
        return self.marks or tuple((value, number(value)) for value in self.scale.ticks(most))


def categories(label: str, names: Sequence[str]) -> Axis:
    """An axis of names: the first at 0, at the top of an upright axis."""
    marks = tuple((-float(at), name) for at, name in enumerate(names))
    return Axis(label, Scale(0.5 - max(1, len(names)), 0.5), marks[::-1])


@dataclass(frozen=True, slots=True)
class Dot:
    """A point; ``trial`` links it to that trial, ``title`` says what it is."""

    x: float
    y: float
    title: str = ""
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class Dots:
    """Points of one kind. ``name`` is for the legend."""

    role: Role
    dots: tuple[Dot, ...]
    name: str = ""
    shape: Shape = "circle"
    radius: float = 3.5


@dataclass(frozen=True, slots=True)
class Line:
    """A line through points (x, y); ``step`` keeps each y until the next x."""

    role: Role
    points: tuple[tuple[float, float], ...]
    name: str = ""
    step: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """An area between (x, low, high)."""

    role: Role
    points: tuple[tuple[float, float, float], ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """From ``low`` to ``high`` on the x axis, around ``y``."""

    low: float
    high: float
    y: float
    title: str = ""


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars of one kind, ``thickness`` of the y axis' unit each."""

    role: Role
    bars: tuple[Bar, ...]
    name: str = ""
    thickness: float = 0.6


@dataclass(frozen=True, slots=True)
class Segments:
    """Straight strokes (x, y, x, y): intervals."""

    role: Role
    strokes: tuple[tuple[float, float, float, float], ...]
    name: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across the whole chart at a value: a limit, or what is compared with."""

    role: Role
    at: float
    name: str
    upright: bool = False


Mark: TypeAlias = Dots | Line | Band | Bars | Segments | Rule


@dataclass(frozen=True, slots=True)
class Chart:
    """Two axes and what is drawn between them, later over earlier.

    ``name`` tells it from the figure's other charts; ``summary`` says in words what it shows. ``rows`` is the number
    of rows of an upright axis of names, which sets the height.
    """

    name: str
    summary: str
    x: Axis
    y: Axis
    marks: tuple[Mark, ...]
    rows: int = 0

    def legend(self) -> tuple[Mark, ...]:
        """The marks that have a name, rules left out: they carry theirs."""
        return tuple(mark for mark in self.marks if mark.name and not isinstance(mark, Rule) and not _empty(mark))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a heading: the same as a figure, for those who cannot see it."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """Charts that belong together: one ``large`` to the page's width, two ``medium`` ones, or three ``small`` ones."""

    id: str
    title: str
    caption: str
    charts: tuple[Chart, ...]
    table: Table
    size: Size = "small"


def axis_of(label: str, values: Sequence[float], *, from_zero: bool = False) -> Axis:
    """An axis that holds all values; a logarithmic one says so."""
    scale = scale_of(values, from_zero=from_zero)
    return Axis(f"{label} (log)" if scale.logarithmic else label, scale)


def _empty(mark: Dots | Line | Band | Bars | Segments) -> bool:
    match mark:
        case Dots(dots=found):
            return not found
        case Bars(bars=found):
            return not found
        case Segments(strokes=found):
            return not found
        case _:
            return not mark.points
