"""What a replay found, for a reader at a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from scoot_ray.load.bottleneck import ServerReport
from scoot_ray.load.intervals import Interval
from scoot_ray.load.measure import Measurement
from scoot_ray.load.metrics import LATENCIES, counts_of, from_send_metrics, tokens_of
from scoot_ray.load.selection import Selection

_STATISTICS = ("mean", "p50", "p90", "p95", "p99")
_FIGURES = ("completed", "failed", "offered_rate", "request_throughput", "output_throughput", "request_goodput")


def show(
    console: Console,
    measurement: Measurement,
    selection: Selection,
    intervals: Mapping[str, Interval],
    server: ServerReport | None,
) -> None:
    """Print latencies with their 95% intervals, the other figures, the engine's account, and what was odd."""
    records = measurement.replay.records
    console.print(latency_table({**measurement.metrics, **from_send_metrics(records)}, intervals))
    for name in _FIGURES:
        if name in measurement.metrics:
            console.print(f"{name} {measurement.metrics[name]:.6g}")
    tokens = tokens_of(records)
    if "tokens_per_event" in tokens:
        console.print(f"tokens_per_event {tokens['tokens_per_event']:.3g}")
    for name, count in counts_of(records).items():
        if count:
            console.print(f"{name} {count}")
    if selection.dropped or selection.clipped:
        console.print(f"longer than the model: {selection.dropped} dropped, {selection.clipped} clipped")
    if server is not None:
        _show_server(console, server)
    for note in measurement.notes:
        console.print(f"note: {note}", markup=False, soft_wrap=True)
    for reason in measurement.replay.audit.reasons:
        console.print(f"INVALID: {reason}", markup=False, soft_wrap=True, style="bold red")


def latency_table(metrics: Mapping[str, float], intervals: Mapping[str, Interval]) -> Table:
    """Latencies from the scheduled time, with the interval of each below it, and those from the sending."""
    table = Table("latency, ms", *_STATISTICS, title="from the scheduled time, with 95% intervals")
    for latency in LATENCIES:
        names = [f"{statistic}_{latency}_ms" for statistic in _STATISTICS]
        table.add_row(latency, *(_cell(metrics.get(name), intervals.get(name)) for name in names))
    table.add_section()
    for latency in ("ttft", "e2el"):
        names = [f"from_send_{statistic}_{latency}_ms" for statistic in _STATISTICS]
        table.add_row(f"{latency} from sending", *(_cell(metrics.get(name), None) for name in names))
    return table


def _cell(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if interval is None else f"{value:.1f}\n{_short(interval[0])}–{_short(interval[1])}"


def _short(value_ms: float) -> str:
    return f"{value_ms:.0f}" if value_ms >= 100 else f"{value_ms:.1f}"


def _show_server(console: Console, server: ServerReport) -> None:
    figures = server.figures
    if "prefix_hit_share" in figures:
        shareable = figures.get("prefix_shareable_share")
        of_trace = "" if shareable is None else f" (the trace repeats {shareable:.0%})"
        console.print(f"prefix cache: {figures['prefix_hit_share']:.0%} of the prompt tokens were found{of_trace}")
    console.print(f"bound by: {server.bound_by or 'unknown'}: {server.because}", markup=False, soft_wrap=True)
