"""What a run has taught, as one JSON document and on a terminal: ``scoot-ray explain``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.search import Value
from scoot_ray.search.crashes import Rule
from scoot_ray.search.explain import Calibration, Explained, Explanation, explain
from scoot_ray.search.sensitivity import Curve, Importance

_BLOCKS = "▁▂▃▄▅▆▇█"
_BAR = 20  # characters for a share of 1
_STYLES = {"matters": "bold", "hardly matters": "dim", "cannot tell": ""}


def explain_document(resolved: Resolved, log: Log) -> dict[str, Any]:
    """The explanation as JSON; curves and errors are in the metrics' own units, or relative where they say so."""
    found = explain(resolved.problem, log.searched, resolved.study.seed)
    return {
        "schema_version": 1,
        "study": resolved.study.name,
        "simulated": resolved.study.engine.simulated,
        "measured": found.measured,
        "failed": found.failed,
        "silence": found.silence,
        "objectives": [_objective(one) for one in found.objectives],
        "hidden_constraints": [_rule(rule) for rule in found.rules],
        "hidden_constraints_sentence": _sentence(found),
    }


def print_explanation(console: Console, document: Mapping[str, Any]) -> None:
    """The same for people."""
    simulated = " (simulated)" if document["simulated"] else ""
    console.rule(Text(f"{document['study']}{simulated}: what {document['measured']} measurements tell"))
    if document["silence"]:
        console.print(Text(f"Parameters: cannot tell; {document['silence']}.", style="yellow"))
    for objective in document["objectives"]:
        console.print(_importance_table(objective))
        console.print(Text(_trust(objective["calibration"]), style="dim"))
    console.print(Text(document["hidden_constraints_sentence"]))
    for rule in document["hidden_constraints"]:
        console.print(Text(f"  {rule['text']}"))


def _objective(one: Explained) -> dict[str, Any]:
    return {
        "metric": one.metric,
        "importance": [_importance(entry) for entry in one.importances],
        "partial_dependence": [_curve(entry) for entry in one.curves],
        "calibration": _calibration(one.calibration),
    }


def _importance(one: Importance) -> dict[str, Any]:
    return {
        "parameter": one.parameter,
        "share": one.share,
        "interval_90": [one.low, one.high],
        "verdict": one.verdict,
    }


def _curve(one: Curve) -> dict[str, Any]:
    return {
        "parameter": one.parameter,
        "values": list(one.values),
        "mean": list(one.mean),
        "low": list(one.low),
        "high": list(one.high),
    }


def _calibration(one: Calibration) -> dict[str, Any]:
    return {
        "observations": one.observations,
        "within_50": one.within_50,
        "within_90": one.within_90,
        "error": one.error,
        "spread": one.spread,
        "logarithmic": one.logarithmic,
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "text": str(rule),
        "conditions": [[one.parameter, one.operator, one.value] for one in rule.conditions],
        "failed": rule.failed,
        "covered": rule.covered,
        "elsewhere": list(rule.others),
        "kinds": dict(rule.kinds),
        "luck": rule.luck,
    }


def _sentence(found: Explanation) -> str:
    if not found.failed:
        return "Hidden constraints: no configuration failed."
    counted = f"{found.failed} configurations failed" if found.failed > 1 else "one configuration failed"
    if not found.rules:
        return f"Hidden constraints: {counted}; no condition explains them better than chance would."
    return f"Hidden constraints: {counted}; best explained by"


def _importance_table(objective: Mapping[str, Any]) -> Table:
    curves = {curve["parameter"]: curve for curve in objective["partial_dependence"]}
    table = Table(title=f"What {objective['metric']} hangs on, over configurations likely to work")
    table.title_justify = "left"
    for name in ("parameter", "share of variance", "90% interval", "", "from → to", "metric on average"):
        table.add_column(name)
    for one in objective["importance"]:
        verdict = one["verdict"]
        low, high = one["interval_90"]
        bar = "█" * round(_BAR * one["share"])
        row = [one["parameter"], f"{bar} {one['share']:.0%}".strip(), f"{low:.0%} – {high:.0%}", verdict]
        table.add_row(*row, *_curve_cells(curves.get(one["parameter"])), style=_STYLES[verdict])
    return table


def _curve_cells(curve: Mapping[str, Any] | None) -> tuple[str, str]:
    if curve is None:
        return "", ""
    values, mean = curve["values"], curve["mean"]
    ends = f"{_plain(values[0])} → {_plain(values[-1])}"
    return ends, f"{sparkline(mean)} {_figure(mean[0])} → {_figure(mean[-1])}"


def _plain(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def sparkline(values: Sequence[float]) -> str:
    """One character per value, from the lowest block to the highest."""
    low, high = min(values), max(values)
    if high <= low:
        return _BLOCKS[0] * len(values)
    return "".join(_BLOCKS[round((value - low) / (high - low) * (len(_BLOCKS) - 1))] for value in values)


def _trust(calibration: Mapping[str, Any]) -> str:
    error, spread = calibration["error"], calibration["spread"]
    unit = " of its logarithm" if calibration["logarithmic"] else ""
    return (
        f"The model foretells each of {calibration['observations']} measurements from the others with an error of "
        f"{error:.3g}{unit} (they vary by {spread:.3g}); its 50% intervals held {calibration['within_50']:.0%}, "
        f"its 90% intervals {calibration['within_90']:.0%}."
    )
