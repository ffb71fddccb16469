"""What a study will cost, and where its load is too small for what it asks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scoot_ray.load.capacity.probing import EVALUATION_PROBES
from scoot_ray.search import Problem
from scoot_ray.study import Study

START_S = {False: 45.0, True: 120.0}  # an engine start without and with GPUs, until one has been seen
SIMULATED_S = 1.5  # of one evaluation in virtual time, most of it the suggestion's
_SESSION_S = 15.0  # Ray's start
AROUND_LOAD_S = 10.0  # warm-up, drain and stop
_TAIL_REQUESTS = 5  # beyond a percentile: fewer make it a matter of luck
_PERCENTILE = re.compile(r"p(\d+)_")


@dataclass(frozen=True, slots=True)
class Estimate:
    """At most this many engine starts, seconds of wall-clock time and GPU-hours."""

    engine_starts: int
    time_s: float
    gpu_hours: float


def estimate(study: Study, confirmation_starts: int) -> Estimate:
    """Rough: a start is taken to last 45 s without GPUs and 120 s with; in virtual time nothing does."""
    if study.engine.in_virtual_time:
        starts = study.budget.observations + confirmation_starts
        return Estimate(starts, starts * SIMULATED_S / study.parallelism.asked + _SESSION_S, 0.0)
    search_s = study.budget.observations * evaluation_s(study)
    soak = study.confirmation.soak
    soaks_s = study.confirmation.finalists * (soak.duration_s - study.workload.duration_s) if soak is not None else 0.0
    busy_s = search_s + confirmation_starts * evaluation_s(study) + max(0.0, soaks_s)
    return Estimate(
        study.budget.observations + confirmation_starts,
        busy_s / study.parallelism.asked,
        busy_s * study.gpus / 3600,
    )


def evaluation_s(study: Study) -> float:
    """How long one evaluation may last, until one has been seen."""
    if study.engine.in_virtual_time:
        return SIMULATED_S
    loads = _loads(study)
    return START_S[study.gpus > 0] + loads * study.workload.duration_s + AROUND_LOAD_S


def _loads(study: Study) -> int:
    """Loads of one arrival order, at most."""
    return EVALUATION_PROBES if study.searches_rate else 1


def warnings(study: Study, problem: Problem) -> Iterator[str]:
    """Lines for the study's author."""
    arrivals = study.workload.arrivals
    metrics = {objective.metric for objective in problem.objectives} | {slo.metric for slo in problem.slos}
    rate = arrivals.mean_rate
    if rate is not None:
        requests = rate * study.workload.duration_s
        for metric in sorted(metrics):
            if match := _PERCENTILE.match(metric):
                needed = _TAIL_REQUESTS / (1 - int(match[1]) / 100)
                if requests < needed:
                    yield (
                        f"workload: about {requests:.0f} requests are too few for {metric}, which wants some "
                        f"{needed:.0f}; raise duration_s or the rate"
                    )
        if any(metric.startswith("request_throughput") for metric in metrics):
            yield (
                f"workload.arrivals.rate: throughput cannot exceed the {rate:g} requests/s offered; where the "
                "default already serves 98% of them the objective is flat"
            )
    if study.confirmation.finalists == 0:
        yield "confirmation.finalists: 0: nothing is measured again, so no SLO is promised"
