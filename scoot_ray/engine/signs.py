"""What a starting engine shows of itself: that it is getting on, or that it has died although its process hangs."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from scoot_ray.engine.caches import entries
from scoot_ray.engine.diagnose.rules import DEATHS

LAST_WORDS_S = 10.0
"""What an engine that has said that it is dead gets to end by itself: its exit code and last lines say more."""

_LOOK_AT_CACHE_S = 5.0
_LONGEST_LINE = 4096

_DEAD = re.compile("|".join(DEATHS).encode(), re.IGNORECASE)
_STILL_WAITING = re.compile(
    rb"Waiting for \d+ (?:local|remote)|No available shared memory broadcast block|[Rr]etrying in|Still waiting"
)
"""Lines that come again and again while nothing happens."""


@dataclass(slots=True)
class Signs:
    """Follows the log of one start, and its cache where it has one. ``look`` costs little: call it often.

    ``died_s`` is when the engine said that it is dead, by the monotonic clock; None while it has not.
    """

    log: Path
    cache: Path | None = None
    died_s: float | None = None
    _read: int = 0
    _rest: bytes = b""
    _entries: int = -1
    _looked_s: float = 0.0
    _progress_s: float = field(default_factory=time.monotonic)

    def look(self) -> None:
        """Take in what is new."""
        now_s = time.monotonic()
        lines = self._new_lines()
        if any(line.strip() and not _STILL_WAITING.search(line) for line in lines) or self._cache_grew(now_s):
            self._progress_s = now_s
        if self.died_s is None and any(_DEAD.search(line) for line in lines):
            self.died_s = now_s

    @property
    def silent_s(self) -> float:
        """Seconds since the last sign of progress."""
        return time.monotonic() - self._progress_s

    @property
    def is_dead(self) -> bool:
        """Whether it has said so, and had its time to end by itself."""
        return self.died_s is not None and time.monotonic() - self.died_s > LAST_WORDS_S

    def _new_lines(self) -> list[bytes]:
        """What was written since: whole lines, progress bars' steps too."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except OSError:
            return []
        self._read += len(new)
        *lines, self._rest = re.split(rb"[\r\n]", self._rest + new)
        self._rest = self._rest[-_LONGEST_LINE:]
        return lines

    def _cache_grew(self, now_s: float) -> bool:
        """A compiler is silent for long, but leaves its results there one by one."""
        if self.cache is None or now_s < self._looked_s + _LOOK_AT_CACHE_S:
            return False
        before, self._entries, self._looked_s = self._entries, entries(self.cache), now_s
        return before >= 0 and self._entries > before
