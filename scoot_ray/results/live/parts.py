"""The parts of a frame: each draws itself into so many lines. Every line is one line, whatever the texts contain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich.text import Text

from scoot_ray.results.live.scene import Best, Figure, Scene, Slot, Tally
from scoot_ray.results.report.text import counted, duration, number, plain

Draw: TypeAlias = Callable[[int, int], Sequence[Text]]
_ROOMY = 68  # columns from which a slot's line has all its parts
_HOST = 12  # columns of a host's name
_SPACES = str.maketrans("\n\t\xa0", "   ")
_MARKS = (("●", "bold green"), ("D", "bold yellow"), ("B", "bold magenta"))


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its name in the margin, the fewest lines that make sense, the most it has use for, and how to draw it.

    ``draw`` takes the columns and lines it is given and may use fewer lines.
    """

    label: str
    least: int
    most: int
    draw: Draw


def line(text: str, style: str = "") -> Text:
    """One line that is shown as it is: no markup, no control characters."""
    drawn = Text(plain(text).translate(_SPACES), no_wrap=True, overflow="ellipsis")
    drawn.stylize(style)  # what is appended has its own
    return drawn


def head(scene: Scene, width: int) -> list[Text]:
    """The three lines that are always there: which study, how far, how long."""
    title = line(" scoot-ray ", "bold reverse")
    title.append_text(line(f" {scene.study}", "bold"))
    if scene.simulated:
        title.append_text(line(" (simulated)", "yellow"))
    title.append_text(line(f"  {scene.state}", "cyan"))
    title.append_text(line(f" with {scene.tuner}" if scene.state == "searching" else "", "dim"))
    if scene.note:
        title.append_text(line(f"  {scene.note}", "yellow"))
    return [title, _progress(scene, width), _times(scene)]


