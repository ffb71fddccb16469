"""What the confirmation proved: the promise per configuration, and whether the winner beats what runs today. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scoot_ray.confirm import Contestant, Key, contestants, key
from scoot_ray.log import Log
from scoot_ray.noise import Noise
from scoot_ray.search import Measured, Objective, Problem
from scoot_ray.study import Confirmation

Run: TypeAlias = Mapping[str, float]
Start: TypeAlias = tuple[Run, ...]
Certainty: TypeAlias = Literal["better", "worse", "no"]
Kind: TypeAlias = Literal["better", "trade", "none"]


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

    @property
    def held(self) -> float:
        """What is promised: the bound, or the worst run where there is none."""
        return self.worst if self.bound is None else self.bound


@dataclass(frozen=True, slots=True)
class Standing:
    """What the confirmation found of one contestant.

    ``meets_slos`` judges what is promised, not the mean. ``failure`` says why the contestant is out, if it is.
    """

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
    certain: Certainty


@dataclass(frozen=True, slots=True)
class Verdict:
    """The best finalist against what runs today.

    ``kind``: better; trade (one objective for the other); none (not beyond the noise, or it breaks an SLO that today's
    configuration keeps). ``chosen`` is the one to use: the winner where it is better, or where a trade gains more than
    it costs, else the reference.
    """

    winner: Standing
    reference: Standing
    changes: tuple[Change, ...]
    kind: Kind
    chosen: Standing


def standings(problem: Problem, settings: Confirmation, log: Log) -> tuple[Standing, ...]:
    """What the confirmation has found so far of each contestant, in the order of ``contestants``."""
    everyone = contestants(problem, settings, log)
    starts = _starts(log, everyone)
    noise = {metric: Noise.of(_by_run(starts.values(), metric)) for metric, _ in _promised_metrics(problem)}
    return tuple(_standing(problem, one, starts[key(one.config)], noise, log) for one in everyone)


def survivors(found: Iterable[Standing]) -> tuple[Standing, ...]:
    """Those that may be recommended, finalists first, in the search's order."""
    sound = [standing for standing in found if standing.failure is None]
    return tuple(sorted(sound, key=lambda standing: standing.contestant.role != "finalist"))


def verdict(problem: Problem, settings: Confirmation, log: Log) -> Verdict | None:
    """The best finalist against what runs today: the baseline if there is one, else the default.

    None while the confirmation cannot say: no finalist survived, or there is nothing to compare with.
    """
    sound = survivors(standings(problem, settings, log))
    finalists = [standing for standing in sound if standing.contestant.role == "finalist"]
    today = [one for role in ("baseline", "default") for one in sound if one.contestant.role == role]
    if not finalists or not today:
        return None
    reference = today[0]
    winner = max(finalists, key=lambda one: (one.meets_slos, _gain(problem.objectives, one, reference)))
    starts = _starts(log, [standing.contestant for standing in sound])
    comparisons = len(finalists) * len(problem.objectives)
    changes = tuple(_change(objective, winner, reference, starts, comparisons) for objective in problem.objectives)
    kind = _kind(changes, winner, reference)
    wins = kind == "better" or (kind == "trade" and _gain(problem.objectives, winner, reference) > 0)
    return Verdict(winner, reference, changes, kind, winner if wins else reference)


def _kind(changes: Sequence[Change], winner: Standing, reference: Standing) -> Kind:
    """SLOs decide first: keeping one that today's configuration breaks is better, breaking one that it keeps is not."""
    if winner.meets_slos != reference.meets_slos:
        return "better" if winner.meets_slos else "none"
    certain = {change.certain for change in changes}
    if "better" not in certain:
        return "none"
    return "trade" if "worse" in certain else "better"


def _starts(log: Log, everyone: Sequence[Contestant]) -> dict[Key, tuple[Start, ...]]:
    """Every contestant's runs, by engine start."""
    found: dict[Key, tuple[Start, ...]] = {key(one.config): () for one in everyone}
    for seen in log.confirmed:
        name = key(seen.trial.config)
        if isinstance(seen.outcome, Measured) and name in found:
            found[name] += (seen.outcome.runs or (seen.outcome.metrics,),)
    return found


def _standing(
    problem: Problem, contestant: Contestant, starts: Sequence[Start], noise: Mapping[str, Noise], log: Log
) -> Standing:
    runs = [run for start in starts for run in start]
    promises = {}
    for metric, worse in _promised_metrics(problem):
        if values := _values(runs, metric):
            worst = max(values) if worse > 0 else min(values)
            bound = noise[metric].prediction_bound(values, worse)
            promises[metric] = Promise(metric, values, noise[metric].mean(values), worst, bound)
    meets = all(bool(slo.met({name: promise.held for name, promise in promises.items()})) for slo in problem.slos)
    return Standing(contestant, promises, meets, _failure(problem, contestant, runs, log))


def _failure(problem: Problem, contestant: Contestant, runs: Sequence[Run], log: Log) -> str | None:
    for seen in log.confirmed:
        if not isinstance(seen.outcome, Measured) and key(seen.trial.config) == key(contestant.config):
            return f"failed when measured again: {seen.outcome}"
    if contestant.role == "finalist" and any(run.get("error_rate", 0.0) > problem.max_error_rate for run in runs):
        return f"more than {problem.max_error_rate:.0%} of its requests failed when measured again"
    if not runs or any(objective.metric not in run for run in runs for objective in problem.objectives):
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

    Where no area is positive the log ratios are added; the constant keeps every such sum below every area.
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
    starts: Mapping[Key, Sequence[Start]],
    comparisons: int,
) -> Change:
    metric = objective.metric
    mine, theirs = winner.promises[metric], reference.promises[metric]
    relative = mine.mean / theirs.mean - 1 if theirs.mean else 0.0
    interval = _interval(metric, winner, reference, starts, comparisons)
    if interval is None:
        return Change(metric, relative, None, None, "no")
    low, high = interval
    falls = objective.direction == "minimize"
    certain: Certainty = "no"
    if low > 0:
        certain = "worse" if falls else "better"
    elif high < 0:
        certain = "better" if falls else "worse"
    return Change(metric, relative, low, high, certain)


def _interval(
    metric: str,
    winner: Standing,
    reference: Standing,
    starts: Mapping[Key, Sequence[Start]],
    comparisons: int,
) -> tuple[float, float] | None:
    """Relative change with confidence: the wider of the intervals by runs and by engine starts.

    Runs of one start may be alike for the start's sake; where they are, starts are what counts.
    """
    mine, theirs = starts[key(winner.contestant.config)], starts[key(reference.contestant.config)]
    intervals = []
    for view in (_by_run, _by_start):
        noise = Noise.of(view(starts.values(), metric))
        (left,), (right,) = view([mine], metric), view([theirs], metric)
        interval = noise.relative_difference(left, right, comparisons)
        if interval is None:
            return None
        intervals.append(interval)
    return max(intervals, key=lambda interval: interval[1] - interval[0])


def _by_run(groups: Iterable[Sequence[Start]], metric: str) -> list[tuple[float, ...]]:
    """Per group, one value for each run."""
    return [tuple(value for start in group for value in _values(start, metric)) for group in groups]


def _by_start(groups: Iterable[Sequence[Start]], metric: str) -> list[tuple[float, ...]]:
    """Per group, one value for each engine start: the mean of its runs."""
    values = [[_values(start, metric) for start in group] for group in groups]
    return [tuple(sum(found) / len(found) for found in group if found) for group in values]


def _values(runs: Iterable[Run], metric: str) -> tuple[float, ...]:
    return tuple(run[metric] for run in runs if metric in run)
