"""Whether the winner of the confirmation beats what runs today. Pure; differences are taken within arrival orders."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from scoot_ray.inference import Difference, Floats, difference, log_ratios, resampled
from scoot_ray.log import Log
from scoot_ray.looks import error_at
from scoot_ray.search import Objective, Problem
from scoot_ray.standing import Standing, bounds, promised_metrics, slos_open, standings, survivors
from scoot_ray.study import Confirmation

Certainty: TypeAlias = Literal["better", "worse", "no"]
Kind: TypeAlias = Literal["better", "trade", "none"]

INDIFFERENT = 0.02
"""A relative difference that nobody would change a service for."""
_RIVAL = 0.05
_AREA_FIRST = 1e3


@dataclass(frozen=True, slots=True)
class Change:
    """The winner's relative change of one metric against the reference, with its confidence interval.

    ``certain`` is "better" or "worse" where the interval is clear of zero.
    """

    metric: str
    relative: float
    low: float | None
    high: float | None
    certain: Certainty


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best finalist against what runs today.

    ``kind``: better; trade (one objective for the other); none (not beyond the noise, or it breaks an SLO that today's
    configuration keeps). ``chosen`` is the one to use: the winner where it is better, or where a trade gains more than
    it costs, else the reference. ``rivals`` are finalists that might as well have won.
    """

    winner: Standing
    reference: Standing
    changes: tuple[Change, ...]
    kind: Kind
    chosen: Standing
    rivals: tuple[Standing, ...] = ()


def verdict(problem: Problem, settings: Confirmation, log: Log) -> Verdict | None:
    """The best finalist against what runs today: the baseline if there is one, else the default.

    Intervals allow for the looks (``scoot_ray.looks``), and for as many comparisons as finalists and metrics make
    (Bonferroni); a finalist that did not survive its soak has been compared, too. None while the confirmation cannot
    say: no finalist survived, or there is nothing to compare with.
    """
    found = standings(problem, settings, log)
    sound = survivors(found)
    finalists = [standing for standing in sound if standing.contestant.role == "finalist"]
    today = [one for role in ("baseline", "default") for one in sound if one.contestant.role == role]
    if not finalists or not today:
        return None
    reference = today[0]
    winner = max(finalists, key=lambda one: (one.meets_slos, gain(problem.objectives, one, reference)))
    signs = promised_metrics(problem)
    orders = max(order for promise in reference.promises.values() for order in promise.orders)
    compared = len(finalists) + sum(one.soak is not None and one.failure is not None for one in found)
    error = error_at(settings, orders) / (compared * len(signs))
    changes = {metric: _change(metric, worse, winner, reference, error) for metric, worse in signs.items()}
    wanted = tuple(changes[objective.metric] for objective in problem.objectives)
    kind = _kind(problem, changes, winner, reference)
    wins = kind == "better" or (kind == "trade" and gain(problem.objectives, winner, reference) > 0)
    rivals = tuple(one for one in finalists if one is not winner and _may_win(problem, one, winner, reference))
    return Verdict(winner, reference, wanted, kind, winner if wins else reference, rivals)


def to_use(decided: Verdict | None, found: Sequence[Standing]) -> Standing | None:
    """Whose configuration to recommend: the verdict's choice; without a verdict the first that was measured again."""
    if decided is not None:
        return decided.chosen
    sound = survivors(found) if any(standing.promises for standing in found) else ()
    return sound[0] if sound else None


def gain(objectives: Sequence[Objective], standing: Standing, reference: Standing) -> float:
    """How much better, order by order: equation 11's area on a log scale, or for one objective the log ratio.

    Where no area is positive the log ratios are added; the constant keeps every such sum below every area.
    """
    found = _gains(objectives, standing, reference, sorted(_shared(objectives, standing, reference)))
    return float(_worth(found.mean(axis=0))) if len(found) else -math.inf


def _kind(problem: Problem, changes: Mapping[str, Change], winner: Standing, reference: Standing) -> Kind:
    """SLOs decide first: keeping one that today's configuration breaks is better, breaking one that it keeps is not.

    Keeping one counts where the difference that makes it is no accident.
    """
    if reference.meets_slos and not winner.meets_slos:
        return "none"
    if winner.meets_slos and not reference.meets_slos:
        broken = [slo.metric for slo in problem.slos if not slo.met(bounds(reference.promises))]
        if any(changes[metric].certain == "better" for metric in broken):
            return "better"
    objectives = [changes[objective.metric] for objective in problem.objectives]
    if all(change.certain != "better" for change in objectives):
        return "none"
    return "trade" if any(_costs_more(problem, change) for change in objectives) else "better"


def _costs_more(problem: Problem, change: Change) -> bool:
    """Whether an objective became worse, certainly or by more than anybody would overlook."""
    return change.certain == "worse" or change.relative * promised_metrics(problem)[change.metric] > INDIFFERENT


def _difference(metric: str, standing: Standing, reference: Standing, error: float) -> Difference | None:
    if metric not in standing.promises or metric not in reference.promises:
        return None
    return difference(standing.promises[metric].by_order, reference.promises[metric].by_order, error)


def _change(metric: str, worse: int, winner: Standing, reference: Standing, error: float) -> Change:
    found = _difference(metric, winner, reference, error)
    if found is None:
        return Change(metric, 0.0, None, None, "no")
    if found.interval is None:
        return Change(metric, found.relative, None, None, "no")
    low, high = found.interval
    certain: Certainty = "no"
    if low > 0:
        certain = "worse" if worse > 0 else "better"
    elif high < 0:
        certain = "better" if worse > 0 else "worse"
    return Change(metric, found.relative, low, high, certain)


def _shared(objectives: Sequence[Objective], *standings: Standing) -> set[int]:
    """Arrival orders under which all of them have all objectives."""
    orders = [set(one.promises[objective.metric].orders) for one in standings for objective in objectives]
    return set.intersection(*orders)


def _gains(objectives: Sequence[Objective], standing: Standing, reference: Standing, orders: Sequence[int]) -> Floats:
    """Log ratios in favour of ``standing``, shape (orders, objectives); plain differences where logs cannot be."""
    columns = []
    for objective in objectives:
        mine, theirs = (
            {at: value for at, value in one.promises[objective.metric].by_order.items() if at in orders}
            for one in (standing, reference)
        )
        ratios = log_ratios(mine, theirs)
        plain = np.array([mine[at] - theirs[at] for at in orders])
        columns.append(-objective.sign * (plain if ratios is None else ratios))
    return np.stack(columns, axis=1)


def _worth(gains: Floats) -> Floats:
    """Gains (…, objectives) -> (…)."""
    areas = np.prod(gains, axis=-1) + _AREA_FIRST
    worth: Floats = np.where(np.all(gains > 0, axis=-1), areas, np.sum(gains, axis=-1))
    return worth


def _may_win(problem: Problem, other: Standing, winner: Standing, reference: Standing) -> bool:
    """Whether ``other`` gains more than the winner in more than one of twenty draws of arrival orders."""
    if winner.meets_slos and not other.meets_slos and not slos_open(problem, other):
        return False
    orders = sorted(_shared(problem.objectives, other, winner, reference))
    if not orders:
        return False
    both = [_gains(problem.objectives, one, reference, orders) for one in (other, winner)]
    width = len(problem.objectives)
    drawn = resampled(np.concatenate(both, axis=1))
    return float(np.mean(_worth(drawn[:, :width]) > _worth(drawn[:, width:]))) > _RIVAL
