"""The ``replay`` verb: a trace against a live endpoint, figures to the screen and every request's times to JSON."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from scoot_ray.load.arrivals import Arrivals, Process
from scoot_ray.load.dialect import Engine
from scoot_ray.load.errors import LoadError
from scoot_ray.load.fleet import Processes
from scoot_ray.load.formats import read_trace
from scoot_ray.load.goodput import parse_goodput
from scoot_ray.load.measure import Load, Measurement, run_replay
from scoot_ray.load.metrics import LATENCIES, counts_of, from_send_metrics
from scoot_ray.load.plan import Endpoint, Sessions
from scoot_ray.load.records import record_to_json
from scoot_ray.load.replay import DRAIN_S, Hooks, Progress
from scoot_ray.load.selection import Selection, TooLong, fit, window
from scoot_ray.load.target import Header, Spread, Target
from scoot_ray.load.warmup import Warmup

DEFAULT_API_KEY_ENV = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the user may say on the command line.

    ``json_out`` is a path, ``-`` for stdout, or None. ``api_key_env`` names the variable that holds the key; by
    default OPENAI_API_KEY where it is set. ``headers`` are ``Name: value``, ``extra_body`` is a JSON object. ``salt``
    None draws a new one: the next replay meets no cached prefix.
    """

    base_urls: tuple[str, ...]
    model: str
    trace: str
    rate: float | None = None
    duration_s: float | None = None
    count: int | None = None
    seed: int = 0
    order: int = 0
    json_out: str | None = None
    arrivals: Process = "poisson"
    burstiness: float = 1.0
    time_scale: float = 1.0
    end_rate: float | None = None
    goodput: tuple[str, ...] = ()
    api_key_env: str | None = None
    max_model_len: int | None = None
    too_long: TooLong = "drop"
    offset: int = 0
    rows: int | None = None
    warmup: Warmup = 0
    endpoint: Endpoint = "auto"
    spread: Spread = "round_robin"
    timeout_s: float = 600.0
    stall_s: float = 120.0
    drain_s: float = DRAIN_S
    salt: str | None = None
    engine: Engine = "vllm"
    stream: bool = True
    sessions: Sessions = "independent"
    think_s: float = 0.0
    headers: tuple[str, ...] = ()
    extra_body: str | None = None
    ca_file: str | None = None
    insecure: bool = False
    processes: Processes = "auto"


def replay_command(options: ReplayOptions) -> int:
    """Replay, print a table to stderr and write the JSON. Returns 0, or 1 where no request succeeded at all.

    Raises LoadError (TraceError for the trace) with one line for bad input.
    """
    console = Console(stderr=True)
    target = _target(options)
    selection = _selection(options)
    load = _load(options, selection)
    _check_writable(options.json_out)
    hooks = Hooks(on_progress=_progress_line() if console.is_terminal else None)
    measurement = run_replay(target, load, hooks)
    if console.is_terminal:
        sys.stderr.write("\n")
    _show(console, measurement, selection)
    if options.json_out is not None:
        _write(options.json_out, replay_document(measurement))
    return 0 if measurement.metrics["completed"] else 1


def replay_document(measurement: Measurement) -> dict[str, Any]:
    """Every request's times (absolute ``time.monotonic`` seconds) and the summary, all of it numbers."""
    audit = measurement.replay.audit
    own = {
        "send_lateness_p99_ms": audit.send_lateness_p99_ms,
        "loop_lag_p99_ms": audit.loop_lag_p99_ms,
        "receive_lag_p99_ms": audit.receive_lag_p99_ms,
        "client_cpu_share": audit.client_cpu_share,
        "client_processes": audit.client_processes,
        "connections_opened": audit.connections_opened,
        "connections_failed": audit.connections_failed,
        "delayed_turns": measurement.delayed_turns,
        "reused": measurement.reused,
        "warmup_requests": measurement.warmup.sent,
    }
    records = measurement.replay.records
    return {
        "requests": [record_to_json(record) for record in records],
        "summary": {
            **measurement.metrics,
            **from_send_metrics(records),
            **counts_of(records),
            **{name: value for name, value in own.items() if value is not None},
        },
        "valid": audit.valid,
    }


