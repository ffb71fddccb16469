"""One study on a bank: searched under one arrival order, confirmed under others, judged by those left over.

The confirmation is the product's own code; only the runs are looked up instead of simulated anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.trust.bank import Bank, scenario_of
from scoot_ray.confirm import next_trials
from scoot_ray.inference import ByOrder
from scoot_ray.log import Log
from scoot_ray.search import (
    SLO,
    Choice,
    Failed,
    FailureKind,
    Measured,
    Metrics,
    Observation,
    Origin,
    Outcome,
    Problem,
    SearchSpace,
    Trial,
    preset,
)
from scoot_ray.standing import Promise, Standing, promised_metrics
from scoot_ray.study import Confirmation
from scoot_ray.verdict import gain, verdict

SETTINGS = Confirmation(finalists=3, arrival_orders=5, max_arrival_orders=10)
_TAIL = "p95_ttft_ms"
_LIMITS = (0.8, 2.0)  # an SLO's limit, in multiples of the default's mean


@dataclass(frozen=True, slots=True)
class Played:
    """What a study claimed and promised, and what became of it.

    ``claimed``: another configuration than today's is recommended; ``true``: it is better, over all arrival orders.
    ``held`` of ``replays`` further ones kept all SLOs, where they were ``promised``; ``kept`` counts them per metric.
    """

    service: str
    gain: bool
    seed: int
    kind: str
    claimed: bool
    true: bool
    runs: int
    slo: bool
    promised: bool
    replays: int
    held: int
    kept: Mapping[str, int]


def play_all(bank: Bank, seeds: range) -> list[Played]:
    """Several studies."""
    return [played for seed in seeds if (played := play(bank, seed)) is not None]


def play(bank: Bank, seed: int) -> Played | None:
    """A study; every second one has an SLO. None where the search found nothing that could be confirmed."""
    rng = np.random.default_rng((seed, bank.plan.gain))
    names = [str(at) for at in range(bank.plan.variants)]
    orders = [int(order) for order in rng.permutation(bank.plan.orders)]
    problem = _problem(bank, names, rng if seed % 2 else None)
    log = _searched(bank, names, orders[0])
    while trials := next_trials(problem, SETTINGS, log, 1):
        (trial,) = trials
        log = log.with_trial(trial).with_observation(_run(bank, trial, orders[trial.orders[0]]))
    found = verdict(problem, SETTINGS, log)
    if found is None:
        return None
    fresh = [bank.runs[_at(found.chosen)][order] for order in orders[SETTINGS.most_orders + 1 :]]
    winner, reference = (_over_all(bank, problem, one) for one in (found.winner, found.reference))
    return Played(
        service=bank.plan.service,
        gain=bank.plan.gain,
        seed=seed,
        kind=found.kind,
        claimed=found.chosen is found.winner,
        true=bank.plan.gain and gain(problem.objectives, winner, reference) > 0,
        runs=len(log.confirmed),
        slo=bool(problem.slos),
        promised=bool(problem.slos) and found.chosen.meets_slos,
        replays=len(fresh),
        held=sum(run is not None and problem.meets_slos(run) for run in fresh),
        kept={
            promise.metric: sum(run is not None and _within(promise, run, worse) for run in fresh)
            for promise, worse in _promises(problem, found.chosen)
        },
    )


def _problem(bank: Bank, names: Sequence[str], rng: np.random.Generator | None) -> Problem:
    """The choice among the variants; with ``rng`` also an SLO somewhere about what the default does."""
    objectives = preset(scenario_of(bank.plan).objectives)
    space = SearchSpace([Choice("variant", names)], default={"variant": names[0]})
    if rng is None:
        return Problem(space, objectives)
    wanted = objectives[0] if len(objectives) == 1 else None
    metric = _TAIL if wanted is None else wanted.metric
    level = float(np.mean([run[metric] for run in bank.runs[0] if run is not None]))
    factor = float(rng.uniform(*_LIMITS))
    if wanted is not None and wanted.direction == "maximize":
        return Problem(space, objectives, [SLO(metric, ">", level / factor)])
    return Problem(space, objectives, [SLO(metric, "<", level * factor)])


def _searched(bank: Bank, names: Sequence[str], order: int) -> Log:
    log = Log()
    for at, name in enumerate(names):
        trial = Trial(at, {"variant": name}, Origin.DEFAULT if at == 0 else Origin.MODEL)
        log = log.with_trial(trial).with_observation(_run(bank, trial, order))
    return log


def _run(bank: Bank, trial: Trial, order: int) -> Observation:
    metrics = bank.runs[int(trial.config["variant"])][order]
    crashed = Failed(FailureKind.CRASHED, "in the bank")
    outcome: Outcome = crashed if metrics is None else Measured(metrics, (metrics,))
    return Observation(trial, outcome)


def _at(standing: Standing) -> int:
    return int(standing.contestant.config["variant"])


def _promises(problem: Problem, standing: Standing) -> list[tuple[Promise, int]]:
    return [(standing.promises[metric], worse) for metric, worse in promised_metrics(problem).items()]


def _within(promise: Promise, run: Metrics, worse: int) -> bool:
    return promise.bound is not None and (run[promise.metric] - promise.bound) * worse <= 0


def _over_all(bank: Bank, problem: Problem, standing: Standing) -> Standing:
    """The same contestant, its runs those of the whole bank."""
    runs = {order: run for order, run in enumerate(bank.runs[_at(standing)]) if run is not None}
    promises = {}
    for objective in problem.objectives:
        values: ByOrder = {order: run[objective.metric] for order, run in runs.items()}
        promises[objective.metric] = Promise(
            objective.metric, tuple(values), tuple(values.values()), float(np.mean(list(values.values()))), 0.0, None
        )
    return Standing(standing.contestant, promises, meets_slos=False)
