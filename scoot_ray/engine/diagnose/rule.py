"""A row of the table of rules."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scoot_ray.search.trial import FailureKind


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: lines that match one of ``patterns`` prove ``kind``.

    ``parameters`` may be involved without being named in the line. A ``weak`` rule counts only where no other applies,
    since what it sees is often the consequence of something else. ``dead``: an engine that writes such a line has
    ended, though its process may hang.
    """

    name: str
    kind: FailureKind
    patterns: tuple[str, ...]
    advice: str
    parameters: tuple[str, ...] = ()
    ambiguous: bool = False
    weak: bool = False
    dead: bool = False
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the patterns; upper and lower case are the same."""
        object.__setattr__(self, "_compiled", re.compile("|".join(self.patterns), re.IGNORECASE))

    def matches(self, text: str) -> bool:
        """Whether a line shows this."""
        return self._compiled.search(text) is not None
