"""How a replay is going, on stderr: a live line on a terminal, a plain one now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from scoot_ray.load.hooks import Progress

OnProgress: TypeAlias = Callable[[Progress], None]

PLAIN_EVERY_S = 10.0
_REDRAWS_PER_S = 2  # drawing takes the interpreter from the sender for about a millisecond


@contextmanager
def progress_on(console: Console, title: str) -> Iterator[OnProgress]:
    """Show progress on the console until the context ends."""
    if console.is_terminal:
        with live(console, title) as on_progress:
            yield on_progress
    else:
        yield plain(console, title)


@contextmanager
def live(console: Console, title: str) -> Iterator[OnProgress]:
    """One line that a thread of its own redraws: the hook only notes the figures."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(
        *columns, TextColumn("{task.fields[now]}"), console=console, refresh_per_second=_REDRAWS_PER_S, transient=True
    ) as bar:
        task = bar.add_task("warming up", total=None, now="")

        def note(progress: Progress) -> None:
            answered = progress.completed + progress.failed
            bar.update(task, description=title, total=progress.planned, completed=answered, now=state(progress))

        yield note


def plain(console: Console, title: str) -> OnProgress:
    """A line every PLAIN_EVERY_S."""
    due_s = PLAIN_EVERY_S

    def show(progress: Progress) -> None:
        nonlocal due_s
        if progress.elapsed_s >= due_s:
            due_s = progress.elapsed_s + PLAIN_EVERY_S
            sent = f"{title}, {progress.elapsed_s:.0f} s: sent {progress.sent} of {progress.planned}"
            console.print(f"{sent}, {state(progress)}", markup=False)

    return show


def state(progress: Progress) -> str:
    """What is under way, what failed, and the latencies of the last answers."""
    parts = [f"{progress.sent - progress.completed - progress.failed} under way"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    for name, value_ms in (("TTFT", progress.ttft_ms), ("TPOT", progress.tpot_ms)):
        if value_ms is not None:
            parts.append(f"{name} {value_ms:.0f} ms")
    return ", ".join(parts)
