"""Metrics of a running engine -> why not one request succeeded. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scoot_ray.engine.diagnose import Diagnosis
from scoot_ray.search.trial import FailureKind

_LOOK = "look at the log for what it waits for"


def stalled(samples: Sequence[Mapping[str, float]]) -> Diagnosis:
    """Return what an engine did that stayed alive and answered nothing, from its metrics during the load, oldest first.

    The keys are those of ``load.figures.server_metrics.NAMES``: requests ``running`` and ``waiting``, and the counter
    ``generation_tokens``. A step that hangs may be the machine's; a queue that nobody serves, and an engine too slow
    for any answer to end in its time, are the configuration's.
    """
    what = "no request succeeded"
    running, waiting = (
        max((sample.get(name, 0.0) for sample in samples), default=0.0) for name in ("running", "waiting")
    )
    counts = [sample["generation_tokens"] for sample in samples if "generation_tokens" in sample]
    generated = counts[-1] - counts[0] if len(counts) > 1 else 0.0
    if generated > 0:
        evidence = f"{what}, though {generated:.0f} tokens were generated: too slow for the load"
        return Diagnosis(FailureKind.STALLED, evidence, advice="a lower rate, or a longer workload.request_timeout_s")
    if running > 0:
        evidence = f"{what}: {running:.0f} requests ran and no token came"
        return Diagnosis(FailureKind.STALLED, evidence, advice=_LOOK, ambiguous=True)
    if waiting > 0:
        evidence = f"{what}: {waiting:.0f} requests waited and none was let in"
        return Diagnosis(FailureKind.STALLED, evidence, advice="more memory for the KV cache, or more sequences")
    return Diagnosis(FailureKind.STALLED, what, advice=_LOOK, ambiguous=True)
