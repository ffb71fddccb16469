"""The names of metrics: those of ``vllm bench serve``, and our own."""

from __future__ import annotations

from difflib import get_close_matches

from scoot_ray.search.errors import ObjectiveError

STATISTICS = ("mean", "median", "std", "p50", "p90", "p95", "p99")
LATENCIES = ("ttft", "tpot", "itl", "e2el")
PER_GPU = "_per_gpu"

METRICS: tuple[str, ...] = (
    "request_throughput",
    "output_throughput",
    "total_token_throughput",
    "request_goodput",
    *(f"{statistic}_{latency}_ms" for latency in LATENCIES for statistic in STATISTICS),
    "completed",
    "failed",
    "error_rate",
    "max_rate_under_slo",
)


def is_metric(name: str) -> bool:
    """Whether a name is one of METRICS, possibly with the suffix ``_per_gpu``."""
    return name.removesuffix(PER_GPU) in METRICS


def require_metric(name: str, where: str) -> str:
    """The name itself.

    Raises:
        ObjectiveError: no such metric; the message names the nearest.
    """
    if is_metric(name):
        return name
    near = get_close_matches(name, METRICS, n=1, cutoff=0.0)
    raise ObjectiveError(f"{where}: unknown metric {name!r}; did you mean {near[0]}? known: {', '.join(METRICS)}")
