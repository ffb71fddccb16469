"""Reproductions and verifications as JSON documents: what ``--json`` prints. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from scoot_ray.journal import observation_to_json
from scoot_ray.load.client.target import Target
from scoot_ray.load.measure import Load, Measurement
from scoot_ray.rerun.agreement import Agreement
from scoot_ray.rerun.changes import Change
from scoot_ray.rerun.drift import Drift
from scoot_ray.rerun.endpoint import Endpoint
from scoot_ray.rerun.promises import Held, overall
from scoot_ray.resolve import Resolved
from scoot_ray.results.reading import Run
from scoot_ray.run_folder import STUDY, RunFolder
from scoot_ray.search import Failed, Observation


def reproduction_document(
    resolved: Resolved,
    folder: RunFolder,
    own: RunFolder,
    then: Observation,
    found: Sequence[Observation],
    compared: Sequence[Agreement],
    changed: Sequence[Change],
) -> dict[str, Any]:
    """All of it; ``metrics`` is empty where either side failed."""
    same, sentence = judged(then, found, compared)
    return {
        "schema_version": 1,
        "run": str(folder),
        "folder": str(own),
        "study": resolved.study.name,
        "simulated": resolved.study.engine.simulated,
        "trial": then.trial.id,
        "config": dict(then.trial.config),
        "orders": list(then.trial.orders),
        "seed": resolved.study.seed,
        "trace_sha256": resolved.trace.sha256,
        "repeats": len(found),
        "reproduced": same,
        "sentence": sentence,
        "then": observation_to_json(then),
        "now": [observation_to_json(seen) for seen in found],
        "metrics": [_metric(one) for one in compared],
        "changes": [asdict(change) for change in changed],
    }


def judged(then: Observation, found: Sequence[Observation], compared: Sequence[Agreement]) -> tuple[bool, str]:
    """Whether the trial came out the same, and why, in one line."""
    failures = [seen.outcome for seen in found if isinstance(seen.outcome, Failed)]
    times = f" in {len(failures)} of {len(found)} repeats" if len(found) > 1 else ""
    if isinstance(then.outcome, Failed):
        return _failed_again(then.outcome, failures, len(found), times)
    if failures:
        first = failures[0]
        return False, f"Not reproduced: it was measured, and failed now{times}: {first.kind}: {first.detail}"
    if not compared:
        return False, "Not reproduced: then and now have no metric of the objectives and SLOs in common."
    apart = [one.metric for one in compared if not one.within]
    if apart:
        return False, f"Not reproduced: {', '.join(apart)} differs by more than chance explains."
    return True, "Reproduced: every metric is within what chance explains."


def _failed_again(then: Failed, failures: Sequence[Failed], repeats: int, times: str) -> tuple[bool, str]:
    others = [failure for failure in failures if failure.kind is not then.kind]
    if not failures:
        return False, f"Not reproduced: it had failed ({then.kind}: {then.detail}), and did not now."
    if others:
        return False, f"Not reproduced: it had failed as {then.kind}, and failed as {others[0].kind} now."
    if len(failures) < repeats:
        return False, f"Not reproduced every time: it failed as {then.kind} again{times}."
    return True, f"Reproduced: it failed as {then.kind} again{times}."


def _metric(one: Agreement) -> dict[str, Any]:
    """Infinite ends of a range are null; ``then`` is one figure where it was measured."""
    low, high = map(_finite, one.then)
    return {
        "metric": one.metric,
        "then": low if low == high else [low, high],
        "now": one.now,
        "difference": one.difference,
        "interval": [_finite(one.interval[0]), _finite(one.interval[1])],
        "basis": list(one.basis),
        "within": one.within,
    }


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None


def verification_document(
    run: Run,
    target: Target,
    load: Load,
    measurement: Measurement,
    found: Sequence[Held],
    drifts: Sequence[Drift],
    endpoint: Endpoint,
    again: str | None,
) -> dict[str, Any]:
    """All of it; ``tune_again`` is the command where something has drifted that tuning cures."""
    asks = any(one.asks_to_tune for one in drifts)
    study = again or f"a copy of {run.folder.named(STUDY)} under another name"
    return {
        "schema_version": 1,
        "run": str(run.folder),
        "study": run.result["study"],
        "simulated": run.result["simulated"],
        "config": run.result["recommended"]["config"] if run.result["recommended"] else None,
        "endpoint": {"base_urls": list(target.base_urls), "model": target.model, "version": endpoint.version},
        "load": {**asdict(load.arrivals), "duration_s": load.duration_s, "order": load.order, "seed": load.seed},
        "trace_sha256": run.result["trace"]["sha256"],
        "verdict": overall(found),
        "holds": overall(found) == "holds",
        "checks": [_check(one) for one in found],
        "metrics": dict(measurement.metrics),
        "valid": measurement.replay.audit.valid,
        "invalid_because": list(measurement.replay.audit.reasons),
        "notes": [*measurement.notes, *_shortened(load, run.result["load"]["duration_s"])],
        "drift": [{"topic": one.topic, **asdict(one.change), "means": one.means} for one in drifts],
        "tune_again": f"scoot-ray tune {study}" if asks else None,
    }


def _shortened(load: Load, proved_s: float) -> Iterator[str]:
    if load.duration_s is not None and load.duration_s < proved_s:
        yield f"{load.duration_s:g} s of load where {proved_s:g} s were proved: queues had less time to grow"


def _check(one: Held) -> dict[str, Any]:
    limit = one.wanted.limit
    return {
        "kind": one.wanted.kind,
        "metric": limit.metric,
        "operator": limit.operator,
        "limit": limit.limit,
        "measured": one.value,
        "interval": None if one.interval is None else list(one.interval),
        "verdict": one.verdict,
        "sure": one.sure,
    }
