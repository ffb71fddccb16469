"""``scoot-ray verify``: whether a promise holds on a live endpoint, and whether it is time to tune again.

The run's trace is replayed as its evaluations did, under an arrival order that none of them has met. Nothing is started
or reset: the endpoint is measured as it stands in production, beside whatever else it serves.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from rich.console import Console

from scoot_ray.cluster.account import gpus_here
from scoot_ray.cluster.offer import load_of
from scoot_ray.load.client.target import Target
from scoot_ray.load.errors import LoadError
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.intervals import Interval, intervals_of, share_interval
from scoot_ray.load.figures.progress import progress_on
from scoot_ray.load.figures.runs import with_per_gpu
from scoot_ray.load.formats import read_trace
from scoot_ray.load.hooks import Hooks
from scoot_ray.load.measure import Load, Measurement, run_replay
from scoot_ray.load.selection import fit, window
from scoot_ray.load.trace import Request
from scoot_ray.problem import limits_of
from scoot_ray.rerun.changes import Change
from scoot_ray.rerun.documents import verification_document
from scoot_ray.rerun.drift import Drift, hardware_drifts, service_drifts
from scoot_ray.rerun.endpoint import Endpoint, ask
from scoot_ray.rerun.promises import Wanted, held, promised_orders, wanted_of
from scoot_ray.rerun.traffic import rate_changes, rate_of, shape_of, traffic_changes
from scoot_ray.results.reading import Run
from scoot_ray.run_folder import STUDY
from scoot_ray.search import SLO
from scoot_ray.serving import kind_of, served_name
from scoot_ray.storage import absolute, is_uri
from scoot_ray.study import Study, StudyError, read_study

_STEADY = ("poisson", "gamma", "constant")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_AGAIN = "again.yaml"


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What the user may say. ``model`` None: the one that is served; ``trace`` is today's traffic, to compare with."""

    base_urls: tuple[str, ...]
    model: str | None = None
    api_key_env: str | None = None
    rate: float | None = None
    duration_s: float | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class _Proved:
    """A run's study, what must hold of its result, and the rows that were replayed."""

    study: Study
    result: Mapping[str, Any]
    wanted: tuple[Wanted, ...]
    requests: tuple[Request, ...]


def verify(run: Run, options: VerifyOptions, console: Console) -> dict[str, Any]:
    """Measure the endpoint and compare; where it is time to tune again, a study for that is left in the run's folder.

    Raises:
        LoadError, StudyError: one line: what of the run, the options or the endpoint cannot be used.
    """
    proved = _proved(run)
    load, today = _load(proved, options), _today(options)
    kind = kind_of(proved.study)
    key = _api_key(options)
    endpoint = ask(Target(options.base_urls, options.model or "unknown", key, metrics_path=kind.metrics), kind.version)
    model = _model(endpoint, options.model, served_name(proved.study))
    timeout_s = proved.study.workload.request_timeout_s
    target = Target(options.base_urls, model, key, timeout_s=timeout_s, metrics_path=kind.metrics)
    drifts = tuple(_drifts(run, proved, options, endpoint, model, today))
    with progress_on(console, "replaying") as on_progress:
        measurement = run_replay(target, load, Hooks(on_progress=on_progress))
    found = held(
        proved.wanted,
        with_per_gpu(measurement.metrics, proved.study.gpus),
        _intervals(measurement),
        valid=measurement.replay.audit.valid,
    )
    again = _again(run, proved, options, today) if any(one.asks_to_tune for one in drifts) else None
    return verification_document(run, target, load, measurement, found, drifts, endpoint, again)


def _proved(run: Run) -> _Proved:
    wanted = wanted_of(run.result)
    if not wanted:
        raise StudyError(
            f"{run.folder}: promises nothing: no configuration was confirmed, and the study has no slos; "
            "confirmation.finalists of at least 1 makes a promise"
        )
    study = read_study(run.folder.study)
    workload, proved = study.workload, run.result["trace"]["sha256"]
    trace = read_trace(workload.trace)
    if trace.sha256 != proved:
        raise StudyError(
            f"{run.folder.named(STUDY)}: workload.trace: {workload.trace}: is not the file that was proved with"
        )
    rows = window(trace.requests, workload.skip_rows, workload.rows)
    longest = run.result["engine"]["max_model_len"]
    return _Proved(study, run.result, wanted, fit(rows, longest, workload.too_long).requests)


