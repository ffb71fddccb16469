"""What the confirmation found of each contestant: the promise, and whether it keeps the SLOs. Pure.

Only the confirmation's runs count.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scoot_ray.finalists import Contestant, Key, contestants, key
from scoot_ray.inference import CONFIDENCE, ByOrder, mean, prediction_bound
from scoot_ray.log import Log
from scoot_ray.search import Measured, Observation, Problem
from scoot_ray.soak import Soaked, soaked
from scoot_ray.study import Confirmation


@dataclass(frozen=True, slots=True)
class Promise:
    """One metric over the confirmation's runs, one for each arrival order.

    ``bound`` is what a further run keeps within with 95% (None where the runs are too few to tell), with allowance for
    the winner being the best of several; ``worst`` is the paper's promise, the worst of the runs.
    """

    metric: str
    orders: tuple[int, ...]
    runs: tuple[float, ...]
    mean: float
    worst: float
    bound: float | None

    @property
    def by_order(self) -> ByOrder:
        """The runs, each under its arrival order."""
        return dict(zip(self.orders, self.runs, strict=True))


@dataclass(frozen=True, slots=True)
class Standing:
    """What the confirmation found of one contestant.

    ``meets_slos`` judges what is promised, not the mean; without a bound nothing is. ``failure`` says why the
    contestant is out, if it is. ``nodes`` are where it was measured, ``soak`` what came of its soak, if it had one.
    """

    contestant: Contestant
    promises: Mapping[str, Promise]
    meets_slos: bool
    failure: str | None = None
    nodes: tuple[str, ...] = ()
    soak: Soaked | None = None


def standings(problem: Problem, settings: Confirmation, log: Log) -> tuple[Standing, ...]:
    """What the confirmation has found so far of each contestant, in the order of ``contestants``."""
    everyone = contestants(problem, settings, log)
    finalists = sum(one.role == "finalist" for one in everyone)
    seen: dict[Key, list[Observation]] = {key(one.config): [] for one in everyone}
    for observation in log.confirmed:
        if (name := key(observation.trial.config)) in seen:
            seen[name].append(observation)
    soaks = [soaked(settings.soak, problem.max_error_rate, log, one.config) for one in everyone]
    return tuple(
        _standing(problem, one, seen[key(one.config)], finalists, soak)
        for one, soak in zip(everyone, soaks, strict=True)
    )


def survivors(found: Iterable[Standing]) -> tuple[Standing, ...]:
    """Those that may be recommended, finalists first, in the search's order."""
    sound = [standing for standing in found if standing.failure is None]
    return tuple(sorted(sound, key=lambda standing: standing.contestant.role != "finalist"))


def promised_metrics(problem: Problem) -> dict[str, int]:
    """Metric and +1 where larger is worse: the objectives', then the SLOs'."""
    signs = {objective.metric: int(objective.sign) for objective in problem.objectives}
    for slo in problem.slos:
        signs.setdefault(slo.metric, 1 if slo.is_ceiling else -1)
    return signs


def bounds(promises: Mapping[str, Promise]) -> dict[str, float]:
    """What is promised of each metric."""
    return {name: promise.bound for name, promise in promises.items() if promise.bound is not None}


def slos_open(problem: Problem, standing: Standing) -> bool:
    """Whether more runs may yet prove the SLOs: the mean keeps them, what is promised does not."""
    means = {name: promise.mean for name, promise in standing.promises.items()}
    return not standing.meets_slos and problem.meets_slos(means)


def _standing(
    problem: Problem, contestant: Contestant, seen: Sequence[Observation], finalists: int, soak: Soaked | None
) -> Standing:
    runs: dict[int, Mapping[str, float]] = {}
    for observation in seen:
        if isinstance(observation.outcome, Measured):
            measured = observation.outcome.runs or (observation.outcome.metrics,)
            runs |= dict(zip(observation.trial.orders, measured, strict=False))
    compared = finalists if contestant.role == "finalist" else 1
    promises = {
        metric: _promise(metric, worse, {order: run[metric] for order, run in runs.items() if metric in run}, compared)
        for metric, worse in promised_metrics(problem).items()
        if any(metric in run for run in runs.values())
    }
    meets = problem.meets_slos(bounds(promises))
    nodes = tuple(dict.fromkeys(observation.where for observation in seen if observation.where))
    failure = _failure(problem, contestant, seen, runs) or (soak.line if soak is not None and soak.failure else None)
    return Standing(contestant, promises, meets, failure, nodes, soak)


def _promise(metric: str, worse: int, values: ByOrder, compared: int) -> Promise:
    orders = tuple(sorted(values))
    runs = tuple(values[order] for order in orders)
    bound = prediction_bound(runs, worse, (1 - CONFIDENCE) / compared)
    worst = max(runs) if worse > 0 else min(runs)
    return Promise(metric, orders, runs, mean(runs), worst, bound)


def _failure(
    problem: Problem, contestant: Contestant, seen: Sequence[Observation], runs: Mapping[int, Mapping[str, float]]
) -> str | None:
    for observation in seen:
        if not isinstance(observation.outcome, Measured):
            return f"failed when measured again: {observation.outcome}"
    if contestant.role == "finalist" and any(
        run.get("error_rate", 0.0) > problem.max_error_rate for run in runs.values()
    ):
        return f"more than {problem.max_error_rate:.0%} of its requests failed when measured again"
    if not runs or any(objective.metric not in run for run in runs.values() for objective in problem.objectives):
        return "not measured again"
    return None
