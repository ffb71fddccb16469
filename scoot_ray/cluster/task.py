"""What the evaluations of a study have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scoot_ray.hopeless import Rule
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.trace import Trace
from scoot_ray.search import SLO
from scoot_ray.study import Study


@dataclass(frozen=True, slots=True)
class Task:
    """What every evaluation of a study shares. ``env`` holds secrets: it is handed on in memory, never written.

    ``rate_slos``, where there are any, ask for the highest rate that holds them; ``rule``, where there is one, ends
    evaluations that have lost.
    """

    study: Study
    trace: Trace
    env: Mapping[str, str] = field(repr=False)
    switches: tuple[str, ...] = ()
    goodput: tuple[Limit, ...] = ()
    rate_slos: tuple[SLO, ...] = ()
    rule: Rule | None = None

    def masked(self, content: bytes) -> bytes:
        """The content without the value of any secret."""
        named = self.study.engine.env
        for name, value in self.env.items():
            if value and not isinstance(named.get(name), str):
                content = content.replace(value.encode(), b"***")
        return content
