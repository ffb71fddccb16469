"""What is being solved, and which observations answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from scoot_ray.search.errors import ObjectiveError
from scoot_ray.search.objectives import SLO, Objective, gain, pareto
from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.trial import Config, Failed, Measured, Metrics, Observation, Origin

_WORSE = 0.1  # a failed default stands in the reference 10% worse than the worst that ran
_BEST = 4  # observations, by each objective, whose neighbours are searched


@dataclass(frozen=True, slots=True, eq=False)
class Earlier:
    """What another study has observed, its configurations put into ``space`` (see ``transfer.taken_in``).

    ``beyond`` are observations at values that this space does not have, moved to the nearest that it has: a hint what
    to try, no more. ``similarity`` in [0, 1] is how far its service is like this one before anything was seen here.
    Its failures count here only where ``same_engine``: the same engine, model and hardware.
    """

    name: str
    space: SearchSpace
    history: tuple[Observation, ...]
    beyond: tuple[Observation, ...]
    similarity: float
    same_engine: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A space, one or two objectives, SLOs, and the configuration that runs today (``baseline``), if any.

    ``earlier`` are other studies' histories and ``winners`` what was best in them: see ``transfer.warm``.

    Raises:
        ObjectiveError: not one or two objectives, one twice, or an error rate outside [0, 1].
        SpaceError: a baseline outside the parameters' ranges.
    """

    space: SearchSpace
    objectives: Sequence[Objective]
    slos: Sequence[SLO] = ()
    baseline: Config | None = None
    max_error_rate: float = 0.01
    earlier: Sequence[Earlier] = ()
    winners: Sequence[Config] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives))
        object.__setattr__(self, "slos", tuple(self.slos))
        metrics = [objective.metric for objective in self.objectives]
        if len(metrics) not in {1, 2} or len(set(metrics)) < len(metrics):
            raise ObjectiveError(f"objectives: {', '.join(metrics) or 'none'}; allowed: one, or two different ones")
        if not 0 <= self.max_error_rate <= 1:
            raise ObjectiveError(f"max_error_rate: {self.max_error_rate}; allowed: 0 to 1")
        if self.baseline is not None:
            object.__setattr__(self, "baseline", self.space.canonical(self.baseline))

    def leads(self) -> tuple[tuple[Config, Origin], ...]:
        """What is evaluated before anything is suggested: the default, then the baseline where it differs."""
        default, baseline = self.space.default, self.baseline
        leads: list[tuple[Config, Origin]] = []
        if default is not None:
            leads.append((default, Origin.DEFAULT))
        if baseline is not None and baseline != default:
            leads.append((baseline, Origin.BASELINE))
        return tuple(leads)

    def costs(self, metrics: Metrics) -> FloatArray | None:
        """The objectives as costs (m,); None where one was not measured."""
        values = [metrics.get(objective.metric) for objective in self.objectives]
        signs = [objective.sign for objective in self.objectives]
        costs = [s * v for s, v in zip(signs, values, strict=True) if v is not None and isfinite(v)]
        return np.array(costs) if len(costs) == len(values) else None

    def meets_slos(self, metrics: Metrics) -> bool:
        """Whether every SLO was measured and kept."""
        return all(slo.met(metrics) for slo in self.slos)


@dataclass(frozen=True, slots=True)
class Usable:
    """An observation whose figures count: its metrics and its costs (m,)."""

    observation: Observation
    metrics: Metrics
    costs: FloatArray


def usable(problem: Problem, history: Sequence[Observation]) -> tuple[Usable, ...]:
    """The observations measured on all objectives, with few enough errors: dropping requests looks fast."""
    found: list[Usable] = []
    for observation in history:
        outcome = observation.outcome
        if isinstance(outcome, Measured) and outcome.metrics.get("error_rate", 0.0) <= problem.max_error_rate:
            costs = problem.costs(outcome.metrics)
            if costs is not None:
                found.append(Usable(observation, outcome.metrics, costs))
    return tuple(found)


def reference(problem: Problem, history: Sequence[Observation]) -> tuple[float, ...] | None:
    """What suggestions must beat, in the objectives' own units: the default's metrics.

    If the default has none, 1.1 times the worst of those that ran (0.9 times where more is better); None while
    nothing ran.
    """
    costs = reference_costs(problem, usable(problem, history))
    if costs is None:
        return None
    return tuple(float(o.sign * c) for o, c in zip(problem.objectives, costs, strict=True))


def reference_costs(problem: Problem, ran: Sequence[Usable]) -> FloatArray | None:
    """``reference`` as costs (m,)."""
    for one in ran:
        if one.observation.trial.config == problem.space.default:
            return one.costs
    if not ran:
        return None
    return worse_than_all(ran)


def worse_than_all(ran: Sequence[Usable]) -> FloatArray:
    """Costs (m,) a tenth worse than the worst of each objective."""
    worst = np.max([one.costs for one in ran], axis=0)
    return np.asarray(worst + _WORSE * np.abs(worst))


def centres(problem: Problem, history: Sequence[Observation]) -> list[Config]:
    """What is worth improving on: the front, then the best by each objective; empty while nothing usable was."""
    ran = usable(problem, history)
    costs = np.array([one.costs for one in ran]).reshape(len(ran), len(problem.objectives))
    ranked = [int(i) for column in costs.T for i in np.argsort(column, kind="stable")[:_BEST]]
    distinct = dict.fromkeys([*pareto(costs), *ranked])
    return [ran[i].observation.trial.config for i in distinct]


def best_observed(problem: Problem, history: Sequence[Observation]) -> tuple[Observation, ...]:
    """The configurations measured best, best first; empty while nothing usable was.

    One objective: the best. Two: the Pareto front, ordered by the hypervolume of each alone (equation 11). Where any
    observation meets all SLOs, only such are considered.
    """
    ran = usable(problem, history)
    standard = reference_costs(problem, ran)
    if standard is None:
        return ()
    candidates = [one for one in ran if problem.meets_slos(one.metrics)] or list(ran)
    costs = np.array([one.costs for one in candidates])
    if len(problem.objectives) == 1:
        return (candidates[int(np.argmin(costs[:, 0]))].observation,)
    scale = np.maximum(np.abs(standard), np.finfo(float).tiny)
    front = sorted(pareto(costs), key=lambda i: (-gain(costs[i], standard), float(np.sum(costs[i] / scale))))
    return tuple(candidates[i].observation for i in front)


def to_beat(problem: Problem, history: Sequence[Observation]) -> tuple[tuple[float, ...], ...]:
    """The objectives of the best so far (one), or of the front (two), among those that keep the SLOs.

    Empty while nothing keeps them: then even the figures of what breaks them decide what is recommended.
    """
    best = [o.outcome.metrics for o in best_observed(problem, history) if isinstance(o.outcome, Measured)]
    return tuple(
        tuple(metrics[objective.metric] for objective in problem.objectives)
        for metrics in best
        if problem.meets_slos(metrics)
    )


def settled(history: Sequence[Observation]) -> tuple[Observation, ...]:
    """The history without failures of ours, which say nothing about a configuration and are tried again."""
    return tuple(o for o in history if not isinstance(o.outcome, Failed) or o.outcome.kind.of_configuration)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A configuration to evaluate next, and why."""

    config: Config
    origin: Origin
