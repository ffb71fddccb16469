"""A scatter plot in plain characters, on log axes: enough to see a front in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 56, 12


def scatter(
    points: Sequence[tuple[float, float, str]],
    x_label: str,
    y_label: str,
    *,
    width: int = WIDTH,
    height: int = HEIGHT,
    log_x: bool = True,
) -> str:
    """Plot positive, finite (x, y, mark) triples, later over earlier ones; empty where nothing can be drawn.

    ``width`` and ``height`` are the plot's own in characters, from 10 and 2 on; axes take 11 columns and 3 lines more,
    and a blank line above and below.
    """
    sound = [(x, y, mark) for x, y, mark in points if 0 < x < math.inf and 0 < y < math.inf]
    if not sound:
        return ""
    drawn = [(math.log(x) if log_x else x, math.log(y), mark) for x, y, mark in sound]
    left, right = _span([x for x, _, _ in drawn])
    bottom, top = _span([y for _, y, _ in drawn])
    grid = [[" "] * width for _ in range(height)]
    for x, y, mark in drawn:
        column = round((x - left) / (right - left) * (width - 1))
        row = round((top - y) / (top - bottom) * (height - 1))
        grid[row][column] = mark
    axis = [f"{_end(top):>9.4g} ┤", *[" " * 10 + "│"] * (height - 2), f"{_end(bottom):>9.4g} ┤"]
    lines = [label + "".join(row).rstrip() for label, row in zip(axis, grid, strict=True)]
    low, high = (_end(left), _end(right)) if log_x else (min(x for x, *_ in sound), max(x for x, *_ in sound))
    ends = _ends(f"{low:.4g}", x_label + (" (log)" if log_x else ""), f"{high:.4g}", width)
    return "\n".join(["", f"{y_label} (log)", *lines, " " * 10 + "└" + "─" * width, " " * 11 + ends, ""])


def _ends(low: str, label: str, high: str, width: int) -> str:
    """What stands under the axis: its ends, and between them what it shows."""
    return low + label.center(width - len(low) - len(high)) + high


def _end(value: float) -> float:
    """An axis's end in its own unit; what overflows is endless."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