def _load(proved: _Proved, options: VerifyOptions) -> Load:
    """What the evaluations offered, under an order and with prompts of its own."""
    order = max(promised_orders(proved.result), default=0) + 1
    slos = [SLO.parse(text) for text in proved.study.slos]
    goodput: Sequence[Limit] = limits_of(slos)
    load = load_of(proved.study, proved.requests, order, secrets.token_hex(8), goodput)
    if options.rate is not None:
        if load.arrivals.process not in _STEADY:
            raise LoadError(f"rate: {options.rate:g}: the run's arrivals are {load.arrivals.process}; leave it out")
        load = replace(load, arrivals=replace(load.arrivals, rate=options.rate))
    return load if options.duration_s is None else replace(load, duration_s=options.duration_s)


def _today(options: VerifyOptions) -> tuple[Request, ...] | None:
    return None if options.trace is None else read_trace(options.trace).requests


def _api_key(options: VerifyOptions) -> str | None:
    if options.api_key_env is None:
        return None
    key = os.environ.get(options.api_key_env, "").strip()
    if not key:
        raise LoadError(f"api_key_env: {options.api_key_env} is not set; allowed the name of a variable with the key")
    return key


def _model(endpoint: Endpoint, asked: str | None, proved: str) -> str:
    """The name asked for, else the one proved; else the only one that is served. A list that is not told is no bar."""
    names = [one.name for one in endpoint.models]
    wanted = asked or proved
    if wanted in names or not names:
        return wanted
    if asked is None and len(names) == 1:
        return names[0]
    raise LoadError(f"model: {wanted} is not served here; name one of {', '.join(names)} with --model")


def _intervals(measurement: Measurement) -> dict[str, Interval]:
    """By bootstrap over the requests; of the error rate the exact one."""
    metrics = measurement.metrics
    found = intervals_of(measurement.replay.records)
    share = share_interval(int(metrics["failed"]), int(metrics["failed"] + metrics["completed"]))
    return found if share is None else {**found, "error_rate": share}


def _drifts(
    run: Run,
    proved: _Proved,
    options: VerifyOptions,
    endpoint: Endpoint,
    model: str,
    today: tuple[Request, ...] | None,
) -> Iterator[Drift]:
    yield from service_drifts(proved.result, served_name(proved.study), endpoint, model)
    if _here(options.base_urls):
        yield from hardware_drifts(run.folder.circumstances.get("gpus"), gpus_here())
    rate = _rate_proved(proved)
    if options.rate is not None and options.rate != rate:
        yield Drift("load", Change("requests per second (--rate)", f"{rate or 0:.3g}", f"{options.rate:.3g}"))
    if today is not None:
        changes = [*traffic_changes(shape_of(proved.requests), shape_of(today)), *rate_changes(rate, rate_of(today))]
        yield from (Drift("traffic", change) for change in changes)


def _rate_proved(proved: _Proved) -> float | None:
    arrivals = proved.study.workload.arrivals
    if arrivals.mean_rate is not None:
        return arrivals.mean_rate
    recorded = rate_of(proved.requests)
    return None if recorded is None else recorded * arrivals.time_scale


def _here(base_urls: Sequence[str]) -> bool:
    """Whether the endpoint runs on this machine, whose GPUs can be looked at."""
    return all(urlsplit(url).hostname in _LOOPBACK for url in base_urls)


def _again(run: Run, proved: _Proved, options: VerifyOptions, today: tuple[Request, ...] | None) -> str | None:
    """Write the study to tune again with: today's trace and rate, warmed by this run. None where it cannot be."""
    study = proved.study
    workload = study.workload.model_dump(mode="json", exclude_none=True)
    rate = options.rate or (None if today is None else rate_of(today))
    if options.trace is not None:
        workload = {**workload, "trace": str(Path(options.trace).absolute()), "skip_rows": 0}
        workload.pop("rows", None)
    if rate is not None and study.workload.arrivals.process in _STEADY:
        workload["arrivals"]["rate"] = rate
    document = {
        **study.model_dump(mode="json", exclude_none=True),
        "name": f"{study.name[:58]}-again",
        "workload": workload,
        "warm_start": [absolute(str(run.folder))],
    }
    with suppress(OSError):  # somebody else's run: then the drifts alone are said
        run.folder.write_text(_AGAIN, yaml.safe_dump(document, sort_keys=False))
        named = run.folder.named(_AGAIN)
        return f"a copy of {named}" if is_uri(named) else named
    return None
