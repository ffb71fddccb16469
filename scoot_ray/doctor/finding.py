"""What a check of this machine has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line about one thing. A problem keeps studies from running; ``mend`` is the command that mends it.

    A note is worth knowing, and may come with a command, too.
    """

    about: str
    status: Status
    said: str
    mend: str | None = None


def fine(about: str, said: str) -> Finding:
    """Return a finding with nothing to do about."""
    return Finding(about, "ok", said)


def note(about: str, said: str, mend: str | None = None) -> Finding:
    """Return one that may matter."""
    return Finding(about, "note", said, mend)


def problem(about: str, said: str, mend: str) -> Finding:
    """Return one that must be mended."""
    return Finding(about, "problem", said, mend)
