"""The display in a terminal: the whole screen while the study runs, and a line per evaluation left behind."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.results.live.believed import Believed
from scoot_ray.results.live.frame import frame
from scoot_ray.results.live.lines import News
from scoot_ray.results.live.scene import Activity, scene_of

_KEPT = 200  # lines left behind
_PATIENCE_S = 30.0  # for the models that are being fitted at the end


class LiveDisplay:
    """A Watcher for people: refreshed by rich's own thread, so that it goes on while a suggestion is computed.

    It takes the alternate screen, which survives a change of size, and leaves the terminal as it was. ``running_s``
    tells for how long the run has gone on, ``note`` what else there is to say.
    """

    def __init__(
        self,
        console: Console,
        resolved: Resolved,
        activities: Callable[[], Sequence[Activity]],
        running_s: Callable[[], float] | None = None,
        note: Callable[[], str] = str,
    ) -> None:
        began_s = time.monotonic()
        self._console, self._resolved, self._activities, self._note = console, resolved, activities, note
        self._running_s = running_s or (lambda: time.monotonic() - began_s)
        self._log, self._believed, self._news = Log(), Believed(resolved.problem), News(resolved)
        self._lines: deque[Text] = deque(maxlen=_KEPT)
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=2, screen=True)

    def __enter__(self) -> LiveDisplay:
        """Start to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to draw, and print the lines of what ended meanwhile."""
        self._live.stop()
        self._believed.settle(_PATIENCE_S)
        for line in self._lines:
            self._console.print(line)

    def update(self, log: Log) -> None:
        """Take note of what has happened."""
        self._lines.extend(self._news.since_last(log))
        self._believed.ask(log)
        self._log = log

    def render(self) -> RenderableType:
        """The frame of this moment, for the terminal's present size."""
        width, height = self._console.size
        try:
            activities = tuple(self._activities())
            scene = scene_of(
                self._resolved, self._log, activities, self._believed.known, self._running_s(), self._note()
            )
            lines = frame(scene, width, height)
        except Exception as error:  # whatever it is, the run must not end by it, nor the display stand still
            return Text(f"this frame cannot be drawn: {type(error).__name__}", no_wrap=True)
        return Group(*lines)
