"""The result on a terminal: default against best, the Pareto front, the promise, the command to use."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scoot_ray.results.next_steps import next_steps
from scoot_ray.results.scatter import scatter


def print_result(console: Console, result: Mapping[str, Any], run: str | None = None) -> None:
    """Print everything a person decides by, and what can be done next with the run's folder."""
    console.print()
    simulated = "simulated " if result["simulated"] else ""
    console.rule(Text(f"{result['study']}: {simulated}{'result' if result['complete'] else 'stopped early'}"))
    for part in _parts(result):
        console.print(part)
    if run is not None and result["complete"]:
        for command, purpose in next_steps(run, result):
            console.print(Text(command).append(f"  # {purpose}", style="dim"), soft_wrap=True)


def _parts(result: Mapping[str, Any]) -> list[RenderableType]:
    parts: list[RenderableType] = [Text(line) for line in (_counts(result), _time(result)) if line]
    if result["simulated"]:
        parts.append(Text("Every figure here is simulated: computed by a model of the engine, not measured.", "yellow"))
    parts += [Text(f"warning: {warning}", style="yellow") for warning in result["warnings"]]
    if not result["complete"]:
        parts.append(Text(f"Stopped: {result['reason']}", style="yellow"))
    elif result["reason"].startswith("stopped early"):
        parts.append(Text(f"The search {result['reason']}."))
    if result["recommended"] is None:
        return [*parts, Text("No configuration could be measured; see the trials' logs.", style="red")]
    parts.append(_comparison(result))
    if len(result["objectives"]) == 2:
        parts.append(_front(result))
    if any(standing["promises"] for standing in result["confirmation"]):
        parts.append(_promises(result))
    return [*parts, _headline(result)]


def _counts(result: Mapping[str, Any]) -> str:
    outcomes = result["outcomes"]
    failed = ", ".join(f"{count} {kind}" for kind, count in outcomes["failed"].items())
    spent, budget = result["budget"]["spent"], result["budget"]["observations"]
    too_long = result["trace"]["too_long"]
    left = ", ".join(f"{count} {name}" for name, count in too_long.items() if count)
    requests = f"{result['trace']['requests']} requests in the trace" + (f", too long: {left}" if left else "")
    return f"{requests}; {spent} of {budget} observations: {outcomes['measured']} {_seen(result)}" + "".join(
        f", {text}" for text in (f"{outcomes['bounded']} ended early" if outcomes["bounded"] else "", failed) if text
    )


def _time(result: Mapping[str, Any]) -> str:
    """What of the evaluations' time went into starting engines; empty where none was told."""
    phases_s = {name: seconds for name, seconds in result["phases_s"].items() if name != "queue_s"}
    held_s = sum(phases_s.values())
    if not held_s:
        return ""
    starts_s = phases_s.get("start_s", 0.0) + phases_s.get("stage_s", 0.0)
    started = f"engines took {starts_s / 60:.0f} of {held_s / 60:.0f} min to start ({starts_s / held_s:.0%})"
    return started + _cost(result["cost"].get("gpu_s", {}))


def _cost(gpu_s: Mapping[str, float]) -> str:
    """GPU-hours and what they went into; empty where there is no GPU, and for runs from before they were told apart."""
    total = sum(gpu_s.values())
    if not total:
        return ""
    parts = sorted(gpu_s.items(), key=lambda part: -part[1])
    shares = ", ".join(f"{phase} {seconds / total:.0%}" for phase, seconds in parts if seconds >= 0.005 * total)
    return f"; {total / 3600:.3g} GPU-hours: {shares}"


def _comparison(result: Mapping[str, Any]) -> Table:
    """Parameters and objectives of what runs today beside what to use, or beside the search's best where that is it."""
    today = result["baseline"] or result["default"] or result["observations"][0]
    chosen, title = result["recommended"]["config"], "recommended"
    if chosen == today["config"] and result["front"]:
        chosen, title = result["front"][0]["config"], "best of the search"
    best = next(one for one in result["observations"] if one["config"] == chosen)
    table = Table(title=f"Default against best, as {_seen(result)} in the search", title_justify="left")
    table.add_column("")
    table.add_column("baseline" if result["baseline"] else "default", justify="right")
    table.add_column(title, justify="right")
    table.add_column("change", justify="right")
    for name, value in best["config"].items():
        before = today["config"].get(name)
        table.add_row(name, str(before), str(value), "" if before == value else "changed")
    table.add_section()
    for metric in _metrics(result):
        before, after = today.get("metrics", {}).get(metric), best.get("metrics", {}).get(metric)
        change = f"{after / before - 1:+.0%}" if before and after is not None else ""
        table.add_row(metric, _number(before), _number(after), change)
    return table


def _metrics(result: Mapping[str, Any]) -> list[str]:
    wanted = [objective["metric"] for objective in result["objectives"]]
    return wanted + [name for name in ("request_throughput", "p99_e2el_ms", "error_rate") if name not in wanted]


def _front(result: Mapping[str, Any]) -> Group:
    x, y = (objective["metric"] for objective in result["objectives"])
    table = Table(title="Pareto front", title_justify="left")
    for name in ("trial", x, y, "configuration"):
        table.add_column(name, justify="left" if name == "configuration" else "right")
    for one in result["front"]:
        row = [f"{one['trial']}", _number(one["metrics"][x]), _number(one["metrics"][y]), _configuration(one["config"])]
        table.add_row(*row)
    marks = (("·", result["observations"]), ("D", [result["default"] or {}]), ("●", result["front"]))
    points = [
        (one["metrics"][x], one["metrics"][y], mark)
        for mark, group in marks
        for one in group
        if {x, y} <= one.get("metrics", {}).keys()
    ]
    return Group(table, Text(f"{scatter(points, x, y)}· {_seen(result)}, D default, ● front"))


def _promises(result: Mapping[str, Any]) -> Table:
    table = Table(
        title="Confirmation under other arrival orders; a further run stays within the bound in 95%",
        title_justify="left",
    )
    for name in ("configuration", "metric", "runs", "mean", "worst", "95% bound"):
        table.add_column(name, justify="left" if name in {"configuration", "metric"} else "right")
    usual = (result["default"] or {}).get("config", {})
    for standing in result["confirmation"]:
        own = {name: value for name, value in standing["config"].items() if usual.get(name) != value}
        label = f"{standing['role']} {_configuration(own)}".strip()
        if result["slos"] and standing["promises"]:
            label += " (keeps the SLOs)" if standing["meets_slos"] else " (breaks an SLO)"
        if standing["failure"]:
            table.add_row(label, Text(standing["failure"], style="red"))
        for promise in standing["promises"]:
            runs = " ".join(_number(run) for run in promise["runs"])
            figures = [_number(promise[key]) for key in ("mean", "worst", "bound")]
            table.add_row(label, promise["metric"], runs, *figures)
            label = ""
        table.add_section()
    return table


def _headline(result: Mapping[str, Any]) -> Panel:
    verdict, recommended = result["verdict"], result["recommended"]
    style = "green" if verdict and verdict["kind"] == "better" else "yellow"
    command = Text("\n" + shlex.join(recommended["command"]), style="bold")
    title = "Use this (simulated)" if result["simulated"] else "Use this"
    return Panel(Group(Text(result["sentence"], style=style), command), title=title, title_align="left")


def _seen(result: Mapping[str, Any]) -> str:
    """How the figures came about."""
    return "simulated" if result["simulated"] else "measured"


def _configuration(config: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in config.items())


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
