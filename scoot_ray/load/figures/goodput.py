"""Limits a request must meet to count in ``request_goodput``, as the user writes them: ``ttft:500ms``."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from scoot_ray.load.errors import LoadError

LIMITED = ("ttft", "tpot", "e2el")
_FORM = re.compile(r"(?P<latency>[a-z0-9]+):(?P<value>\d+(?:\.\d*)?|\.\d+)(?P<unit>ms|s)?")


@dataclass(frozen=True, slots=True)
class Limit:
    """A request's latency (one of LIMITED) may be at most this."""

    latency: str
    at_most_ms: float


def parse_goodput(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Read ``ttft:500ms``, ``e2el:10s`` or, in ms, ``tpot:50``; several to a text, by spaces or commas, are fine.

    Raises LoadError for anything else, and for a latency limited twice.
    """
    limits: dict[str, Limit] = {}
    for part in (part for text in texts for part in text.replace(",", " ").split()):
        found = _FORM.fullmatch(part)
        value_ms = float(found["value"]) * (1e3 if found["unit"] == "s" else 1.0) if found else 0.0
        if found is None or found["latency"] not in LIMITED or not 0 < value_ms < math.inf:
            raise LoadError(f"goodput: {part!r}; allowed one of {', '.join(LIMITED)} with a time, such as ttft:500ms")
        if found["latency"] in limits:
            raise LoadError(f"goodput: {found['latency']} is limited twice; allowed once")
        limits[found["latency"]] = Limit(found["latency"], value_ms)
    return tuple(limits.values())
