"""``botorch``: BoTorch's qLogNEI and, for two objectives, qLogNEHVI (Ament et al. 2023; Daulton et al. 2021).

BoTorch's standard GPs, one for each objective and SLO, on a log scale where the metric is positive, and one for
whether the engine survived (1 or 0, which must be above a half); SLOs and survival are the acquisition's outcome
constraints. In mixed spaces an acquisition is best maximised over candidates: Sobol points and neighbours of good
configurations that keep the known constraints, in rounds. Batches are made one by one, with all in flight pending.

x  (n, c)  features of snapped configurations
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # linear_operator uses parts of torch that torch wants gone
    import torch
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.acquisition.multi_objective import logei as multi_objective
    from botorch.acquisition.multi_objective.objective import WeightedMCMultiOutputObjective
    from botorch.acquisition.objective import GenericMCObjective
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.model_list_gp_regression import ModelListGP
    from botorch.sampling.normal import SobolQMCNormalSampler
    from gpytorch.mlls import ExactMarginalLogLikelihood

from scoot_ray.search import solver
from scoot_ray.search.baselines.quiet import quiet
from scoot_ray.search.problem import Problem, Suggestion, centres, reference_costs, usable
from scoot_ray.search.situation import Situation, sobol_points, staged
from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.targets import fit_target
from scoot_ray.search.trial import Bounded, Config, Metrics, Observation

_SAMPLES = 64  # of the posterior, for each acquisition
_ITERATIONS = 75  # of each fit
_CHUNK = 128  # of candidates scored at once

# BoTorch compiles a faster kernel at the first use of its log-EHVI: minutes behind a lock file that a killed process
# leaves locked for ever, and sums in another order than machines without a compiler. Without it is fast enough here.
multi_objective._load_attempted = True  # there is no public switch


@dataclass(frozen=True, slots=True)
class Outcome:
    """One GP of a cost, and where it must stay: below what it is compared with."""

    gp: Any  # SingleTaskGP, which ships no types
    limit: float


@dataclass(frozen=True, slots=True)
class Models:
    """The outcomes: the objectives, whose limits are the reference, and the constraints; ``baseline`` is x measured."""

    objectives: tuple[Outcome, ...]
    constraints: tuple[Outcome, ...]
    baseline: FloatArray


def propose(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """Up to n suggestions; fewer only where the space is exhausted."""
    sample = len(situation.problem.leads()) + situation.problem.space.dimension
    return staged(situation, n, sample, _modelled, sobol_points)


def _modelled(situation: Situation, n: int) -> Sequence[Config]:
    """Up to n configurations, each of the largest acquisition beside those before it."""
    problem = situation.problem
    with quiet():
        models = _fit(problem, situation.history)
        if models is None:
            return []
        chosen: list[Config] = []
        for _ in range(n):
            now = situation.after(chosen)
            field = solver.Field(problem.space, now.seen, _score(now, models), lambda u: np.ones(len(u)), 0.0)
            config = solver.local_search(field, centres(problem, now.history), now.stream())
            if config is None:
                break
            chosen.append(config)
    return chosen


def _score(situation: Situation, models: Models) -> Callable[[FloatArray], FloatArray]:
    """The acquisition (n, 1) of points u (n, d)."""
    space = situation.problem.space
    acquisition = _acquisition(situation, models)

    def score(u: FloatArray) -> FloatArray:
        x = torch.from_numpy(space.features(u))[:, None]
        with torch.no_grad():
            scores = [acquisition(x[i : i + _CHUNK]).numpy() for i in range(0, len(x), _CHUNK)]
        return np.concatenate(scores)[:, None]

    return score


def _acquisition(situation: Situation, models: Models) -> Any:
    """The acquisition of one objective or of two, with all in flight pending."""
    space, wanted = situation.problem.space, len(models.objectives)
    outcomes = (*models.objectives, *models.constraints)
    pending = space.features(space.encode_all(situation.pending))
    shared: dict[str, Any] = {
        "model": ModelListGP(*(outcome.gp for outcome in outcomes)),
        "X_baseline": torch.from_numpy(models.baseline),
        "X_pending": torch.from_numpy(pending) if len(pending) else None,
        "sampler": SobolQMCNormalSampler(torch.Size([_SAMPLES]), seed=situation.stream() % 2**31),
        "constraints": [partial(_excess, i, outcomes[i].limit) for i in range(wanted, len(outcomes))] or None,
        "prune_baseline": True,
    }
    if wanted == 1:
        return qLogNoisyExpectedImprovement(objective=GenericMCObjective(_negated_cost), **shared)
    return multi_objective.qLogNoisyExpectedHypervolumeImprovement(
        ref_point=[-outcome.limit for outcome in models.objectives],
        objective=WeightedMCMultiOutputObjective(torch.tensor([-1.0, -1.0], dtype=torch.double), outcomes=[0, 1]),
        **shared,
    )


def _negated_cost(samples: Any, X: Any = None) -> Any:  # noqa: ARG001, N803  # BoTorch passes it by this name
    """The first outcome as BoTorch maximises it."""
    return -samples[..., 0]


def _excess(outcome: int, limit: float, samples: Any) -> Any:
    """What BoTorch asks of a constraint: at most 0 where samples (…, outcomes) keep it."""
    return samples[..., outcome] - limit


def _fit(problem: Problem, history: Sequence[Observation]) -> Models | None:
    """Fit all GPs; None while nothing usable was measured."""
    ran = usable(problem, history)
    reference = reference_costs(problem, ran)
    if reference is None:
        return None
    measured = [(one.observation.trial.config, one.metrics) for one in ran]
    known = [*measured, *_ended(problem, history)]
    objectives = tuple(
        _outcome(problem.space, known, objective.metric, objective.sign, objective.sign * float(cost))
        for objective, cost in zip(problem.objectives, reference, strict=True)
    )
    constraints = [
        _outcome(problem.space, with_metric, slo.metric, 1.0 if slo.is_ceiling else -1.0, slo.limit)
        for slo in problem.slos
        if (with_metric := [(config, metrics) for config, metrics in measured if slo.metric in metrics])
    ]
    baseline = problem.space.features(problem.space.encode_all([config for config, _ in known]))
    return Models(objectives, (*constraints, *_survival(problem, history)), baseline)


def _ended(problem: Problem, history: Sequence[Observation]) -> list[tuple[Config, Metrics]]:
    """What was ended early, as good as it can have been: too good rather than unknown, and near what was proven."""
    found: list[tuple[Config, Metrics]] = []
    for observation in history:
        if isinstance(observation.outcome, Bounded):
            ends = observation.outcome.bounds
            metrics = {o.metric: ends[o.metric][0 if o.sign > 0 else 1] for o in problem.objectives if o.metric in ends}
            if len(metrics) == len(problem.objectives) and all(isfinite(value) for value in metrics.values()):
                found.append((observation.trial.config, metrics))
    return found


def _outcome(
    space: SearchSpace, known: Sequence[tuple[Config, Metrics]], metric: str, sign: float, limit: float
) -> Outcome:
    """The GP of a metric as a cost, standardised and on a log scale where it is positive; ``limit`` in its own unit."""
    values = np.array([metrics[metric] for _, metrics in known])
    target = fit_target(values, "log", sign)
    gp = _gp(space, [config for config, _ in known], target(values))
    return Outcome(gp, float(target(np.array(limit))))


def _survival(problem: Problem, history: Sequence[Observation]) -> list[Outcome]:
    """The GP of 1 (failed, or made too many errors) and 0; none while all were alike."""
    good = {id(one.observation) for one in usable(problem, history)}
    failed = [float(not isinstance(o.outcome, Bounded) and id(o) not in good) for o in history]
    if len(set(failed)) < 2:
        return []
    return [Outcome(_gp(problem.space, [o.trial.config for o in history], np.array(failed)), 0.5)]


def _gp(space: SearchSpace, configs: Sequence[Config], y: FloatArray) -> Any:
    """BoTorch's standard GP for y (n,); at its priors' modes where the fit fails numerically."""
    x = torch.from_numpy(space.features(space.encode_all(configs)))
    gp = SingleTaskGP(x, torch.from_numpy(y)[:, None])
    try:
        likelihood = ExactMarginalLogLikelihood(gp.likelihood, gp)
        fit_gpytorch_mll(likelihood, optimizer_kwargs={"options": {"maxiter": _ITERATIONS}})
    except (ModelFittingError, RuntimeError, ValueError):
        gp = SingleTaskGP(x, torch.from_numpy(y)[:, None])
    return gp.eval()
