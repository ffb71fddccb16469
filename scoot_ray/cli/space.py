"""The verb space: what a study searches, what it leaves alone, and why."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scoot_ray.cli.console import console
from scoot_ray.cli.studies import resolve_or_refuse

if TYPE_CHECKING:
    from rich.console import Console

    from scoot_ray.resolve import Resolved

_WRITTEN_OUT = "written out in the study"


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with every flag of the engine.")
def space(study: Path, as_json: bool) -> None:
    """Show what STUDY searches, with the reason for every parameter, range and flag left alone. Starts no engine."""
    document = space_document(resolve_or_refuse(study))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _print(console(sys.stdout), document)


def space_document(resolved: Resolved) -> dict[str, Any]:
    """Return the space and its reasons as plain data."""
    from scoot_ray.problem import space_specs  # noqa: PLC0415 - --help stays quick

    named = resolved.tunables
    reasons = {one.name: (one.reason, one.why) for one in named.space.included} if named is not None else {}
    parameters = []
    for name, spec in space_specs(resolved.problem).items():
        reason, why = reasons.get(name, (_WRITTEN_OUT, _WRITTEN_OUT))
        parameters.append({"name": name, **spec.model_dump(exclude_none=True), "reason": reason, "range_reason": why})
    return {
        "study": resolved.study.name,
        "engine": {"kind": resolved.study.engine.kind, "version": resolved.engine_version},
        "circumstances": asdict(named.circumstances) if named is not None else None,
        "parameters": parameters,
        "constraints": list(resolved.problem.space.constraints),
        "excluded": [asdict(one) for one in named.space.excluded] if named is not None else [],
        "warnings": list(resolved.warnings),
    }


def _print(out: Console, document: dict[str, Any]) -> None:
    from rich.table import Table  # noqa: PLC0415 - --help stays quick

    engine = document["engine"]
    version = engine["version"] or "of unknown version"
    out.print(
        f"[bold]{document['study']}[/bold]: {len(document['parameters'])} parameters of {engine['kind']} {version}"
    )
    searched = Table(box=None, header_style="bold")
    for heading in ("parameter", "values", "default", "what it does", "why these values"):
        searched.add_column(heading, overflow="fold", no_wrap=heading == "parameter")
    for one in document["parameters"]:
        values = (_values(one), str(one["default"]))
        searched.add_row(one["name"], *values, one["reason"], one["range_reason"])
    out.print(searched)
    for rule in document["constraints"]:
        out.print(f"  constraint: {rule}", markup=False)
    _print_excluded(out, document["excluded"])
    for warning in document["warnings"]:
        out.print(f"warning: {warning}", style="yellow", markup=False)


def _values(spec: dict[str, Any]) -> str:
    if spec["type"] == "boolean":
        return "false, true"
    if spec["type"] == "choice":
        return ", ".join(str(value) for value in spec["values"])
    scale = "" if spec["scale"] == "linear" else f" ({spec['scale'].replace('_', ' ')})"
    return f"{spec['low']:g} … {spec['high']:g}{scale}"


def _print_excluded(out: Console, excluded: list[dict[str, Any]]) -> None:
    """Those considered one by one, the rest counted by reason: there are hundreds."""
    from rich.table import Table  # noqa: PLC0415 - --help stays quick

    if not excluded:
        return
    left = Table(box=None, header_style="bold")
    left.add_column("left out", no_wrap=True)
    left.add_column("why", overflow="fold")
    for one in excluded:
        if one["considered"]:
            left.add_row(one["name"], one["reason"])
    out.print(left)
    counted = Counter(one["reason"] for one in excluded if not one["considered"])
    out.print("[bold]never searched unless the study asks[/bold] (--json lists them)")
    for reason, count in counted.most_common():
        names = [one["name"] for one in excluded if one["reason"] == reason][:3]
        out.print(f"  {count:3d}  {reason}: {', '.join(names)}{', …' if count > 3 else ''}", markup=False)
