"""The ``replay`` verb: a trace against a live endpoint, figures to the screen and every request's times to JSON."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from scoot_ray.load.arrivals import Arrivals, Process
from scoot_ray.load.client.dialect import Engine
from scoot_ray.load.client.target import Header, Spread, Target
from scoot_ray.load.errors import LoadError
from scoot_ray.load.figures.bottleneck import explain
from scoot_ray.load.figures.goodput import parse_goodput
from scoot_ray.load.figures.intervals import intervals_of
from scoot_ray.load.figures.outputs import check_outputs, replay_document, vllm_result, write_json, write_records
from scoot_ray.load.figures.progress import progress_on
from scoot_ray.load.figures.tables import show
from scoot_ray.load.fleet import Processes
from scoot_ray.load.formats import read_trace
from scoot_ray.load.hooks import Hooks
from scoot_ray.load.measure import Load, run_replay
from scoot_ray.load.plan import Endpoint, Sessions
from scoot_ray.load.replay import DRAIN_S
from scoot_ray.load.selection import Selection, TooLong, fit, window
from scoot_ray.load.warmup import Warmup

DEFAULT_API_KEY_ENV = "OPENAI_API_KEY"


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What the user may say on the command line.

    ``json_out`` is a path, ``-`` for stdout, or None; ``records_out`` a path that ends in .jsonl or .parquet;
    ``result_out`` takes the result in the form of ``vllm bench serve --save-result``. ``api_key_env`` names the
    variable that holds the key; by default OPENAI_API_KEY where it is set. ``headers`` are ``Name: value``,
    ``extra_body`` is a JSON object. ``salt`` None draws a new one: the next replay meets no cached prefix.
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
    records_out: str | None = None
    result_out: str | None = None
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
    """Replay, print a table to stderr and write the files. Returns 0, or 1 where no request succeeded at all.

    Raises LoadError (TraceError for the trace) with one line for bad input.
    """
    console = Console(stderr=True, highlight=False)
    target, load, selection = prepare(options)
    check_outputs(options.json_out, options.records_out, options.result_out)
    with progress_on(console, "replaying") as on_progress:
        measurement = run_replay(target, load, Hooks(on_progress=on_progress))
    intervals, server = intervals_of(measurement.replay.records, options.seed), explain(measurement.server)
    show(console, measurement, selection, intervals, server)
    if options.json_out is not None:
        write_json(options.json_out, replay_document(measurement, intervals, server))
    if options.records_out is not None:
        write_records(options.records_out, measurement.replay.records)
    if options.result_out is not None:
        document = vllm_result(measurement, options.model, options.rate, options.burstiness)
        write_json(options.result_out, document, "save_result")
    return 0 if measurement.metrics["completed"] else 1


def prepare(options: ReplayOptions) -> tuple[Target, Load, Selection]:
    """What the options ask for, checked; nothing is sent. Raises LoadError as ``replay_command``."""
    target = _target(options)
    selection = _selection(options)
    return target, _load(options, selection), selection


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
