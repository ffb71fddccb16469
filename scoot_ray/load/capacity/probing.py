"""One probe of a search for the highest rate: a load at that rate, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scoot_ray.load.capacity.decision import Probe, RateSearch, Try, judge
from scoot_ray.load.client.target import Target
from scoot_ray.load.figures.intervals import intervals_of
from scoot_ray.load.hooks import NO_HOOKS, Hooks
from scoot_ray.load.measure import Load, Measurement, run_replay
from scoot_ray.load.warmup import ROUND_CALLS
from scoot_ray.search.objectives import SLO

EVALUATION_PROBES = 8
"""Loads of one arrival order, at most, where a study asks for ``max_rate_under_slo``; its own load is the first."""

EVALUATION_PRECISION = 0.1
"""How far apart, relatively, the rates of two such searches may end by their steps alone."""

_EVALUATION_REACH = 64.0  # times the study's rate
ORDERS_APART = 1000  # a repeat's arrival order is none that a study's confirmation uses


def evaluation_search(rate: float, duration_s: float) -> RateSearch:
    """The search within one evaluation, from the study's ``rate`` in requests per second."""
    highest = rate * _EVALUATION_REACH
    return RateSearch(rate, highest, duration_s, EVALUATION_PRECISION, max_probes=EVALUATION_PROBES)


def probe_rate(
    target: Target, load: Load, step: Try, slos: Sequence[SLO], hooks: Hooks = NO_HOOKS, *, warm: bool = True
) -> tuple[Probe, Measurement]:
    """Offer the load at the step's rate: with new prompts and, for a repeat, new arrivals.

    A ``warm`` engine gets a short warm-up instead of the load's own. Raises LoadError as ``run_replay`` and ``judge``.
    """
    at_rate = replace(
        load,
        arrivals=replace(load.arrivals, rate=step.rate),
        order=load.order + ORDERS_APART * step.repeat,
        salt=f"{load.salt}/{step.rate!r}/{step.repeat}",
        warmup=ROUND_CALLS if warm else load.warmup,
    )
    measurement = run_replay(target, at_rate, hooks)
    return judged(measurement, step.rate, slos), measurement


def judged(measurement: Measurement, rate: float, slos: Sequence[SLO]) -> Probe:
    """The probe that a measurement at a rate is."""
    intervals = intervals_of(measurement.replay.records)
    return judge(rate, measurement.metrics, intervals, slos, measurement.replay.audit.reasons)
