"""Checks of single values of a row. Each raises TraceError with the value's place, and never quotes text."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from scoot_ray.load.formats.source import Place
from scoot_ray.load.trace import Message

LARGEST_COUNT = 10_000_000
_HARMLESS = re.compile(r"[\d\s:.+TZ-]{1,40}")


def count(value: object, field: str, place: Place) -> int:
    """A number of tokens."""
    allowed = f"an integer from 1 to {LARGEST_COUNT}"
    if value is None:
        raise place.error(field, "is missing", allowed)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_COUNT:
        raise place.error(field, shown(value), allowed)
    return value


def number(value: object, field: str, place: Place, allowed: str) -> float:
    """A finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
        raise place.error(field, shown(value), allowed)
    return float(value)


def hash_ids(value: object, place: Place) -> tuple[int, ...]:
    """Names of blocks; none where the row has none."""
    if value is None:
        return ()
    if not isinstance(value, list) or any(isinstance(i, bool) or not isinstance(i, int) for i in value):
        raise place.error("hash_ids", shown(value), "a list of integers")
    return tuple(value)


def label(value: object, field: str, place: Place) -> str | None:
    """A name; an integer is one, too."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise place.error(field, shown(value), "text or an integer")
    return str(value)


def prompt(value: object, place: Place) -> str:
    """A text to complete."""
    if not (isinstance(value, str) and value):
        raise place.error("prompt", "is empty or no text", "text")
    return value


def messages(value: object, place: Place) -> tuple[Message, ...]:
    """A conversation so far."""
    if not isinstance(value, list) or not value or not all(isinstance(m, dict) and "role" in m for m in value):
        raise place.error("messages", "is no conversation", "a list of objects with a role")
    return tuple(value)


def shown(value: Any) -> str:
    """The value as the user wrote it where it is a number or a time; otherwise its kind alone."""
    if isinstance(value, str):
        return json.dumps(value) if _HARMLESS.fullmatch(value) else f"is text of {len(value)} characters"
    if isinstance(value, list | dict):
        return f"is a JSON {type(value).__name__} of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond every float
        return False