def _progress(scene: Scene, width: int) -> Text:
    confirming = scene.state == "confirming"
    done, total = (scene.confirmed, scene.confirmations) if confirming else (scene.observations, scene.budget)
    columns = max(8, min(30, width // 6))
    full = round(columns * min(1.0, done / total)) if total else columns
    bar = line(" " + "━" * full, "green")
    bar.append_text(line("─" * (columns - full), "dim"))
    told = f" {scene.observations} of {scene.budget} tried"
    if confirming:
        told = f" {scene.confirmed} of at most {scene.confirmations} runs to confirm, after {scene.observations} tried"
    bar.append_text(line(told, "bold"))
    if scene.outcomes:
        bar.append_text(line(f": {scene.outcomes}"))
    if scene.confirmations and not confirming:
        bar.append_text(line(f"; then up to {scene.confirmations} to confirm", "dim"))
    return bar


def _times(scene: Scene) -> Text:
    told = f" running {_whole(scene.running_s)}, about {_whole(scene.left_s)} left"
    if scene.gpu_hours is not None:
        told += f", {number(scene.gpu_hours)} GPU-hours" + (" (simulated)" if scene.simulated else "")
    return line(f"{told}, POF threshold {scene.threshold:.2f}", "dim")


def _whole(seconds: float) -> str:
    """A duration without fractions of a second."""
    return duration(float(round(seconds)))


def slots_part(scene: Scene) -> Part:
    """What each slot does, a line each; all of them in one where there is no room."""

    def draw(width: int, height: int) -> list[Text]:
        if not scene.slots:
            return [line("all free, waiting for the search", "dim")]
        if height == 1 < len(scene.slots):
            return [line(", ".join(f"{slot.trial} {slot.phase}" for slot in scene.slots))]
        shown = scene.slots if len(scene.slots) <= height else scene.slots[: height - 1]
        lines = [_slot(one, _widths(scene.slots), width) for one in shown]
        if hidden := len(scene.slots) - len(shown):
            lines.append(line(f"and {hidden} more", "dim"))
        return lines

    return Part("slots", 1, max(1, len(scene.slots)), draw)


def _cells(slot: Slot) -> tuple[str, str, str, str, str]:
    return (str(slot.trial), slot.origin, slot.phase, _clock(slot.since_s), slot.where)


def _clock(seconds: float) -> str:
    """Minutes and seconds in few columns: 2:14."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _widths(slots: Sequence[Slot]) -> tuple[int, ...]:
    """Columns of what stands before the configuration."""
    return tuple(max(len(cell) for cell in column) for column in zip(*map(_cells, slots), strict=True))


def _slot(slot: Slot, widths: Sequence[int], width: int) -> Text:
    """The host and who asked are left out first: what is done with which trial, and for how long, stays."""
    trial, origin, phase, since, where = (cell.ljust(room) for cell, room in zip(_cells(slot), widths, strict=True))
    told = line(f"{trial}  ", "bold")
    if width >= _ROOMY:
        told.append_text(line(f"{origin}  ", "dim"))
    told.append_text(line(phase, "cyan"))
    told.append_text(line(f"  {since}  "))
    if where.strip() and width >= _ROOMY:
        told.append_text(line(f"{where[:_HOST]}  ", "dim"))
    told.append_text(line(slot.config))
    return told


def best_part(best: Best | None, state: str) -> Part:
    """The best so far: objectives with their change, then what is set."""

    def draw(_width: int, height: int) -> list[Text]:
        if best is None:
            return [line("nothing yet" if state != "confirming" else "nothing was measured", "dim")]
        figures = [line(_figure(one.label, one.value, one.changes)) for one in best.figures]
        if height < len(figures):  # the figures themselves are what counts
            return [line(f"trial {best.trial}: " + ", ".join(map(_briefly, best.figures)))]
        lines = [_about(best), *figures, line(best.config)]
        return lines if height >= len(lines) else figures + lines[:1] if height > len(figures) else figures

    return Part("best", 1, 1 if best is None else 2 + len(best.figures), draw)


def _briefly(one: Figure) -> str:
    """Without saying against what."""
    return f"{one.label} {one.value}" + "".join(f" ({change.split()[0]})" for change in one.changes[:1])


def _figure(label: str, value: str, changes: Sequence[str]) -> str:
    return f"{label} {value}" + (f"  ({', '.join(changes)})" if changes else "")


def _about(best: Best) -> Text:
    told = line(f"trial {best.trial}", "bold green")
    if best.front > 1:
        told.append_text(line(f", one of {best.front} on the front"))
    if best.keeps_slos is not None:
        keeps, style = ("keeps the SLOs", "green") if best.keeps_slos else ("breaks an SLO", "bold red")
        told.append_text(line(", "))
        told.append_text(line(keeps, style))
    told.append_text(line(", not confirmed", "dim"))
    return told


def failures_part(failures: Sequence[Tally]) -> Part | None:
    """Failures by kind, each with the last one's line; None where nothing failed."""
    if not failures:
        return None

    def draw(_width: int, height: int) -> list[Text]:
        if height < len(failures):
            total = counted(sum(one.count for one in failures), "failure")
            kinds = ", ".join(f"{one.count} {one.kind}" for one in failures)
            return [line(f"{total}: {kinds}", "red"), *map(_tally, failures[: height - 1])]
        return [_tally(one) for one in failures]

    return Part("failures", 1, len(failures), draw)


def _tally(one: Tally) -> Text:
    told = line(f"{one.count} {one.kind}", "yellow" if one.ours else "red")
    told.append_text(line(f"{' (tried again)' if one.ours else ''}: {one.last}"))
    return told


def picture_part(scene: Scene) -> Part | None:
    """The plot; None where there is nothing to draw."""
    picture = scene.picture
    if picture is None:
        return None

    def draw(width: int, height: int) -> list[Text]:
        return [_coloured(row) for row in picture.lines(min(width, 90), height)]

    return Part("curve" if picture.over_observations else "front", 8, 24, draw)


def _coloured(row: str) -> Text:
    """Marks stand out; only behind the axis, since labels have letters too."""
    drawn = line(row)
    axis = next((at for at, letter in enumerate(row) if letter in "┤│"), None)
    for at, letter in enumerate(row):
        for mark, style in _MARKS:
            if letter == mark and (axis is None or at > axis) and (axis is not None or letter == "●"):
                drawn.stylize(style, at, at + 1)
    return drawn


def lines_part(label: str, lines: Sequence[str], most: int, style: str) -> Part | None:
    """The last of some lines; None where there are none."""
    recent = lines[-most:]

    def draw(_width: int, height: int) -> list[Text]:
        return [line(one, style) for one in recent[-height:]]

    return Part(label, 1, len(recent), draw) if recent else None
