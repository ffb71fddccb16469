"""The load that a study offers: the same for an evaluation and for whoever measures its promise elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from scoot_ray.load.arrivals import Arrivals
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.measure import Load
from scoot_ray.load.trace import Request
from scoot_ray.serving import dialect_of
from scoot_ray.study import Study


def load_of(study: Study, requests: Sequence[Request], order: int, salt: str, goodput: Sequence[Limit]) -> Load:
    """One arrival order of the study's workload over ``requests``; ``salt`` is as in ``Load``."""
    workload = study.workload
    arrivals = workload.arrivals
    return Load(
        tuple(requests),
        Arrivals(arrivals.process, arrivals.rate, arrivals.burstiness, arrivals.time_scale, arrivals.end_rate),
        salt=salt,
        duration_s=workload.duration_s,
        seed=study.seed,
        order=order,
        warmup=workload.warmup,
        drain_s=workload.request_timeout_s,
        goodput=tuple(goodput),
        sessions=workload.sessions,
        think_s=workload.think_s,
        engine=dialect_of(study),
    )
