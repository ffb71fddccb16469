"""Elements of HTML and SVG, escaped as they are made."""

from __future__ import annotations

from typing import TypeAlias

from markupsafe import Markup, escape

from scoot_ray.results.report.text import plain

Attribute: TypeAlias = str | float | None


def tag(name: str, *children: Markup | str, **attributes: Attribute) -> Markup:
    """One element; ``_`` in an attribute's name stands for ``-``, a last one is dropped, None leaves it out."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _value(value))
        for key, value in attributes.items()
        if value is not None
    )
    if not children:
        return Markup("<{}{}/>").format(name, written)
    return Markup("<{}{}>{}</{}>").format(name, written, Markup("").join(map(_child, children)), name)


def _value(value: str | float) -> str:
    return plain(value) if isinstance(value, str) else f"{value:.1f}".removesuffix(".0")


def _child(child: Markup | str) -> Markup:
    return child if isinstance(child, Markup) else escape(plain(child))
