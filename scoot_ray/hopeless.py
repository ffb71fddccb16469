"""When an evaluation has lost: judged from where its load stands, on bounds that no continuation leaves. Pure.

It has lost where its errors are too many already, or where, in the best case still possible, an SLO is broken or the
objectives are beaten by what was measured before, each by a margin. The margin keeps what is near the best measured to
its end: there an exact figure is worth more to the search than the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scoot_ray.load.figures.bounds import Bounds, bounds_of, fastest_start_rate
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.runs import THROUGHPUTS
from scoot_ray.load.figures.standing import Standing
from scoot_ray.search import SLO, Bounded, Objective, Origin, Problem, Trial

MARGIN = 0.25
FASTER = 1.5
"""A growing queue is taken to be served at most so many times as fast as it ever was."""

_TO_THE_END = frozenset({Origin.DEFAULT, Origin.BASELINE, Origin.CONFIRMATION, Origin.SOAK})
_UNKNOWN = (-math.inf, math.inf)
ToBeat = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Rule:
    """What a study's evaluations are judged by. Build it with ``rule_of``."""

    objectives: tuple[Objective, ...]
    slos: tuple[SLO, ...]
    max_error_rate: float
    goodput: tuple[Limit, ...] = ()
    gpus: int = 0
    margin: float = MARGIN
    watches_queues: bool = True

    def judge(self, standing: Standing, to_beat: ToBeat) -> Bounded | None:
        """What is known of an evaluation that has lost, and why; None for one that may still win.

        ``to_beat`` are the objectives, in their units and order, of what was measured before and keeps the SLOs; where
        it is empty only errors end an evaluation. The bounds hold whatever came after; that a queue which grows will
        not be served 1.5 times as fast as it ever was is believed for the decision alone.
        """
        if not to_beat and not standing.failed:
            return None
        known = self._bounds(standing, math.inf)
        why = self._lost(known, to_beat)
        if why is None and to_beat and self.watches_queues:
            fastest = fastest_start_rate(standing)
            if fastest is not None:
                why = self._lost(self._bounds(standing, FASTER * fastest), to_beat)
                why = why and f"the queue grows without bound: {why}, even if served {FASTER:g} times as fast"
        return None if why is None else Bounded(known, why)

    def _bounds(self, standing: Standing, starts_per_s: float) -> Bounds:
        found = bounds_of(standing, self.max_error_rate, self.goodput, starts_per_s)
        shared = [name for name in THROUGHPUTS if self.gpus and name in found]
        return found | {f"{name}_per_gpu": (0.0, found[name][1] / self.gpus) for name in shared}

    def _lost(self, known: Bounds, to_beat: ToBeat) -> str | None:
        errors = known.get("error_rate", _UNKNOWN)[0]
        if errors > self.max_error_rate:
            return f"at least {errors:.1%} of all requests fail, {self.max_error_rate:.1%} may"
        if not to_beat:
            return None
        return self._breaks_slo(known) or self._is_beaten(known, to_beat)

    def _breaks_slo(self, known: Bounds) -> str | None:
        for slo in self.slos:
            best = known.get(slo.metric, _UNKNOWN)[0 if slo.is_ceiling else 1]
            if math.isfinite(best) and not slo.met({slo.metric: self._relaxed(best, slo.is_ceiling)}):
                return f"{_said(slo.metric, best, slo.is_ceiling)}, which breaks {slo}"
        return None

    def _is_beaten(self, known: Bounds, to_beat: ToBeat) -> str | None:
        """Beaten by one configuration on every objective."""
        signs = [objective.sign for objective in self.objectives]
        best = [known.get(one.metric, _UNKNOWN)[0 if one.sign > 0 else 1] for one in self.objectives]
        relaxed = [self._relaxed(value, sign > 0) for value, sign in zip(best, signs, strict=True)]
        for reached in to_beat:
            if all(sign * own > sign * other for sign, own, other in zip(signs, relaxed, reached, strict=True)):
                return ", ".join(
                    f"{_said(one.metric, value, one.sign > 0)} ({other:.4g} is reached)"
                    for one, value, other in zip(self.objectives, best, reached, strict=True)
                )
        return None

    def _relaxed(self, best: float, less_is_better: bool) -> float:
        """The best case, made better still by the margin."""
        return best / (1 + self.margin) if less_is_better else best * (1 + self.margin)


@dataclass(slots=True)
class Watch:
    """Follows one trial's load; ``lost`` is what is known of it once it has lost."""

    rule: Rule
    to_beat: ToBeat
    lost: Bounded | None = None

    def hopeless(self, standing: Standing) -> bool:
        """Whether it has lost."""
        if self.lost is None:
            self.lost = self.rule.judge(standing, self.to_beat)
        return self.lost is not None


def watch(rule: Rule | None, trial: Trial) -> Watch | None:
    """How a trial is watched; None for those that run to their end: the reference, and what proves the winner."""
    if rule is None or trial.origin in _TO_THE_END or len(trial.orders) != 1:
        return None
    return Watch(rule, trial.to_beat)


def rule_of(problem: Problem, goodput: Sequence[Limit], gpus: int) -> Rule:
    """The rule of a study's problem; ``gpus`` are those of the whole service."""
    return Rule(tuple(problem.objectives), tuple(problem.slos), problem.max_error_rate, tuple(goodput), gpus)


def _said(metric: str, best: float, less_is_better: bool) -> str:
    return f"{metric} is at {'least' if less_is_better else 'most'} {best:.4g}"
