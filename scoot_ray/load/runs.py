"""Metrics of several runs of one configuration, and per GPU. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

THROUGHPUTS = (
    *("request_throughput", "output_throughput", "total_token_throughput", "request_goodput"),
    "max_rate_under_slo",
)


def mean_of(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of every metric over the runs that have it."""
    names = {name: None for run in runs for name in run}
    values = {name: [run[name] for run in runs if name in run] for name in names}
    return {name: sum(found) / len(found) for name, found in values.items()}


def with_per_gpu(metrics: Mapping[str, float], gpus: int) -> dict[str, float]:
    """The metrics, and throughputs divided by all GPUs of the service as ``…_per_gpu``, where it has some."""
    per_gpu = {f"{name}_per_gpu": metrics[name] / gpus for name in THROUGHPUTS if gpus and name in metrics}
    return {**metrics, **per_gpu}
