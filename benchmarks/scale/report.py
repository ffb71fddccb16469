"""What the two benchmarks of scale found, as Markdown tables. Pure, but for the number of this machine's cores."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.scale.attempts import Attempt, free_share, share, starts_a_minute
from benchmarks.scale.real import ROLES, Real, Sample
from benchmarks.scale.run import Scale, Spent
from benchmarks.search.markdown import table

_PARTS: tuple[tuple[str, Callable[[Attempt], float]], ...] = (
    ("overhead beyond engine start and load", lambda one: one.overhead_s),
    ("of it before the worker was there and after its answer", lambda one: one.outside_s),
    ("of it the engine's end", lambda one: one.stop_s),
    ("of it the rest of the worker's time", lambda one: one.idle_s),
    ("engine start", lambda one: one.timings.get("start_s", 0.0) + one.timings.get("stage_s", 0.0)),
)


def report(found: Scale) -> list[str]:
    """The figures of slots that run nothing."""
    until_last = found.busy_until_last_start / (found.slots * found.last_started_s)
    memory = ", ".join(f"{mib:.0f} ({count})" for count, mib in _some(found.resident_mib))
    rows = [
        ["slots, evaluations", f"{found.slots}, {found.evaluations}"],
        ["virtual hours", f"{found.lasted_s / 3600:.2f}"],
        ["slot time at work until the last start", f"{until_last:.1%}"],
        ["the same to the end of the last evaluation", f"{found.busy_s / (found.slots * found.lasted_s):.1%}"],
        ["CPU s per call for suggestions, median and longest", _spread(found.suggesting)],
        ["the same, quarter by quarter of the calls: median", _quarters(found.suggesting)],
        ["suggestions per call, mean", f"{found.suggested / max(1, len(found.suggesting.cpu_s)):.1f}"],
        ["CPU s per suggestion", f"{sum(found.suggesting.cpu_s) / max(1, found.suggested):.3f}"],
        ["CPU s to send a log to the optimizer and read it, median and longest", _spread(found.sending)],
        ["CPU s per event in the journal, median and longest", _spread(found.journalling)],
        ["CPU s to replay the journal", f"{found.replay_s:.1f}"],
        ["resident MiB (after evaluations)", memory],
    ]
    return table(["", f"{found.slots} slots that run nothing"], rows)


def real_report(found: Real) -> list[str]:
    """The figures of worker actors: those of the first filling of the slots, and those after it."""
    first, later = found.attempts_of_first_filling, found.attempts_after_it
    rows = [[f"{what}, s: median, p95", _middle(first, part), _middle(later, part)] for what, part in _PARTS]
    return [
        *_whole(found),
        *table([f"{found.slots} real workers", f"first filling ({len(first)})", f"afterwards ({len(later)})"], rows),
    ]


def _whole(found: Real) -> list[str]:
    mean, most = starts_a_minute(found.attempts)
    load = [sample.load for sample in found.samples]
    late = sum(one.late for one in found.attempts)
    rows = [
        ["slots, evaluations, s of load", f"{found.slots}, {len(found.attempts)}, {found.load_s:g}"],
        ["cores, load average: median, highest", f"{os.cpu_count()}, {np.median(load):.1f}, {max(load):.1f}"],
        ["slot time at work until the last start", f"{share(found.attempts, found.slots):.1%}"],
        ["slot time that no evaluation held", f"{free_share(found.attempts, found.slots):.1%}"],
        ["s to start Ray", f"{found.joining_s:.1f}"],
        ["s to suggestions: median, longest", f"{np.median(found.thinking_s):.2f}, {max(found.thinking_s):.2f}"],
        ["engines started in a minute: mean, most", f"{mean:.1f}, {most}"],
        ["loads that were sent late", f"{late} of {len(found.attempts)}"],
        ["evaluations that ran again", str(found.repeated)],
        *([f"resident MiB: {role}", _memory(found.samples, role)] for role in ROLES),
    ]
    return table(["", f"{found.slots} real workers"], rows)


def _middle(attempts: Sequence[Attempt], part: Callable[[Attempt], float]) -> str:
    seconds = [part(one) for one in attempts]
    return f"{np.median(seconds):.2f}, {np.percentile(seconds, 95):.2f}" if seconds else ""


def _memory(samples: Sequence[Sample], role: str) -> str:
    """The median over the processes of the role, now and then; and the most that one ever had."""
    seen = [(sample.ended, float(np.median(mib))) for sample in samples if (mib := sample.resident_mib[role])]
    if not seen:
        return ""
    most = max(max(sample.resident_mib[role], default=0.0) for sample in samples)
    return ", ".join(f"{mib:.0f} ({ended})" for ended, mib in _some(seen)) + f"; at most {most:.0f}"


def _spread(spent: Spent) -> str:
    return f"{np.median(spent.cpu_s):.3f}, {max(spent.cpu_s):.2f}" if spent.cpu_s else ""


def _quarters(spent: Spent) -> str:
    return ", ".join(f"{np.median(part):.2f}" for part in np.array_split(spent.cpu_s, 4) if len(part))


def _some(noted: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """About five of them, the first and the last among them."""
    return [noted[i] for i in np.unique(np.linspace(0, len(noted) - 1, 5).astype(int))] if noted else []
