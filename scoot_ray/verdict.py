"""What the confirmation proved: the promise per configuration, and whether the winner beats what runs today. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scoot_ray.confirm import Contestant, contestants, key
from scoot_ray.log import Log
from scoot_ray.noise import Noise
from scoot_ray.search import Config, Measured, Objective, Problem
from scoot_ray.study import Confirmation


@dataclass(frozen=True, slots=True)
class Promise:
    """One metric over the confirmation's runs.

    ``bound`` is the 95% prediction bound for a further run (None where one run cannot tell); ``worst`` is the paper's
    promise, the worst of the runs.
    """

    metric: str
    runs: tuple[float, ...]
    mean: float
    worst: float
    bound: float | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What the confirmation found of one contestant. ``failure`` says why it is out, if it is."""

    contestant: Contestant
    promises: Mapping[str, Promise]
    meets_slos: bool
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The winner's relative change of one metric against the reference, with its confidence interval.

    ``certain`` is "better" or "worse" where the interval is clear of zero.
    """

    metric: str
    relative: float
    low: float | None
    high: float | None
    certain: Literal["better", "worse", "no"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome. ``kind``: better; trade (one objective for the other); none (not beyond the noise)."""

    winner: Standing
    reference: Standing
    changes: tuple[Change, ...]
    kind: Literal["better", "trade", "none"]


def standings(problem: Problem, settings: Confirmation, log: Log) -> tuple[Standing, ...]:
    """What the confirmation has found so far of each contestant, in the order of ``contestants``."""
    everyone = contestants(problem, settings, log)
    runs = {key(contestant.config): _runs(log, contestant.config) for contestant in everyone}
    metrics = _promised_metrics(problem)
    noise = {metric: Noise.of([_values(group, metric) for group in runs.values()]) for metric, _ in metrics}
    return tuple(_standing(problem, contestant, runs[key(contestant.config)], noise, log) for contestant in everyone)


def verdict(problem: Problem, settings: Confirmation, log: Log) -> Verdict | None:
    """The best finalist against what runs today: the baseline if there is one, else the default.

    None while the confirmation cannot say: no finalist survived, or there is nothing to compare with.
    """
    found = standings(problem, settings, log)
    sound = [standing for standing in found if standing.failure is None]
    finalists = [standing for standing in sound if standing.contestant.role == "finalist"]
    reference = next(
        (one for role in ("baseline", "default") for one in sound if one.contestant.role == role),
        None,
    )
    if not finalists or reference is None:
        return None
    winner = max(finalists, key=lambda one: (one.meets_slos, _gain(problem.objectives, one, reference)))
    comparisons = len(finalists) * len(problem.objectives)
    groups = [_runs(log, standing.contestant.config) for standing in sound]
    changes = tuple(_change(objective, winner, reference, groups, comparisons) for objective in problem.objectives)
    return Verdict(winner, reference, changes, _kind(changes))


def _runs(log: Log, config: Config) -> list[Mapping[str, float]]:
    return [
        run
        for seen in log.confirmed
        if isinstance(seen.outcome, Measured) and key(seen.trial.config) == key(config)
        for run in seen.outcome.runs or (seen.outcome.metrics,)
    ]


def _standing(
    problem: Problem,
    contestant: Contestant,
    runs: Sequence[Mapping[str, float]],
    noise: Mapping[str, Noise],
    log: Log,
) -> Standing:
    promises = {}
    for metric, worse in _promised_metrics(problem):
        values = _values(runs, metric)
        if values:
            worst = max(values) if worse > 0 else min(values)
            bound = noise[metric].prediction_bound(values, worse)
            promises[metric] = Promise(metric, values, noise[metric].mean(values), worst, bound)
    meets = all(slo.metric in promises and slo.met({slo.metric: promises[slo.metric].worst}) for slo in problem.slos)
    return Standing(contestant, promises, meets, _failure(problem, contestant, runs, promises, log))


def _failure(
    problem: Problem,
    contestant: Contestant,
    runs: Sequence[Mapping[str, float]],
    promises: Mapping[str, Promise],
    log: Log,
) -> str | None:
    for seen in log.confirmed:
        if not isinstance(seen.outcome, Measured) and key(seen.trial.config) == key(contestant.config):
            return f"failed when measured again: {seen.outcome}"
    if contestant.role == "finalist" and any(run.get("error_rate", 0.0) > problem.max_error_rate for run in runs):
        return f"more than {problem.max_error_rate:.0%} of its requests failed when measured again"
    if any(objective.metric not in promises for objective in problem.objectives):
        return "not measured again"
    return None


def _promised_metrics(problem: Problem) -> list[tuple[str, int]]:
    """Metric and +1 where larger is worse: the objectives', then the SLOs'."""
    signs = {objective.metric: 1 if objective.direction == "minimize" else -1 for objective in problem.objectives}
    for slo in problem.slos:
        signs.setdefault(slo.metric, 1 if slo.is_ceiling else -1)
    return list(signs.items())


def _gain(objectives: Sequence[Objective], standing: Standing, reference: Standing) -> float:
    """How much better: the area of equation 11 on a log scale for two objectives, the log ratio for one.

    Where no area is positive the log ratios are added, which stays below every positive area's rank.
    """
    logs = []
    for objective in objectives:
        mine, theirs = standing.promises[objective.metric].mean, reference.promises[objective.metric].mean
        ratio = math.log(theirs / mine) if mine > 0 and theirs > 0 else theirs - mine
        logs.append(ratio if objective.direction == "minimize" else -ratio)
    if all(value > 0 for value in logs):
        return math.prod(logs) + 1e3
    return sum(logs)


def _change(
    objective: Objective,
    winner: Standing,
    reference: Standing,
    groups: Sequence[Sequence[Mapping[str, float]]],
    comparisons: int,
) -> Change:
    noise = Noise.of([_values(group, objective.metric) for group in groups])
    mine, theirs = winner.promises[objective.metric], reference.promises[objective.metric]
    relative = mine.mean / theirs.mean - 1 if theirs.mean else 0.0
    interval = noise.difference(mine.runs, theirs.runs, comparisons)
    if interval is None:
        return Change(objective.metric, relative, None, None, "no")
    low, high = interval
    up, down = ("worse", "better") if objective.direction == "minimize" else ("better", "worse")
    certain: Literal["better", "worse", "no"] = "no"
    if low > 0:
        certain = up  # type: ignore[assignment]  # a tuple of literals is widened to str
    elif high < 0:
        certain = down  # type: ignore[assignment]  # the same
    if noise.logarithmic:
        low, high = math.expm1(low), math.expm1(high)
    elif theirs.mean:
        low, high = low / theirs.mean, high / theirs.mean
    return Change(objective.metric, relative, low, high, certain)


def _kind(changes: Sequence[Change]) -> Literal["better", "trade", "none"]:
    certain = {change.certain for change in changes}
    if "better" not in certain:
        return "none"
    return "trade" if "worse" in certain else "better"


def _values(runs: Iterable[Mapping[str, float]], metric: str) -> tuple[float, ...]:
    return tuple(run[metric] for run in runs if metric in run)
