"""Whether what a run promises of its recommended configuration holds in another measurement. Pure.

Two things are asked of a metric: the SLO, where there is one, and the promise, which is a bound that one further run
under a new arrival order exceeds with 5% (``scoot_ray.standing``). The measured figure itself is judged, as the bound
is one for figures and not for means; its interval over requests says how narrowly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from scoot_ray.load.capacity.decision import MAX_ERROR_RATE
from scoot_ray.load.figures.intervals import Interval
from scoot_ray.search import SLO, Metrics
from scoot_ray.study import MAX_RATE

Verdict: TypeAlias = Literal["holds", "broken", "invalid"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that must hold: ``kind`` promise or slo, as the comparison that it is."""

    kind: Literal["promise", "slo"]
    limit: SLO


@dataclass(frozen=True, slots=True)
class Held:
    """What was measured of it. ``value`` is None where no request succeeded; ``sure``: the interval is on one side."""

    wanted: Wanted
    value: float | None
    interval: Interval | None
    verdict: Verdict
    sure: bool


def wanted_of(result: Mapping[str, Any]) -> tuple[Wanted, ...]:
    """The SLOs, then the bounds promised of the recommended configuration; empty where neither was proved nor asked.

    A limit of the error rate is among them in any case: a service that drops requests looks fast. No bound of it is,
    since a few runs without a failure do not promise that there is never one. ``max_rate_under_slo`` takes a search of
    its own (``scoot-ray capacity``) and is left out.
    """
    slos = [SLO.parse(text) for text in result["slos"]]
    bounds = [bound for bound in _bounds(result, slos) if bound.metric != "error_rate"]
    found = [*(Wanted("slo", slo) for slo in slos), *(Wanted("promise", bound) for bound in bounds)]
    kept = [one for one in found if not one.limit.metric.startswith(MAX_RATE)]
    if kept and not any(one.kind == "slo" and one.limit.metric == "error_rate" for one in kept):
        kept.append(Wanted("slo", SLO("error_rate", "<=", MAX_ERROR_RATE)))
    return tuple(kept)


def held(
    wanted: Sequence[Wanted], metrics: Metrics, intervals: Mapping[str, Interval], *, valid: bool
) -> tuple[Held, ...]:
    """Judge each against a measurement; ``valid`` is False where the client was late, which measures nothing."""
    return tuple(_held(one, metrics, intervals.get(one.limit.metric), valid) for one in wanted)


def overall(found: Sequence[Held]) -> Verdict:
    """All of it in one word."""
    verdicts = {one.verdict for one in found}
    return "invalid" if "invalid" in verdicts else "broken" if "broken" in verdicts else "holds"


def promised_orders(result: Mapping[str, Any]) -> tuple[int, ...]:
    """The arrival orders of the confirmation: a fresh replay takes another."""
    return tuple(sorted({run["order"] for one in result["confirmation"] for run in one["runs"]}))


def _bounds(result: Mapping[str, Any], slos: Sequence[SLO]) -> Iterator[SLO]:
    """What is promised, as comparisons; nothing where the recommended configuration was not measured again."""
    recommended = result["recommended"]
    if recommended is None or not recommended["confirmed"]:
        return
    floors = {one["metric"] for one in result["objectives"] if one["direction"] == "maximize"}
    floors |= {slo.metric for slo in slos if not slo.is_ceiling}
    standing = next((one for one in result["confirmation"] if one["config"] == recommended["config"]), None)
    for promise in standing["promises"] if standing is not None else ():
        if promise["bound"] is not None:
            yield SLO(promise["metric"], ">=" if promise["metric"] in floors else "<=", promise["bound"])


def _held(wanted: Wanted, metrics: Metrics, interval: Interval | None, valid: bool) -> Held:
    value = metrics.get(wanted.limit.metric)
    if not valid:
        return Held(wanted, value, interval, "invalid", sure=False)
    verdict: Verdict = "holds" if wanted.limit.met(metrics) else "broken"
    sure = value is None or (interval is not None and not interval[0] <= wanted.limit.limit <= interval[1])
    return Held(wanted, value, interval, verdict, sure)
