"""What several studies have gained, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table


def gains_table(results: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each study: what the confirmation shows against what runs today."""
    simulated = "simulated: " if all(result["simulated"] for result in results) else ""
    table = Table(title=f"{simulated}{len(results)} studies against what runs today", title_justify="left")
    for name in ("study", "tuner", "failed", "verdict", "change", "recommended"):
        table.add_column(name)
    for result in results:
        table.add_row(
            str(result["study"]),
            str(result["tuner"]),
            _failed(result),
            result["verdict"]["kind"] if result["verdict"] else "–",
            changes(result),
            _differences(result),
        )
    return table


def one_line(result: Mapping[str, Any]) -> str:
    """A study's outcome in a line."""
    label = "simulated  " if result["simulated"] else ""
    return f"{result['study']}  {label}{changes(result) or result['sentence']}"


def changes(result: Mapping[str, Any]) -> str:
    """Each objective's relative change, as confirmed; those within the noise in brackets."""
    if result["verdict"] is None:
        return ""
    return "  ".join(
        f"({change['metric']} {change['relative']:+.0%})"
        if change["certain"] == "no"
        else f"{change['metric']} {change['relative']:+.0%}"
        for change in result["verdict"]["changes"]
    )


def _failed(result: Mapping[str, Any]) -> str:
    outcomes = result["outcomes"]
    return f"{sum(outcomes['failed'].values())} of {result['budget']['spent']}"


def _differences(result: Mapping[str, Any]) -> str:
    """What is recommended, where it differs from what runs today."""
    if result["recommended"] is None:
        return "–"
    today = (result["baseline"] or result["default"] or {}).get("config", {})
    chosen = result["recommended"]["config"]
    return " ".join(f"{name}={value}" for name, value in chosen.items() if today.get(name) != value)
