"""Tables as Markdown, and the figures in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table's lines."""
    return [_row(header), _row(["---"] * len(header)), *(_row(row) for row in rows), ""]


def mean(values: Sequence[float]) -> str:
    """The mean, or nothing of nothing."""
    return f"{np.mean(values):.3f}" if values else ""


def mean_and_count(values: Sequence[float]) -> str:
    """The mean, and of how many."""
    return f"{mean(values)} ({len(values)})" if values else ""


def ratio(one: float, other: float) -> str:
    """One as a multiple of the other; nothing where that is 0."""
    return f"{one / other:.2f}" if other > 0 else ""


def span(interval: tuple[float, float] | None) -> str:
    """An interval of differences; nothing where there is none."""
    return "" if interval is None else f"{interval[0]:+.3f} to {interval[1]:+.3f}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
