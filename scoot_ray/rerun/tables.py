"""Reproductions and verifications for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

_BASES = {
    "confirmation": "what runs of the confirmation differ by under one arrival order",
    "repeats": "what the repeats differ by",
    "requests": "the bootstrap over one load's requests",
}


def reproduction_table(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Then and now of each metric, the verdict, what has changed around it."""
    simulated = " (simulated)" if document["simulated"] else ""
    orders = ", ".join(map(str, document["orders"]))
    title = f"{document['study']}{simulated}: trial {document['trial']} again, arrival order {orders}"
    yield Text(title, style="bold")
    yield Text("  ".join(f"{name}={value}" for name, value in document["config"].items()))
    yield Text(f"then: {_outcome(document['then'])}")
    for seen in document["now"]:
        yield Text(f"now:  {_outcome(seen)}")
    if document["metrics"]:
        yield _figures(document)
        yield Text(_explained(document["metrics"]), style="dim")
    for change in document["changes"]:
        yield Text(f"changed since: {change['what']}: {change['then']} → {change['now']}", style="yellow")
    yield Text(document["sentence"], style="green" if document["reproduced"] else "red")
    yield Text(f"files: {document['folder']}")


def verification_table(document: Mapping[str, Any]) -> Iterator[RenderableType]:
    """What was asked and measured, the verdict, and what has drifted."""
    endpoint, load = document["endpoint"], document["load"]
    version = f", version {endpoint['version']}" if endpoint["version"] else ""
    rate = f" at {load['rate']:.3g} requests/s" if load["rate"] is not None else " as recorded"
    yield Text(f"{document['study']} on {', '.join(endpoint['base_urls'])}", style="bold")
    yield Text(f"model {endpoint['model']}{version}; {load['process']}{rate} for {load['duration_s']:.4g} s")
    yield _checks(document["checks"])
    yield from (Text(f"note: {note}", style="dim") for note in document["notes"])
    yield _conclusion(document)
    for one in document["drift"]:
        yield Text(f"drift: {one['what']}: proved {one['then']}, here {one['now']}; {one['means']}", style="yellow")
    if document["tune_again"]:
        yield Text(f"tune again: {document['tune_again']}", style="yellow")
    elif not document["drift"]:
        yield Text("No drift from what was proved was found.")


def _checks(checks: Sequence[Mapping[str, Any]]) -> Table:
    table = Table()
    for name in ("", "metric"):
        table.add_column(name)
    for name in ("wanted", "measured", "95% interval"):
        table.add_column(name, justify="right")
    table.add_column("")
    styles = {"holds": "green", "broken": "bold red", "invalid": "yellow"}
    for one in checks:
        measured = "none" if one["measured"] is None else f"{one['measured']:.4g}"
        interval = "–" if one["interval"] is None else _range(one["interval"])
        unsure = ", unsure" if one["interval"] and not one["sure"] and one["verdict"] != "invalid" else ""
        cells = [one["kind"], one["metric"], f"{one['operator']} {one['limit']:.4g}", measured, interval]
        table.add_row(*map(Text, cells), Text(one["verdict"] + unsure, styles[one["verdict"]]))
    return table


def _conclusion(document: Mapping[str, Any]) -> Text:
    if document["verdict"] == "invalid":
        because = "; ".join(document["invalid_because"])
        return Text(f"INVALID: the client was late, so that nothing was measured: {because}", style="yellow")
    if document["verdict"] == "holds":
        return Text("What was promised holds here.", style="green")
    broken = ", ".join(dict.fromkeys(one["metric"] for one in document["checks"] if one["verdict"] == "broken"))
    return Text(f"What was promised does not hold here: {broken}.", style="red")


def _figures(document: Mapping[str, Any]) -> Table:
    many = document["repeats"] > 1
    table = Table()
    for name in ("metric", "then", f"now, mean of {document['repeats']}" if many else "now", "difference"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    table.add_column("expected", justify="right")
    table.add_column("")
    for one in document["metrics"]:
        cells = [one["metric"], _then(one["then"]), f"{one['now']:.4g}", _relative(one["difference"])]
        verdict = Text("within", "green") if one["within"] else Text("OUTSIDE", "bold red")
        table.add_row(*map(Text, [*cells, _range(one["interval"])]), verdict)
    return table


def _explained(metrics: Sequence[Mapping[str, Any]]) -> str:
    """What the intervals are made of."""
    used = [basis for basis in _BASES if any(basis in one["basis"] for one in metrics)]
    made = "; ".join(_BASES[basis] for basis in used) or "nothing is known of chance here, so 2% are allowed"
    said = f"expected: with 95% for all metrics together, from {made}."
    starts_known = {"confirmation", "repeats"} & set(used)
    return said if starts_known else f"{said} Starts may differ by more than that: --repeats 3 measures it."


def _outcome(seen: Mapping[str, Any]) -> str:
    outcome, where = seen["outcome"], f" on {seen['where']}" if seen["where"] else ""
    if "failed" in outcome:
        return f"failed{where}: {outcome['failed']}: {outcome['detail']}"
    return f"measured{where}" if "measured" in outcome else f"ended early{where}: {outcome['reason']}"


def _then(value: float | Sequence[float | None]) -> str:
    return f"{value:.4g}" if isinstance(value, float | int) else _range(value)


def _range(pair: Sequence[float | None]) -> str:
    low, high = pair
    if low is None or high is None:
        return f"≤ {high:.4g}" if high is not None else f"≥ {low:.4g}" if low is not None else "any"
    return f"{low:.4g} to {high:.4g}"


def _relative(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1%}"
