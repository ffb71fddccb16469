"""Shapes and paths of SVG, from places in pixels. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from scoot_ray.results.report.chart import Shape
from scoot_ray.results.report.markup import Attribute

Place: TypeAlias = Callable[[float, float], tuple[float, float]]


def shape(kind: Shape, x: float, y: float, r: float) -> tuple[str, dict[str, Attribute]]:
    """The element and its attributes: a shape of about equal weight whatever its kind."""
    match kind:
        case "circle":
            return "circle", {"cx": x, "cy": y, "r": r, "class_": "fill"}
        case "ring":
            return "circle", {"cx": x, "cy": y, "r": r, "class_": "hollow"}
        case "square":
            return "rect", {"x": x - r, "y": y - r, "width": 2 * r, "height": 2 * r, "class_": "fill"}
        case "diamond":
            far = 1.3 * r
            return "path", {"d": _closed((x, y - far), (x + far, y), (x, y + far), (x - far, y)), "class_": "fill"}
        case "triangle":
            corners = (x, y - 1.2 * r), (x + 1.1 * r, y + 0.8 * r), (x - 1.1 * r, y + 0.8 * r)
            return "path", {"d": _closed(*corners), "class_": "fill"}
        case "cross":
            d = f"M{x - r:.1f} {y - r:.1f}L{x + r:.1f} {y + r:.1f}M{x - r:.1f} {y + r:.1f}L{x + r:.1f} {y - r:.1f}"
            return "path", {"d": d, "class_": "stroke"}


def path_of(points: Sequence[tuple[float, float]], place: Place, *, step: bool = False) -> str:
    """A path through points; with ``step`` each y is kept until the next x."""
    words = []
    for at, (x, y) in enumerate(points):
        px, py = place(x, y)
        if step and at:
            words.append(f"H{px:.1f}V{py:.1f}")
        else:
            words.append(f"{'L' if at else 'M'}{px:.1f} {py:.1f}")
    return "".join(words)


def _closed(*corners: tuple[float, float]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "Z"
