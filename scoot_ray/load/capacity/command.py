"""The ``capacity`` verb: the highest rate at which a live endpoint holds its SLOs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from scoot_ray.load.capacity.decision import Capacity, Probe, RateSearch, Try, find, with_error_rate
from scoot_ray.load.capacity.probing import probe_rate
from scoot_ray.load.command import ReplayOptions, prepare
from scoot_ray.load.errors import LoadError
from scoot_ray.load.figures.bottleneck import ServerReport, explain
from scoot_ray.load.figures.outputs import check_outputs, write_json
from scoot_ray.load.figures.progress import progress_on
from scoot_ray.load.hooks import Hooks
from scoot_ray.search.errors import ObjectiveError
from scoot_ray.search.objectives import SLO


@dataclass(frozen=True, slots=True)
class CapacityOptions:
    """What the user may say on the command line. ``replay`` names endpoint, trace and load; its rate is not used."""

    replay: ReplayOptions
    slos: tuple[str, ...]
    search: RateSearch


def capacity_command(options: CapacityOptions) -> int:
    """Search, print the rates tried to stderr and write the JSON. Returns 0, or 1 where no rate was held.

    Raises LoadError (TraceError for the trace) with one line for bad input.
    """
    console = Console(stderr=True, highlight=False)
    slos = parse_slos(options.slos)
    target, load, _ = prepare(replace(options.replay, rate=options.search.start_rate))
    check_outputs(options.replay.json_out, None, None)
    reports: list[ServerReport | None] = []

    def probe(step: Try) -> Probe:
        title = f"{step.rate:.4g} requests/s" + (f", repeat {step.repeat}" if step.repeat else "")
        with progress_on(console, title) as on_progress:
            hooks = Hooks(on_progress=on_progress)
            found, measurement = probe_rate(target, load, step, slos, hooks, warm=bool(reports))
        reports.append(explain(measurement.server))
        console.print(f"{title}: {found.verdict}{_reasons(found)}", markup=False, soft_wrap=True)
        return found

    capacity = find(options.search, probe)
    console.print(probe_table(capacity, slos, reports))
    console.print(capacity.sentence, markup=False, soft_wrap=True)
    if options.replay.json_out is not None:
        write_json(options.replay.json_out, capacity_document(capacity, slos, reports))
    return 0 if capacity.rate is not None else 1


def parse_slos(texts: Sequence[str]) -> tuple[SLO, ...]:
    """Read SLOs as studies write them, such as ``ttft:p99<500ms``. Raises LoadError for none, or a bad one."""
    if not texts:
        raise LoadError("slo: is missing; allowed one or more, such as ttft:p99<500ms")
    try:
        return tuple(SLO.parse(text) for text in texts)
    except ObjectiveError as error:
        raise LoadError(f"slo: {error}") from error


def capacity_document(
    capacity: Capacity, slos: Sequence[SLO], reports: Sequence[ServerReport | None]
) -> dict[str, Any]:
    """The answer, and every probe with its metrics and what bound the server then."""
    return {
        "capacity": capacity.rate,
        "not_held": capacity.above,
        "limited_by": capacity.limited_by,
        "sentence": capacity.sentence,
        "slos": [str(slo) for slo in with_error_rate(slos)],
        "probes": [
            {
                "rate": probe.rate,
                "verdict": probe.verdict,
                "sure": probe.sure,
                "why": list(probe.why),
                "bound_by": None if report is None else report.bound_by,
                "because": None if report is None else report.because,
                "metrics": dict(probe.metrics or {}),
            }
            for probe, report in zip(capacity.probes, reports, strict=True)
        ],
    }


def probe_table(capacity: Capacity, slos: Sequence[SLO], reports: Sequence[ServerReport | None]) -> Table:
    """The rates tried, in order of rate, with the figures that the SLOs are about."""
    wanted = with_error_rate(slos)
    heads = ("requests/s", *(str(slo) for slo in wanted), "served", "verdict", "bound by")
    table = Table(*(Column(head, overflow="fold") for head in heads), title="rates tried")
    for probe, report in sorted(zip(capacity.probes, reports, strict=True), key=lambda pair: pair[0].rate):
        metrics = probe.metrics or {}
        figures = [_figure(metrics.get(name)) for name in (*(slo.metric for slo in wanted), "request_throughput")]
        verdict = probe.verdict + ("" if probe.sure else " (close)")
        table.add_row(f"{probe.rate:.4g}", *figures, verdict, (report.bound_by if report else None) or "-")
    return table


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _reasons(probe: Probe) -> str:
    """Why the verdict is not "held"; of an invalid probe also what it does not mean."""
    words = "; ".join(probe.why)
    if probe.verdict == "invalid":
        return f" (the client's doing, not the server's: {words})"
    return (f" ({words})" if words else "") + ("" if probe.sure else ", but too close to call")
