"""``tpe`` and ``gp``: Optuna's TPESampler and GPSampler, set up as its documentation advises.

Optuna's study is rebuilt from the log for every suggestion: finished evaluations as complete trials, those ended early
as pruned, those in flight as running, which TPE's constant liar and the GP's batch acquisition keep away from. Failed
trials would be ignored by both samplers, so that they would walk into the same crash again: a failure is a complete
trial that violates a constraint, with costs a tenth worse than the worst. SLOs are constraints too. The samplers know
no constraints on parameters: what they propose in vain stays in the study as running, and they are asked again; in
the end the nearest configuration that is allowed and new is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import isfinite

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from scoot_ray.search import solver
from scoot_ray.search.baselines import optuna_space
from scoot_ray.search.baselines.quiet import quiet
from scoot_ray.search.objectives import SLO
from scoot_ray.search.problem import Problem, Suggestion, usable, worse_than_all
from scoot_ray.search.situation import Situation, sobol_points, staged
from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.targets import fit_target
from scoot_ray.search.trial import Bounded, Config, Measured, Observation

_SAMPLE = 10  # Optuna's own default for both samplers; drawn here, so that they start at once


@dataclass(frozen=True, slots=True)
class Method:
    """A sampler for a seed, and how often it is asked before what comes nearest to its first answer is taken."""

    sampler: Callable[[int], BaseSampler]
    asks: int


def tpe(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions of the tree-structured Parzen estimator; fewer only where the space is exhausted."""
    # Multivariate for one objective, as is Optuna's default.
    method = Method(lambda seed: TPESampler(seed=seed, n_startup_trials=1, constant_liar=True), asks=6)
    return staged(situation, n, _SAMPLE, partial(_modelled, method), sobol_points)


def gp(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions of Optuna's Gaussian process; fewer only where the space is exhausted."""
    method = Method(lambda seed: GPSampler(seed=seed, n_startup_trials=1), asks=2)  # each takes seconds
    return staged(situation, n, _SAMPLE, partial(_modelled, method), sobol_points)


def _modelled(method: Method, situation: Situation, n: int) -> Sequence[Config]:
    """Up to n new configurations that the sampler proposes; none while nothing usable was measured."""
    if not usable(situation.problem, situation.history):
        return []
    chosen: list[Config] = []
    with quiet(), _silent():
        study = _study(method.sampler(situation.stream()), situation)
        for _ in range(n):
            config = _proposed(study, method.asks, situation.after(chosen))
            if config is None:
                break
            chosen.append(config)
    return chosen


def _proposed(study: optuna.Study, asks: int, situation: Situation) -> Config | None:
    """The first proposal that is new and keeps the known constraints, or what comes nearest to the very first."""
    space, proposals = situation.problem.space, list[Config]()
    distributions = optuna_space.distributions(space)
    for _ in range(asks):
        proposals.append(optuna_space.read(space, study.ask(distributions).params))
        if space.key(proposals[-1]) not in situation.seen and space.allows(proposals[-1]):
            return proposals[-1]
    return _nearest(situation, proposals[0])


def _nearest(situation: Situation, wanted: Config) -> Config | None:
    """The allowed, new configuration nearest to the one wanted; None where the space is exhausted."""
    space = situation.problem.space
    place = space.features(space.encode_all([wanted]))

    def closeness(u: FloatArray) -> FloatArray:
        return np.asarray(-np.linalg.norm(space.features(u) - place, axis=1, keepdims=True))

    field = solver.Field(space, situation.seen, closeness, lambda u: np.ones(len(u)), 0.0)
    return solver.local_search(field, [wanted], situation.stream())


def _study(sampler: BaseSampler, situation: Situation) -> optuna.Study:
    """The study with all that was observed and is in flight."""
    problem = situation.problem
    study = optuna.create_study(
        directions=["minimize"] * len(problem.objectives), sampler=sampler, study_name="scoot-ray"
    )
    study.add_trials(_finished(problem, situation.history))
    study.add_trials(_trial(problem.space, config, TrialState.RUNNING) for config in situation.pending)
    return study


def _finished(problem: Problem, history: Sequence[Observation]) -> Iterator[FrozenTrial]:
    """The history as trials; those without usable figures get costs worse than all, and violate a constraint."""
    ran = usable(problem, history)
    values = _on_a_log_scale(problem, np.array([*(one.costs for one in ran), worse_than_all(ran)])).tolist()
    costs = {id(one.observation): row for one, row in zip(ran, values[:-1], strict=True)}
    worst = [_worst_excess(slo, history) for slo in problem.slos]
    ended = {id(o) for o in history if isinstance(o.outcome, Bounded)}
    all_survived = len(costs) + len(ended) == len(history)
    for observation in history:
        if id(observation) in ended:
            yield _trial(problem.space, observation.trial.config, TrialState.PRUNED)
            continue
        excesses = [_excess(slo, observation) for slo in problem.slos]
        known = [w if e is None else e for e, w in zip(excesses, worst, strict=True)]
        constraints = dict(zip(map(str, problem.slos), known, strict=True))
        if not all_survived:
            constraints["survived"] = -1.0 if id(observation) in costs else 1.0
        row = costs.get(id(observation), values[-1])
        yield _trial(problem.space, observation.trial.config, TrialState.COMPLETE, row, constraints)


def _on_a_log_scale(problem: Problem, costs: FloatArray) -> FloatArray:
    """Standardised costs (n, m), of logarithms where a metric is positive: ranks stay, and GPs fit latencies better."""
    signs = [objective.sign for objective in problem.objectives]
    metrics = [sign * column for sign, column in zip(signs, costs.T, strict=True)]
    return np.column_stack([fit_target(y, "log", sign)(y) for y, sign in zip(metrics, signs, strict=True)])


def _worst_excess(slo: SLO, history: Sequence[Observation]) -> float:
    """What stands for those that were not measured."""
    return max((excess for o in history if (excess := _excess(slo, o)) is not None), default=1.0)


def _excess(slo: SLO, observation: Observation) -> float | None:
    """By what share of the limit the SLO is broken, below 0 where it is kept; None where it was not measured."""
    metrics = observation.outcome.metrics if isinstance(observation.outcome, Measured) else {}
    value = metrics.get(slo.metric)
    if value is None or not isfinite(value):
        return None
    beyond = value - slo.limit if slo.is_ceiling else slo.limit - value
    return beyond / (abs(slo.limit) or 1.0)


def _trial(
    space: SearchSpace,
    config: Config,
    state: TrialState,
    values: Sequence[float] | None = None,
    constraints: dict[str, float] | None = None,
) -> FrozenTrial:
    return create_trial(
        state=state,
        values=values,
        params=optuna_space.written(space, config),
        distributions=optuna_space.distributions(space),
        constraints=constraints,
    )


@contextmanager
def _silent() -> Iterator[None]:
    """Optuna's log lines below errors switched off meanwhile."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
