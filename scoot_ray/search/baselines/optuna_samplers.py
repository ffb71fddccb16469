"""``tpe`` and ``gp``: Optuna's TPESampler and GPSampler, set up as its documentation advises.

Optuna's study is rebuilt from the log for every suggestion: finished evaluations as complete trials, those ended early
as pruned, those in flight as running, which TPE's constant liar and the GP's batch acquisition keep away from. Failed
trials would be ignored by both samplers, so that they would walk into the same crash again: a failure is a complete
trial that violates a constraint, with costs a tenth worse than the worst. SLOs are constraints too. The samplers know
no constraints on parameters: what they propose in vain stays in the study as running, and they are asked again; in
the end the nearest configuration that is allowed and new is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from math import isfinite, log2

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from scoot_ray.search import solver
from scoot_ray.search.objectives import SLO
from scoot_ray.search.parameters import Boolean, Choice, Float, Parameter
from scoot_ray.search.problem import Problem, Suggestion, usable, worse_than_all
from scoot_ray.search.situation import Situation, sobol_points, staged
from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.surrogate import quiet
from scoot_ray.search.trial import Bounded, Config, Measured, Observation, Value

_SAMPLE = 10  # Optuna's own default for both samplers
_ASKS = 6  # for each suggestion, before what comes nearest to the first answer is taken


def tpe(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions of the tree-structured Parzen estimator; fewer only where the space is exhausted."""
    return staged(situation, n, _SAMPLE, partial(_modelled, _tpe), sobol_points)


def gp(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions of Optuna's Gaussian process; fewer only where the space is exhausted."""
    return staged(situation, n, _SAMPLE, partial(_modelled, _gp), sobol_points)


def _tpe(seed: int) -> BaseSampler:
    """The sample drawn before it is ours, so it starts at once; multivariate where that is Optuna's default."""
    return TPESampler(seed=seed, n_startup_trials=1, constant_liar=True)


def _gp(seed: int) -> BaseSampler:
    """As above."""
    return GPSampler(seed=seed, n_startup_trials=1)


def _modelled(sampler: Callable[[int], BaseSampler], situation: Situation, n: int) -> Sequence[Config]:
    """Up to n new configurations that the sampler proposes; none while nothing usable was measured."""
    if not usable(situation.problem, situation.history):
        return []
    chosen: list[Config] = []
    with quiet(), _silent():
        study = _study(sampler(situation.stream()), situation)
        for _ in range(n):
            config = _proposed(study, situation.after(chosen))
            if config is None:
                break
            chosen.append(config)
    return chosen


def _proposed(study: optuna.Study, situation: Situation) -> Config | None:
    """The first proposal that is new and keeps the known constraints, or what comes nearest to the very first."""
    space, proposals = situation.problem.space, list[Config]()
    for _ in range(_ASKS):
        proposals.append(_config(space, study.ask(_distributions(space)).params))
        if space.key(proposals[-1]) not in situation.seen and space.allows(proposals[-1]):
            return proposals[-1]
    return _nearest(situation, proposals[0])


def _nearest(situation: Situation, wanted: Config) -> Config | None:
    """The allowed, new configuration nearest to the one wanted; None where the space is exhausted."""
    space = situation.problem.space
    place = space.features(space.encode_all([wanted]))

    def closeness(u: FloatArray) -> FloatArray:
        return -np.linalg.norm(space.features(u) - place, axis=1, keepdims=True)

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
    """The history as trials, the failed ones at the costs and constraints of the worst."""
    ran = usable(problem, history)
    penalty = worse_than_all(ran)
    costs = {id(one.observation): one.costs for one in ran}
    failed = any(id(o) not in costs and not isinstance(o.outcome, Bounded) for o in history)
    worst = {slo: max((_excess(slo, one.metrics) or 0.0 for one in ran), default=0.0) for slo in problem.slos}
    for observation in history:
        config, outcome = observation.trial.config, observation.outcome
        if isinstance(outcome, Bounded):
            yield _trial(problem.space, config, TrialState.PRUNED)
            continue
        metrics = outcome.metrics if isinstance(outcome, Measured) else {}
        constraints = {str(slo): _known(_excess(slo, metrics), worst[slo]) for slo in problem.slos}
        if failed:
            constraints["survived"] = -1.0 if id(observation) in costs else 1.0
        values = costs.get(id(observation), penalty)
        yield _trial(problem.space, config, TrialState.COMPLETE, [float(v) for v in values], constraints)


def _known(excess: float | None, otherwise: float) -> float:
    return otherwise if excess is None else excess


def _excess(slo: SLO, metrics: Mapping[str, float]) -> float | None:
    """By what share of the limit the SLO is broken, below 0 where it is kept; None where it was not measured."""
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
        params={p.name: _written(p, config[p.name]) for p in space.parameters},
        distributions=_distributions(space),
        constraints=constraints,
    )


def _distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    return {p.name: _distribution(p) for p in space.parameters}


def _distribution(parameter: Parameter) -> BaseDistribution:
    """What Optuna searches: unordered choices as categories, ordered ones by index, powers of two by exponent."""
    if isinstance(parameter, Boolean):
        return CategoricalDistribution((False, True))
    if isinstance(parameter, Choice):
        indices = range(parameter.size)
        return IntDistribution(0, indices[-1]) if parameter.ordered else CategoricalDistribution(tuple(indices))
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    first, last = parameter.level(0), parameter.level(parameter.size - 1)
    if parameter.scale == "powers_of_two":
        return IntDistribution(int(log2(first)), int(log2(last)))
    if parameter.scale == "log":
        return FloatDistribution(first, last, log=True)  # Optuna's logarithmic integers have no steps
    return IntDistribution(first, last, step=parameter.step)


def _written(parameter: Parameter, value: Value) -> bool | int | float:
    """A value as Optuna keeps it, moved to the grid: a default may lie between."""
    if isinstance(parameter, Boolean):
        return bool(value)
    if isinstance(parameter, Choice):
        return list(parameter.values).index(value)
    if isinstance(parameter, Float):
        return float(value)
    level = parameter.decode(parameter.encode(value))
    if parameter.scale == "powers_of_two":
        return int(log2(level))
    return float(level) if parameter.scale == "log" else level


def _config(space: SearchSpace, params: Mapping[str, bool | int | float]) -> Config:
    return {p.name: _read(p, params[p.name]) for p in space.parameters}


def _read(parameter: Parameter, written: bool | int | float) -> Value:
    if isinstance(parameter, Boolean):
        return bool(written)
    if isinstance(parameter, Choice):
        return parameter.level(int(written))
    powers = not isinstance(parameter, Float) and parameter.scale == "powers_of_two"
    return parameter.decode(parameter.encode(2 ** int(written) if powers else written))


@contextmanager
def _silent() -> Iterator[None]:
    """Optuna's log lines below errors switched off meanwhile."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)
