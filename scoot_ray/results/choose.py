"""``scoot-ray choose``: one configuration of a front, by SLOs, by weights, or at the knee. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoot_ray.results.candidates import Candidate, Offer, front
from scoot_ray.search import SLO, Objective


class NothingFits(Exception):  # noqa: N818 - says what is wrong
    """No configuration meets what was asked; the message says which comes nearest."""


class WrongWeights(ValueError):  # noqa: N818 - says what is wrong
    """Weights for what is no objective, or that weigh nothing."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the choice is to meet, and how it is made among what does.

    ``weights`` are by objective's metric or the latency's name; without them, and without ``knee``, the largest gain
    over today's configuration wins: for two objectives equation 11 on a log scale.
    """

    slos: Sequence[SLO] = ()
    weights: Mapping[str, float] | None = None
    knee: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """The configuration chosen, and why in one line."""

    candidate: Candidate
    why: str


def choose(offer: Offer, wish: Wish) -> Choice:
    """Choose among the confirmed, and only where none of them keeps the SLOs among the search's front.

    Raises:
        NothingFits: nothing was measured, or nothing keeps the SLOs.
        WrongWeights: a weight names no objective, or no weight is positive.
    """
    weights = None if wish.weights is None else _weights(wish.weights, offer.objectives)
    pool, others = list(offer.preferred), [] if not offer.confirmed else list(offer.searched)
    if not pool:
        raise NothingFits("nothing to choose from: no configuration was measured")
    fitting = _keeping(pool, wish.slos) or _keeping(others, wish.slos)
    if not fitting:
        raise NothingFits(_nearest(pool, wish.slos))
    ranked = front(fitting, offer.objectives)
    if not ranked:
        raise NothingFits("nothing to choose from: no configuration was measured on all objectives")
    chosen, rule = _pick(ranked, offer, weights, wish.knee)
    return Choice(chosen, _why(chosen, len(fitting), len(pool) + len(others), wish, rule))


def _pick(
    ranked: Sequence[Candidate], offer: Offer, weights: Mapping[str, float] | None, knee: bool
) -> tuple[Candidate, str]:
    if knee:
        return _knee(ranked, offer.objectives), "the knee of the front"
    standard = offer.today or ranked[0]
    if weights is not None:
        named = " ".join(f"{metric}={weight:g}" for metric, weight in weights.items())
        return max(ranked, key=lambda one: _weighted(one, standard, offer.objectives, weights)), f"weights {named}"
    return max(ranked, key=lambda one: _worth(_gains(one, standard, offer.objectives))), "the largest gain"


def _weights(given: Mapping[str, float], objectives: Sequence[Objective]) -> dict[str, float]:
    """By metric; an objective not named weighs nothing."""
    found = {objective.metric: 0.0 for objective in objectives}
    for name, weight in given.items():
        meant = [metric for metric in found if name == metric or f"_{name}_" in f"_{metric}_"]
        if len(meant) != 1:
            raise WrongWeights(f"--weights: {name!r} is none of the objectives: {', '.join(found)}")
        found[meant[0]] = weight
    if any(weight < 0 or not math.isfinite(weight) for weight in found.values()) or not any(found.values()):
        raise WrongWeights("--weights: allowed are numbers from 0 on, one of them above it")
    return found


def _keeping(candidates: Sequence[Candidate], slos: Sequence[SLO]) -> list[Candidate]:
    return [one for one in candidates if all(_kept(one, slo) for slo in slos)]


def _kept(candidate: Candidate, slo: SLO) -> bool:
    held = candidate.held(slo)
    return held is not None and bool(slo.met({slo.metric: held}))


def _nearest(candidates: Sequence[Candidate], slos: Sequence[SLO]) -> str:
    """The one line for a wish that nothing meets."""
    wanted = ", ".join(map(str, slos))
    missed = [(max(_missed_by(one, slo) for slo in slos), one) for one in candidates]
    distance, nearest = min(missed, key=lambda pair: pair[0])
    if math.isinf(distance):
        return f"no configuration keeps {wanted}: {_unmeasured(candidates, slos)}"
    figures = ", ".join(f"{slo.metric} {held:.4g}" for slo in slos if (held := nearest.held(slo)) is not None)
    own = " ".join(f"{name}={value}" for name, value in nearest.config.items())
    return f"no configuration keeps {wanted}; nearest is {nearest.label} ({own}) with {figures}, {_far(distance)}"


def _far(distance: float) -> str:
    return f"{distance:.0%} off" if distance < 2 else f"{distance:.3g} times the limit off"


def _unmeasured(candidates: Sequence[Candidate], slos: Sequence[SLO]) -> str:
    missing = [slo.metric for slo in slos if all(one.mean(slo.metric) is None for one in candidates)]
    return f"{missing[0]} was not measured" if missing else "too few runs to promise anything"


def _missed_by(candidate: Candidate, slo: SLO) -> float:
    """By how much of the limit an SLO is missed; 0 where it is kept, infinite where nothing can be said."""
    held = candidate.held(slo)
    if held is None:
        return math.inf
    return max(0.0, (held - slo.limit) * (1 if slo.is_ceiling else -1) / (abs(slo.limit) or 1.0))


def _gains(candidate: Candidate, standard: Candidate, objectives: Sequence[Objective]) -> list[float]:
    """Per objective, the log ratio in favour of the candidate; plain differences where logs cannot be."""
    gains = []
    for objective in objectives:
        mine, theirs = candidate.mean(objective.metric) or 0.0, standard.mean(objective.metric) or 0.0
        step = math.log(theirs / mine) if mine > 0 and theirs > 0 else theirs - mine
        gains.append(objective.sign * step)
    return gains


def _worth(gains: Sequence[float]) -> tuple[bool, float]:
    """Areas (equation 11) before what is no gain in some objective."""
    positive = all(gain > 0 for gain in gains)
    return positive, math.prod(gains) if positive else sum(gains)


def _weighted(
    candidate: Candidate, standard: Candidate, objectives: Sequence[Objective], weights: Mapping[str, float]
) -> float:
    gains = _gains(candidate, standard, objectives)
    return sum(weights[one.metric] * gain for one, gain in zip(objectives, gains, strict=True))


def _knee(ranked: Sequence[Candidate], objectives: Sequence[Objective]) -> Candidate:
    """The point of the front farthest from the line through its ends, on log axes scaled to the front."""
    if len(objectives) == 1 or len(ranked) == 1:
        return ranked[0]
    gains = [_gains(one, ranked[0], objectives) for one in ranked]
    lows = [min(column) for column in zip(*gains, strict=True)]
    spans = [max(column) - low or 1.0 for column, low in zip(zip(*gains, strict=True), lows, strict=True)]
    heights = [sum((gain - low) / span for gain, low, span in zip(one, lows, spans, strict=True)) for one in gains]
    return ranked[heights.index(max(heights))]


def _why(chosen: Candidate, fitting: int, all_: int, wish: Wish, rule: str) -> str:
    kept = f"{fitting} of {all_} configurations keep {', '.join(map(str, wish.slos))}; " if wish.slos else ""
    proof = (
        f"confirmed over {len(chosen.runs)} runs"
        if chosen.confirmed
        else "measured once in the search and not confirmed: expect it to be worse"
    )
    return f"{kept}by {rule}; {proof}"


def choice_document(choice: Choice, offer: Offer, wish: Wish, result: Mapping[str, Any]) -> dict[str, Any]:
    """The choice as JSON: configuration, figures beside today's, why."""
    metrics = dict.fromkeys([*(one.metric for one in offer.objectives), *(slo.metric for slo in wish.slos)])
    by_metric = {slo.metric: slo for slo in wish.slos}
    signs = {one.metric: one.sign for one in offer.objectives}
    figures = []
    for metric in metrics:
        slo = by_metric.get(metric) or SLO(metric, "<" if signs[metric] > 0 else ">", 0.0)
        mine, today = choice.candidate.mean(metric), offer.today.mean(metric) if offer.today else None
        figures.append(
            {
                "metric": metric,
                "mean": mine,
                "bound": choice.candidate.held(slo) if choice.candidate.confirmed else None,
                "today": today,
                "change": mine / today - 1 if mine is not None and today else None,
            }
        )
    return {
        "study": result["study"],
        "simulated": result["simulated"],
        "config": dict(choice.candidate.config),
        "label": choice.candidate.label,
        "confirmed": choice.candidate.confirmed,
        "figures": figures,
        "why": choice.why,
    }
