"""Lines for what keeps a run waiting, beside whatever else shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from rich.console import Console
from rich.text import Text

from scoot_ray.log import Log


class Watcher(Protocol):
    """Shows what goes on."""

    def update(self, log: Log) -> None:
        """Called about once a second."""


class Notices:
    """A Watcher that writes each notice when it first holds and again when it holds no more, and asks ``inner``."""

    def __init__(self, inner: Watcher, console: Console, notices: Callable[[], Sequence[str]]) -> None:
        self._inner, self._console, self._notices = inner, console, notices
        self._said: tuple[str, ...] = ()

    def update(self, log: Log) -> None:
        """Write what has changed."""
        now = tuple(self._notices())
        for notice in self._said:
            if notice not in now:
                self._console.print(Text(f"no longer: {notice}", style="dim"))
        for notice in now:
            if notice not in self._said:
                self._console.print(Text(notice, style="yellow"))
        self._said = now
        self._inner.update(log)
