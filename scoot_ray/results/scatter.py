"""A scatter plot in plain characters, on log axes: enough to see a front in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

WIDTH, HEIGHT = 56, 12


def scatter(points: Sequence[tuple[float, float, str]], x_label: str, y_label: str) -> str:
    """Plot positive (x, y, mark) triples, later over earlier ones; empty where nothing can be drawn."""
    drawn = [(math.log(x), math.log(y), mark) for x, y, mark in points if x > 0 and y > 0]
    if not drawn:
        return ""
    left, right = _span([x for x, _, _ in drawn])
    bottom, top = _span([y for _, y, _ in drawn])
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for x, y, mark in drawn:
        column = round((x - left) / (right - left) * (WIDTH - 1))
        row = round((top - y) / (top - bottom) * (HEIGHT - 1))
        grid[row][column] = mark
    axis = [f"{math.exp(top):>9.4g} ┤", *[" " * 10 + "│"] * (HEIGHT - 2), f"{math.exp(bottom):>9.4g} ┤"]
    lines = [label + "".join(row).rstrip() for label, row in zip(axis, grid, strict=True)]
    ends = f"{math.exp(left):.4g}".ljust(WIDTH - 8) + f"{math.exp(right):.4g}"
    floor = " " * 10 + "└" + "─" * WIDTH
    below = [floor, " " * 11 + ends, f"{x_label:>66} (log)", ""]
    return "\n".join(["", f"{y_label} (log)", *lines, *below])


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or 0.5
    return low - margin, high + margin