def _target(options: ReplayOptions) -> Target:
    name = options.api_key_env or DEFAULT_API_KEY_ENV
    api_key = os.environ.get(name, "").strip() or None
    if options.api_key_env is not None and api_key is None:
        raise LoadError(f"api_key_env: {name} is not set; allowed the name of a variable that holds the key")
    return Target(
        base_urls=options.base_urls,
        model=options.model,
        api_key=api_key,
        spread=options.spread,
        timeout_s=options.timeout_s,
        stall_s=options.stall_s,
        ca_file=options.ca_file,
        insecure=options.insecure,
        headers=tuple(_header(text) for text in options.headers),
    )


def _header(text: str) -> Header:
    name, colon, value = text.partition(":")
    if not colon:
        raise LoadError("header: has no colon; allowed Name: value")  # and no echo of what may be a secret
    return name.strip(), value.strip()


def _extra_body(text: str | None) -> dict[str, Any]:
    try:
        fields = {} if text is None else json.loads(text)
    except ValueError as error:
        raise LoadError(f"extra_body: is not JSON ({error}); allowed one JSON object") from error
    if not isinstance(fields, dict):
        raise LoadError(f"extra_body: is a JSON {type(fields).__name__}; allowed one JSON object")
    return fields


def _selection(options: ReplayOptions) -> Selection:
    trace = read_trace(options.trace)
    return fit(window(trace.requests, options.offset, options.rows), options.max_model_len, options.too_long)


def _load(options: ReplayOptions, selection: Selection) -> Load:
    bursty = options.arrivals == "poisson" and options.burstiness != 1.0  # gamma is what a burstiness asks for
    process: Process = "gamma" if bursty else options.arrivals
    return Load(
        requests=selection.requests,
        arrivals=Arrivals(process, options.rate, options.burstiness, options.time_scale, options.end_rate),
        salt=secrets.token_hex(8) if options.salt is None else options.salt,
        duration_s=options.duration_s,
        count=options.count,
        seed=options.seed,
        order=options.order,
        warmup=options.warmup,
        endpoint=options.endpoint,
        drain_s=options.drain_s,
        goodput=parse_goodput(options.goodput),
        sessions=options.sessions,
        think_s=options.think_s,
        engine=options.engine,
        stream=options.stream,
        extra_body=_extra_body(options.extra_body),
        processes=options.processes,
    )


def _check_writable(out: str | None) -> None:
    """Find out before the load, not after it."""
    if out not in {None, "-"} and not os.access(Path(str(out)).parent, os.W_OK):
        raise LoadError(f"json: {out}: its folder cannot be written to; allowed a writable path or -")


def _write(out: str, document: dict[str, Any]) -> None:
    text = json.dumps(document, allow_nan=False) + "\n"
    if out == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise LoadError(f"json: {out}: cannot be written: {error.strerror}; allowed a writable path or -") from error


def _progress_line() -> Callable[[Progress], None]:
    """Return a hook that keeps one line on stderr up to date."""

    def show(progress: Progress) -> None:
        sys.stderr.write(
            f"\r{progress.elapsed_s:6.1f} s  sent {progress.sent}/{progress.planned}"
            f"  completed {progress.completed}  failed {progress.failed} "
        )
        sys.stderr.flush()

    return show


def _show(console: Console, measurement: Measurement, selection: Selection) -> None:
    metrics = measurement.metrics
    table = Table("latency, ms", "mean", "p50", "p90", "p95", "p99", title="from the scheduled time")
    for latency in LATENCIES:
        names = [f"{statistic}_{latency}_ms" for statistic in ("mean", "p50", "p90", "p95", "p99")]
        table.add_row(latency, *(f"{metrics[name]:.1f}" if name in metrics else "-" for name in names))
    console.print(table)
    for name in ("completed", "failed", "offered_rate", "request_throughput", "output_throughput", "request_goodput"):
        if name in metrics:
            console.print(f"{name} {metrics[name]:.6g}")
    for name, count in counts_of(measurement.replay.records).items():
        if count:
            console.print(f"{name} {count}")
    if selection.dropped or selection.clipped:
        console.print(f"longer than the model: {selection.dropped} dropped, {selection.clipped} clipped")
    for note in measurement.notes:
        console.print(f"note: {note}", markup=False)
    for reason in measurement.replay.audit.reasons:
        console.print(f"INVALID: {reason}", markup=False, style="bold red")
