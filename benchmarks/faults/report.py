"""What came of the rounds, as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median

from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.rounds import Round
from benchmarks.search.markdown import table

_HEADER = ("fault", "rounds", "kept all", "attempts repeated", "goes on after, s", "engines gone after, s")


def report(rounds: Sequence[Round]) -> str:
    """A row for each fault that was played, then whatever broke."""
    names = [name for name in FAULTS if any(one.fault == name for one in rounds)]
    lines = table(list(_HEADER), [_row(name, [one for one in rounds if one.fault == name]) for name in names])
    problems = [f"- {one.fault} {one.number}: {what}" for one in rounds for what in one.broken]
    late = sum(one.late for one in rounds)
    more = [f"Resumed because the machine was too busy to send the load in time: {late} times."] if late else []
    return "\n".join([*lines, "", *more, *([""] if more else []), *(problems or ["Every invariant held."]), ""])


def _row(name: str, rounds: Sequence[Round]) -> list[str]:
    counts: Counter[str] = Counter()
    for one in rounds:
        counts.update(one.setbacks)
    return [
        FAULTS[name].says,
        str(len(rounds)),
        f"{sum(not one.broken for one in rounds)} of {len(rounds)}",
        ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())) or "none",
        _seconds([one.progress_s for one in rounds]),
        _seconds([one.engines_s for one in rounds]),
    ]


def _seconds(values: Sequence[float | None]) -> str:
    """Median and longest."""
    known = [value for value in values if value is not None]
    return f"{median(known):.0f} (longest {max(known):.0f})" if known else "–"
