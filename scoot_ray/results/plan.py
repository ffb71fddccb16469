"""What a study will do, before it does it: ``scoot-ray validate``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from scoot_ray.confirm import starts
from scoot_ray.estimate import Estimate, estimate
from scoot_ray.resolve import Resolved


def plan_document(resolved: Resolved) -> dict[str, Any]:
    """The resolved study, the estimate and the warnings as JSON."""
    return {
        "study": resolved.study.model_dump(mode="json", exclude_none=True),
        "requests_in_trace": len(resolved.trace.requests),
        "estimate": asdict(_estimate(resolved)),
        "known": _known(resolved),
        "warnings": list(resolved.warnings),
    }


def _known(resolved: Resolved) -> dict[str, Any]:
    """What the engine's own rules say of the space, and the default's sum of memory."""
    checked = resolved.checked
    if checked is None:
        return {}
    rules = [asdict(one) for one in checked.known if one.verdict != "always"]
    return {"rules": rules, "memory": checked.memory, "not_checked": list(checked.notes)}


def print_plan(console: Console, resolved: Resolved) -> None:
    """The same for people."""
    document = plan_document(resolved)
    console.print(Syntax(yaml.safe_dump(document["study"], sort_keys=False), "yaml", background_color="default"))
    cost = _estimate(resolved)
    gpu = f", {cost.gpu_hours:.1f} GPU-hours" if cost.gpu_hours else ""
    requests = f"{document['requests_in_trace']} requests in the trace"
    minutes = f"about {max(1.0, cost.time_s / 60):.0f} minutes"
    console.print(f"{requests}; at most {cost.engine_starts} {_starts(resolved)}, {minutes}{gpu}")
    _print_known(console, resolved)
    for past in resolved.pasts:
        console.print(
            f"warm start: {past.name}: {len(past.observations)} observations, similarity {past.similarity:.2f}; "
            f"its failures {'count' if past.same_engine else 'do not count'} here"
        )
    for warning in resolved.warnings:
        console.print(Text(f"warning: {warning}", style="yellow"))


def _print_known(console: Console, resolved: Resolved) -> None:
    checked = resolved.checked
    if checked is None:
        return
    for text in checked.added:
        why = next((f": {one.reason} ({one.source})" for one in checked.known if one.text == text), "")
        console.print(Text(f"known from the engine: {text}{why}"))
    if checked.memory is not None:
        console.print(Text(f"memory of the default: {checked.memory}"))
    for note in checked.notes:
        console.print(Text(f"not checked: {note}"))


def _starts(resolved: Resolved) -> str:
    return "simulated evaluations" if resolved.study.engine.in_virtual_time else "engine starts"


def _estimate(resolved: Resolved) -> Estimate:
    return estimate(resolved.study, starts(resolved.problem, resolved.study.confirmation))
