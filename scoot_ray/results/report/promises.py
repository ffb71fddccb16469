"""What the confirmation proved, as tables; and which SLOs it does not promise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoot_ray.finalists import key
from scoot_ray.results.report.chart import Table
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.text import named


def promises_table(run: Run) -> Table | None:
    """What was measured of every contestant, and the bound for a further run."""
    standings = run.result["confirmation"]
    metrics = list(dict.fromkeys(promise["metric"] for one in standings for promise in one["promises"]))
    if not metrics:
        return None
    rows = tuple(
        (label, *(_promised(one, metric) for metric in metrics), _slos_kept(run, one))
        for label, one in zip(_labels(run), standings, strict=True)
    )
    caption = "Means over runs under other arrival orders; in brackets what a further run keeps to in 95%"
    return Table(caption, ("configuration", *(named(metric).heading for metric in metrics), "SLOs"), rows)


def runs_table(run: Run) -> Table:
    """The same run by run, with the worst."""
    rows = []
    for label, standing in zip(_labels(run), run.result["confirmation"], strict=True):
        for promise in standing["promises"]:
            name = named(promise["metric"])
            figures = (name.figure(one) for one in (promise["worst"], *promise["runs"]))
            rows.append((label, name.heading, *figures))
    longest = max((len(row) for row in rows), default=3)
    head = ("configuration", "metric", "worst", *(f"run {at}" for at in range(1, longest - 2)))
    return Table("Every run of the confirmation", head, tuple((*row, *[""] * (longest - len(row))) for row in rows))


def _labels(run: Run) -> list[str]:
    """Contestants by role, finalists numbered; the recommended one is marked."""
    recommended = run.result["recommended"]
    labels, finalists = [], 0
    for standing in run.result["confirmation"]:
        finalists += standing["role"] == "finalist"
        label = f"finalist {finalists}" if standing["role"] == "finalist" else standing["role"]
        chosen = recommended is not None and key(standing["config"]) == key(recommended["config"])
        labels.append(f"{label}, recommended" if chosen else label)
    return labels


def _promised(standing: Mapping[str, Any], metric: str) -> str:
    promise = next((one for one in standing["promises"] if one["metric"] == metric), None)
    if promise is None:
        return "–"
    name = named(metric)
    if promise["bound"] is None:
        return name.figure(promise["mean"])
    sign = "≥" if promise["bound"] < promise["mean"] else "≤"
    return f"{name.figure(promise['mean'])} ({sign}\xa0{name.figure(promise['bound'])})"


def _slos_kept(run: Run, standing: Mapping[str, Any]) -> str:
    if standing["failure"]:
        return str(standing["failure"])
    if not run.resolved.problem.slos:
        return "none asked for"
    return "kept" if standing["meets_slos"] else "not kept"


def broken_slos(run: Run) -> tuple[str, ...]:
    """The SLOs that what is recommended does not promise to keep."""
    recommended = run.result["recommended"]
    if recommended is None or not recommended["confirmed"]:
        return ()
    standing = next((s for s in run.result["confirmation"] if key(s["config"]) == key(recommended["config"])), None)
    promises = {one["metric"]: one for one in standing["promises"]} if standing else {}
    lines = []
    for slo in run.resolved.problem.slos:
        name, promise = named(slo.metric), promises.get(slo.metric)
        held = None if promise is None else promise["worst"] if promise["bound"] is None else promise["bound"]
        if held is None or not slo.met({slo.metric: held}):
            limit = f"{name.label} {slo.operator} {name.quantity(slo.limit)}"
            lines.append(f"The SLO {limit} is not promised: a further run may reach {name.quantity(held)}.")
    return tuple(lines)
