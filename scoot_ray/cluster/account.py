"""What is made of an evaluation's loads: its metrics, and the notes on how they were sent and what bound the engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scoot_ray.engine.gpus import NoAnswer, installed_gpus
from scoot_ray.load.capacity.decision import Capacity
from scoot_ray.load.figures.bottleneck import Limits, explain
from scoot_ray.load.figures.intervals import intervals_of
from scoot_ray.load.measure import Measurement


def phases_of(measurement: Measurement) -> dict[str, float]:
    """Seconds of each phase of a load, by the names of an observation's timings."""
    replay = measurement.replay
    return {"warmup_s": measurement.warmup.duration_s, "load_s": replay.load_s, "drain_s": replay.drain_s}


def limits_of(flags: Mapping[str, object], replicas: int) -> Limits:
    """The limits that the flags of one engine set, over all replicas; a step's token budget is each engine's own."""
    engines = replicas * (_positive(flags.get("data_parallel_size")) or 1)
    sequences = _positive(flags.get("max_num_seqs"))
    return Limits(sequences and sequences * engines, _positive(flags.get("max_num_batched_tokens")))


def account_of_load(measurement: Measurement, limits: Limits) -> dict[str, Any]:
    """Notes, the client's judgement of itself, the engine's own figures with what bound it, intervals over requests."""
    audit, server = measurement.replay.audit, explain(measurement.server, limits)
    return {
        "notes": list(measurement.notes),
        "send_lateness_p99_ms": audit.send_lateness_p99_ms,
        "loop_lag_p99_ms": audit.loop_lag_p99_ms,
        "receive_lag_p99_ms": audit.receive_lag_p99_ms,
        "client_cpu_share": audit.client_cpu_share,
        "client_processes": audit.client_processes,
        "bound_by": None if server is None else server.bound_by,
        "because": "the engine has no /metrics" if server is None else server.because,
        "server": {} if server is None else dict(server.figures),
        "intervals": intervals_of(measurement.replay.records),
    }


def account_of_search(capacity: Capacity) -> dict[str, Any]:
    """The rates tried and the answer."""
    return {
        "sentence": capacity.sentence,
        "limited_by": capacity.limited_by,
        "probes": [
            {"rate": probe.rate, "verdict": probe.verdict, "sure": probe.sure, "why": list(probe.why)}
            for probe in capacity.probes
        ],
    }


def gpus_here() -> list[str] | None:
    """The name and driver of each of this node's GPUs; None where nobody says."""
    try:
        return [f"{gpu.name}, driver {gpu.driver}" for gpu in installed_gpus()] or None
    except NoAnswer:
        return None


def _positive(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
