"""``scoot-ray compare``: several runs side by side, and whether their figures may be compared at all. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from scoot_ray.inference import difference
from scoot_ray.results.candidates import Candidate, Offer, offer_of
from scoot_ray.results.deployment import SECRET_FLAGS
from scoot_ray.search import Objective

_MUST_AGREE = ("trace", "load", "objectives", "model", "simulated")
"""Where these differ, the figures answer different questions."""


def compare_document(named: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The runs as one document; ``named`` are what each is called and its result, the first the one compared with."""
    names, results = [name for name, _ in named], [result for _, result in named]
    apart = {what: values for what in _about(results[0]) if len(set(values := [_about(r)[what] for r in results])) > 1}
    fatal = [what for what in _MUST_AGREE if what in apart]
    paired = not fatal and len({result["seed"] for result in results}) == 1
    return {
        "comparable": not fatal,
        "differing": [{"what": what, "values": values, "fatal": what in fatal} for what, values in apart.items()],
        "runs": [
            {"name": name, **_run(result, results[0] if paired else None)}
            for name, result in zip(names, results, strict=True)
        ],
    }


def compare_table(document: Mapping[str, Any]) -> Iterator[Table | Text]:
    """The same for people."""
    metrics = list(dict.fromkeys(figure["metric"] for run in document["runs"] for figure in run["figures"]))
    table = Table(title=f"{len(document['runs'])} runs", title_justify="left")
    for name in ("run", "tuner", "engine", "on", "budget", "failed", "GPU-hours", "verdict", *metrics):
        table.add_column(name)
    for run in document["runs"]:
        by_metric = {figure["metric"]: figure for figure in run["figures"]}
        cells = [_cell(by_metric.get(metric), run["confirmed"]) for metric in metrics]
        label = f"{run['name']} (simulated)" if run["simulated"] else run["name"]
        facts = [run["tuner"], run["engine"], run["hardware"], f"{run['spent']}", f"{run['failed']}"]
        table.add_row(*map(Text, [label, *facts, f"{run['gpu_hours']:.2f}", run["verdict"] or "–", *cells]))
    yield table
    yield Text(
        "Each figure: mean (95% interval) and 95% bound for a further run; change against today, and against the first."
    )
    for one in document["differing"]:
        values = "; ".join(dict.fromkeys(one["values"]))
        line = f"{one['what']} differs: {values}"
        yield Text(f"NOT COMPARABLE: {line}", style="red") if one["fatal"] else Text(line, style="yellow")


def _about(result: Mapping[str, Any]) -> dict[str, str]:
    """What must or may differ, each in words."""
    return {
        "trace": str(result["trace"]["sha256"]),
        "load": " ".join(f"{name}={value}" for name, value in result["load"].items()),
        "objectives": ", ".join(f"{one['direction']} {one['metric']}" for one in result["objectives"]),
        "model": str(result["serving"]["model"]).rpartition("/")[2],
        "simulated": "simulated" if result["simulated"] else "measured",
        "hardware": _hardware(result),
        "engine": _engine(result),
        "fixed flags": " ".join(
            f"{name}={value}" for name, value in sorted(result["serving"]["args"].items()) if name not in SECRET_FLAGS
        ),
        "slos": ", ".join(result["slos"]) or "none",
    }


def _run(result: Mapping[str, Any], first: Mapping[str, Any] | None) -> dict[str, Any]:
    offer = offer_of(result)
    best = _recommended(result, offer)
    other = None if first is None or first is result else _recommended(first, offer_of(first))
    return {
        "study": result["study"],
        "tuner": result["tuner"],
        "simulated": result["simulated"],
        "complete": result["complete"],
        "engine": _engine(result),
        "hardware": _hardware(result),
        "spent": result["budget"]["spent"],
        "failed": sum(result["outcomes"]["failed"].values()),
        "gpu_hours": result["cost"]["gpu_hours"],
        "hours": result["cost"]["held_s"] / 3600,
        "verdict": result["verdict"]["kind"] if result["verdict"] else None,
        "sentence": result["sentence"],
        "config": None if best is None else dict(best.config),
        "confirmed": best is not None and best.confirmed,
        "figures": [] if best is None else [_figure(one, best, offer.today, other, result) for one in offer.objectives],
    }


def _recommended(result: Mapping[str, Any], offer: Offer) -> Candidate | None:
    """The configuration to use; None where there is none."""
    if result["recommended"] is None:
        return None
    config = result["recommended"]["config"]
    return next((one for one in (*offer.confirmed, *offer.searched) if one.config == config), None)


def _figure(
    objective: Objective, best: Candidate, today: Candidate | None, other: Candidate | None, result: Mapping[str, Any]
) -> dict[str, Any]:
    metric = objective.metric
    standing = next((one for one in result["confirmation"] if one["config"] == best.config), None)
    promise: Mapping[str, Any] = next(
        (one for one in (standing["promises"] if standing else []) if one["metric"] == metric), {}
    )
    return {
        "metric": metric,
        "direction": objective.direction,
        "mean": best.mean(metric),
        "interval": promise.get("interval"),
        "bound": promise.get("bound"),
        "worst": promise.get("worst"),
        "change": _change(metric, best, today),
        "against_first": _change(metric, best, other),
    }


def _change(metric: str, best: Candidate, other: Candidate | None) -> dict[str, Any] | None:
    """The relative difference within arrival orders, with a 95% interval where two orders are shared."""
    if other is None or best.confirmed != other.confirmed:
        return None
    found = difference(best.by_order(metric), other.by_order(metric))
    return None if found is None else {"relative": found.relative, "interval": found.interval}


def _hardware(result: Mapping[str, Any]) -> str:
    serving = result["serving"]
    return f"{serving['gpus']} × {serving['accelerator'] or 'GPU'}" if serving["gpus"] else "no GPU"


def _engine(result: Mapping[str, Any]) -> str:
    return str(result["engine"]["engine_version"] or "unknown")


def _cell(figure: Mapping[str, Any] | None, confirmed: bool) -> str:
    if figure is None or figure["mean"] is None:
        return "–"
    text = f"{figure['mean']:.4g}"
    if figure["interval"]:
        text += f" ({figure['interval'][0]:.4g} to {figure['interval'][1]:.4g})"
    if figure["bound"] is not None:
        text += f" {'≤' if figure['direction'] == 'minimize' else '≥'} {figure['bound']:.4g}"
    text += "" if confirmed else " not confirmed"
    for name in ("change", "against_first"):
        if figure[name]:
            text += f", {figure[name]['relative']:+.0%}"
    return text
