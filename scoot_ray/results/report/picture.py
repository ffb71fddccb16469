"""Charts as PNG, through matplotlib: an optional extra. The same charts that ``svg`` draws."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from scoot_ray.results.report.chart import Band, Bars, Chart, Dots, Line, Mark, Rule, Segments, Shape
from scoot_ray.results.report.palette import ROLES, SURFACES, Role

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DPI = 200
_MARKERS: Mapping[Shape, str] = {
    "circle": "o", "ring": "o", "square": "s", "triangle": "^", "diamond": "D", "cross": "x",
}  # fmt: skip


class NoPictures(Exception):  # noqa: N818 - says what is missing
    """matplotlib is not installed; the message says what installs it."""


def require_pictures() -> None:
    """Raises NoPictures where PNG cannot be drawn."""
    try:
        import matplotlib  # noqa: F401, PLC0415 - an optional extra
    except ImportError:
        raise NoPictures("PNG needs the extra: pip install 'scoot-ray[plots]'") from None


def save_png(chart: Chart, path: Path, width_in: float = 5.0, note: str = "") -> None:
    """Draw one chart, on white, for print; a ``note`` stands in its corner."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - an optional extra

    height_in = 0.3 * chart.rows + 0.9 if chart.rows else 0.68 * width_in
    figure = Figure(figsize=(width_in, height_in), layout="constrained", dpi=_DPI)
    axes = figure.subplots()
    for level, mark in enumerate(chart.marks, 2):
        _draw(axes, mark, level)
    _dress(axes, chart)
    if chart.legend():
        figure.legend(loc="outside upper left", fontsize=7, frameon=False, ncols=3)
    if note:
        figure.text(0.005, 0.005, _literal(note), fontsize=7, color=SURFACES["soft"][0])
    figure.savefig(path, format="png", metadata={"Software": "scoot-ray", "Title": chart.name})


def _dress(axes: Axes, chart: Chart) -> None:
    axes.set_xscale("log" if chart.x.scale.logarithmic else "linear")
    axes.set_yscale("log" if chart.y.scale.logarithmic else "linear")
    axes.set_xlim(chart.x.scale.low, chart.x.scale.high)
    axes.set_ylim(chart.y.scale.low, chart.y.scale.high)
    across, up = chart.x.ticks(6), chart.y.ticks(6)
    axes.set_xticks([at for at, _ in across], [_literal(text) for _, text in across], fontsize=7, minor=False)
    axes.set_yticks([at for at, _ in up], [_literal(text) for _, text in up], fontsize=7, minor=False)
    axes.minorticks_off()
    axes.set_xlabel(_literal(chart.x.label), fontsize=8)
    axes.set_ylabel(_literal(chart.y.label), fontsize=8)
    axes.grid(color=SURFACES["hair"][0], linewidth=0.6, axis="x" if chart.rows else "both")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw(axes: Axes, mark: Mark, level: int) -> None:
    colour, label = _colour(mark.role), _literal(mark.name) or None
    match mark:
        case Dots(dots=dots) if dots:
            hollow = mark.shape == "ring"
            axes.scatter(
                [dot.x for dot in dots], [dot.y for dot in dots], s=mark.radius**2 * 1.6, zorder=level, linewidths=1.0,
                marker=_MARKERS[mark.shape], label=label, color=colour, facecolors="none" if hollow else colour,
            )  # fmt: skip
        case Line(points=points) if points:
            axes.plot(
                *zip(*points, strict=True), color=colour, label=label, zorder=level, linewidth=1.4,
                drawstyle="steps-post" if mark.step else "default", linestyle="--" if mark.dashed else "-",
            )  # fmt: skip
        case Band(points=points) if points:
            xs, lows, highs = zip(*points, strict=True)
            axes.fill_between(xs, lows, highs, color=colour, alpha=0.16, linewidth=0, label=label, zorder=level)
        case Bars(bars=bars) if bars:
            axes.barh(
                [bar.y for bar in bars], [bar.high - bar.low for bar in bars], mark.thickness,
                [bar.low for bar in bars], color=colour, label=label, zorder=level,
            )  # fmt: skip
        case Segments(strokes=strokes):
            for at, (x, y, right, top) in enumerate(strokes):
                axes.plot([x, right], [y, top], color=colour, linewidth=1.2, label=None if at else label, zorder=level)
        case Rule():
            _rule(axes, mark, level)
        case _:
            return


def _rule(axes: Axes, mark: Rule, level: int) -> None:
    draw = axes.axvline if mark.upright else axes.axhline
    draw(mark.at, color=_colour(mark.role), linestyle=":", linewidth=1.0, zorder=level)
    place = (mark.at, 0.04) if mark.upright else (0.99, mark.at)
    transform = axes.get_xaxis_transform() if mark.upright else axes.get_yaxis_transform()
    axes.annotate(
        _literal(mark.name), place, xycoords=transform, fontsize=7, color=_colour(mark.role), ha="right", va="bottom"
    )


def _colour(role: Role) -> str:
    return ROLES[role][0]


def _literal(text: str) -> str:
    """Dollars would be read as mathematics."""
    return text.replace("$", r"\$")
