"""A scene in a terminal of any size: what matters most is kept when there is little room. Pure.

At 80 columns and 24 lines everything has its place; from 110 columns on the plot stands beside what follows the slots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.text import Text

from scoot_ray.results.live.parts import (
    Part,
    best_part,
    failures_part,
    head,
    line,
    lines_part,
    picture_part,
    slots_part,
)
from scoot_ray.results.live.scene import LATEST, Scene

_MARGIN = 10  # columns, with the names of the parts
_WIDE = 110
_PICTURE = 58  # columns of the plot where it stands beside the rest
_NARROW = 50  # without the margin below
_ORDER = ("slots", "best", "failures", "warnings", "front", "curve", "latest")  # from top to bottom
_RANK = ("best", "slots", "failures", "warnings", "front", "curve", "latest")  # what is kept first


def frame(scene: Scene, width: int, height: int) -> list[Text]:
    """At most ``height`` lines of at most ``width`` columns."""
    top = head(scene, width)
    parts = _parts(scene)
    room = max(0, height - len(top))
    if width >= _WIDE and (picture := parts.pop("front", None) or parts.pop("curve", None)) is not None:
        slots = _stack({"slots": parts.pop("slots")}, width, room // 2)
        room -= len(slots)
        body = [*slots, *_beside(_stack(parts, width - _PICTURE - 2, room), picture, width, room)]
    else:
        body = _stack(parts, width, room)
    return [_cut(one, width) for one in (*top, *body)][:height]


def _parts(scene: Scene) -> dict[str, Part]:
    found = (
        slots_part(scene),
        best_part(scene.best, scene.state),
        failures_part(scene.failures),
        lines_part("warnings", scene.warnings, 3, "yellow"),
        picture_part(scene),
        lines_part("latest", scene.latest, LATEST, "dim"),
    )
    return {part.label: part for part in found if part is not None}


def _stack(parts: Mapping[str, Part], width: int, room: int) -> list[Text]:
    """The parts one below the other, their names in the margin."""
    shares = _shares(parts, room)
    margin = _MARGIN if width >= _NARROW else 0
    lines: list[Text] = []
    for label in (name for name in _ORDER if shares.get(name)):
        drawn = parts[label].draw(width - margin, shares[label])
        for at, one in enumerate(drawn[: shares[label]]):
            row = line((f" {label}" if at == 0 else "").ljust(margin), "bold") if margin else line("")
            row.append_text(one)
            lines.append(row)
    return lines


def _shares(parts: Mapping[str, Part], room: int) -> dict[str, int]:
    """Lines for each part: first what each needs at least, in the order of importance; then what it has use for."""
    ranked = [name for name in _RANK if name in parts]
    given: dict[str, int] = {}
    for name in ranked:
        if parts[name].least <= room:
            given[name] = parts[name].least
            room -= given[name]
    for name in (name for name in ranked if name in given):
        more = min(parts[name].most - given[name], room)
        given[name] += more
        room -= more
    return given


def _beside(left: Sequence[Text], picture: Part, width: int, room: int) -> list[Text]:
    """The plot to the right of the rest."""
    drawn = list(picture.draw(_PICTURE, min(room, picture.most)))
    rows = []
    for at in range(max(len(left), len(drawn))):
        row = left[at].copy() if at < len(left) else line("")
        row.truncate(width - _PICTURE - 2, overflow="ellipsis", pad=True)
        row.append("  ")
        row.append_text(drawn[at] if at < len(drawn) else line(""))
        rows.append(row)
    return rows


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    return text
