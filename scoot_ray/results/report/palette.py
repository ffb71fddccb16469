"""Colours by role, on light and on dark ground: each at least 3:1 against it, text 4.5:1.

Colour never stands alone: shapes, dashes and words say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

Role: TypeAlias = Literal[
    "observed",
    "short",
    "front",
    "chosen",
    "default",
    "baseline",
    "failed",
    "limit",
    "start",
    "load",
    "stop",
    "faint",
    "interval",
]

ROLES: Mapping[Role, tuple[str, str]] = {
    "observed": ("#7a8691", "#8b97a3"),
    "short": ("#7a8691", "#8b97a3"),
    "front": ("#0f5fa6", "#6db3f2"),
    "chosen": ("#0b7a4b", "#4fc38a"),
    "default": ("#a8500a", "#f0a35e"),
    "baseline": ("#7a3fa0", "#c79be8"),
    "failed": ("#b3261e", "#f2867f"),
    "limit": ("#b3261e", "#f2867f"),
    "start": ("#b97a2b", "#d9a15c"),
    "load": ("#3a78b3", "#5a9bd8"),
    "stop": ("#7a8691", "#8b97a3"),
    "faint": ("#7a8691", "#8b97a3"),
    "interval": ("#1a2027", "#e8ecef"),
}

SURFACES: Mapping[str, tuple[str, str]] = {
    "ground": ("#ffffff", "#14181c"),
    "raised": ("#f5f7f8", "#1d2328"),
    "ink": ("#1a2027", "#e8ecef"),
    "soft": ("#55606a", "#a5b0ba"),
    "hair": ("#dde2e6", "#333c44"),
}


def variables(dark: bool) -> str:
    """CSS custom properties of all colours."""
    entries = [(name, pair[dark]) for group in (SURFACES, ROLES) for name, pair in group.items()]
    return "".join(f"--{name}:{colour};" for name, colour in entries)
