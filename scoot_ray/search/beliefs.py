"""What is believed about every configuration after a history: GPs for the objectives and SLOs, and their acquisitions.

u (n, d) snapped points; costs are standardised per objective as the GPs see them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from scoot_ray.search import acquisition
from scoot_ray.search.objectives import SLO
from scoot_ray.search.prior import Prior, fit_prior
from scoot_ray.search.problem import Problem, Usable, reference_costs, usable
from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.surrogate import Kernel, Surrogate, fit
from scoot_ray.search.targets import Shape, Target, fit_target
from scoot_ray.search.trial import Bounded, Config, Measured, Metrics, Observation

_UNBOUNDED = (-np.inf, np.inf)
_MOST_TOLD = 400  # observations that a GP is conditioned on


@dataclass(frozen=True, slots=True)
class Modelling:
    """How a history is modelled; as ``scoot`` does unless said otherwise.

    The objectives' targets have a shape for one objective and one for two. ``noisy``: improvement counts from what is
    believed of the configurations tried, not from what was measured of them, which may have been luck; and of one
    objective less of it counts where there is less to learn beside the noise (augmented EI; Huang et al. 2006).
    ``slos``: whether the SLOs are modelled.
    """

    one_objective: Shape = "half-rank"
    two_objectives: Shape = "log"
    kernel: Kernel = "additive"
    noisy: bool = True
    slos: bool = True

    def shape(self, problem: Problem) -> Shape:
        """The shape of this problem's objectives."""
        return self.one_objective if len(problem.objectives) == 1 else self.two_objectives


OURS = Modelling()
PAPER = Modelling(one_objective="power", two_objectives="plain", kernel="matern", noisy=False, slos=False)
LOGARITHMIC = Modelling(one_objective="log")
"""For what needs a way back from the models to the metrics."""


@dataclass(frozen=True, slots=True)
class Model:
    """One metric's GP, with the map from the metric to its target and the prior mean that it is fitted around."""

    metric: str
    target: Target
    surrogate: Surrogate
    prior: Prior

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation (n,) of the standardised cost at features x (n, c)."""
        mean, std = self.surrogate.predict(x)
        return mean + self.prior(x), std

    def conditioned(self, x: FloatArray, z: FloatArray) -> Model:
        """The model with the costs z (k,) at x (k, c) added to its data."""
        return replace(self, surrogate=self.surrogate.conditioned(x, z - self.prior(x)))


@dataclass(frozen=True, slots=True)
class Ceiling:
    """An SLO's GP and the standardised cost that must not be exceeded."""

    model: Model
    limit: float


@dataclass(frozen=True, slots=True)
class Beliefs:
    """The models, and what is to be beaten.

    ``incumbents`` (k, m) are the costs, measured or believed, that a suggestion must improve on; ``reference`` (m,)
    is the default's. ``observed`` counts what the models have learnt from; ``noisy`` as in Modelling.
    """

    space: SearchSpace
    objectives: tuple[Model, ...]
    ceilings: tuple[Ceiling, ...]
    incumbents: FloatArray
    reference: FloatArray
    observed: int
    noisy: bool

    def predict(self, u: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Means and standard deviations (n, m) of the objectives' costs at u (n, d)."""
        x = self.space.features(u)
        predicted = [model.predict(x) for model in self.objectives]
        return np.column_stack([mean for mean, _ in predicted]), np.column_stack([std for _, std in predicted])

    def ensemble(self, u: FloatArray, parallel: int) -> FloatArray:
        """MACE (paper, section IV-E1): UCB, ln PI and ln EI (n, 3) for one objective; ln EHVI (n, 1) for two."""
        mean, std = self.predict(u)
        if len(self.objectives) == 2:
            return self._improvement(mean, std)[:, None]
        best = float(np.min(self.incumbents))
        kappa = acquisition.kappa(self.space.dimension, self.observed / parallel)
        return np.column_stack(
            [
                acquisition.upper_confidence_bound(mean[:, 0], std[:, 0], kappa),
                acquisition.log_probability_of_improvement(mean[:, 0], std[:, 0], best),
                acquisition.log_expected_improvement(mean[:, 0], std[:, 0], best),
            ]
        )

    def improvement(self, u: FloatArray) -> FloatArray:
        """The logarithms of EI or EHVI and of the probability that all SLOs hold, added (n,).

        While nothing meets the SLOs there is nothing to improve on, and their probability alone counts.
        """
        x = self.space.features(u)
        promise = self.log_probability_of_slos(x)
        if not len(self.incumbents) and self.ceilings:
            return promise
        return promise + self._improvement(*self.predict(u))

    def _improvement(self, mean: FloatArray, std: FloatArray) -> FloatArray:
        if len(self.objectives) == 2:
            return acquisition.log_expected_hypervolume_improvement(mean, std, self.incumbents, self.reference)
        gain = acquisition.log_expected_improvement(mean[:, 0], std[:, 0], float(np.min(self.incumbents)))
        if not self.noisy:
            return gain
        return gain + acquisition.log_augmentation(std[:, 0], self.objectives[0].surrogate.noise)

    def log_probability_of_slos(self, x: FloatArray) -> FloatArray:
        """The logarithm (n,) of the probability that all SLOs hold at features x (n, c)."""
        total = np.zeros(len(x))
        for ceiling in self.ceilings:
            mean, std = ceiling.model.predict(x)
            total += log_ndtr((ceiling.limit - mean) / std)
        return total

    def keep_slos(self, x: FloatArray) -> npt.NDArray[np.bool_]:
        """Whether all SLOs are more likely than not to hold at features x (n, c), one by one."""
        keep = np.ones(len(x), dtype=bool)
        for ceiling in self.ceilings:
            keep &= ceiling.model.predict(x)[0] <= ceiling.limit
        return keep

    def expecting(self, configs: Sequence[Config]) -> Beliefs:
        """The beliefs if configurations in flight turned out as predicted (kriging believer; Ginsbourger et al. 2010).

        Then neither the models nor the incumbents leave anything to be had beside them.
        """
        if not configs:
            return self
        u = self.space.encode_all(configs)
        x = self.space.features(u)
        keep = self.keep_slos(x)
        means, _ = self.predict(u)
        learnt = self.bounded(configs, [{}] * len(configs))
        return replace(learnt, incumbents=np.vstack([self.incumbents, means[keep]]))

    def bounded(self, configs: Sequence[Config], bounds: Sequence[Mapping[str, tuple[float, float]]]) -> Beliefs:
        """The models conditioned on their own means, held within the bounds known of each metric."""
        if not configs:
            return self
        x = self.space.features(self.space.encode_all(configs))
        return replace(
            self,
            objectives=tuple(_learn(model, x, bounds) for model in self.objectives),
            ceilings=tuple(replace(c, model=_learn(c.model, x, bounds)) for c in self.ceilings),
        )


def believe(problem: Problem, history: Sequence[Observation], modelling: Modelling) -> Beliefs | None:
    """Fit the models to a history; None while nothing usable was measured.

    Evaluations ended early are then learnt as the models predict them within the bounds they proved.
    """
    ran = usable(problem, history)
    reference = reference_costs(problem, ran)
    if reference is None:
        return None
    measured = [(one.observation.trial.config, one.metrics) for one in ran]
    shape = modelling.shape(problem)
    objectives = tuple(
        _fit(problem, measured, o.metric, modelling.kernel, shape, o.sign, float(o.sign * cost))
        for o, cost in zip(problem.objectives, reference, strict=True)
    )
    ceilings = _ceilings(problem, history, modelling.kernel) if modelling.slos else ()
    standard = standardised(problem, objectives, [reference])[0]
    beliefs = Beliefs(
        problem.space, objectives, ceilings, np.empty((0, len(objectives))), standard, len(history), modelling.noisy
    )
    beliefs = _with_incumbents(problem, beliefs, ran, modelling)
    ended = [(o.trial.config, o.outcome.bounds) for o in history if isinstance(o.outcome, Bounded)]
    return beliefs.bounded([config for config, _ in ended], [bounds for _, bounds in ended])


def _with_incumbents(problem: Problem, beliefs: Beliefs, ran: Sequence[Usable], modelling: Modelling) -> Beliefs:
    """What must be improved on: the configurations that keep the SLOs, as believed or as measured."""
    if not modelling.noisy:
        meeting = [one for one in ran if not modelling.slos or problem.meets_slos(one.metrics)]
        return replace(beliefs, incumbents=standardised(problem, beliefs.objectives, [one.costs for one in meeting]))
    configs = [one.observation.trial.config for one in ran]
    u = problem.space.encode_all(configs)
    means, _ = beliefs.predict(u)
    keep = beliefs.keep_slos(problem.space.features(u))
    default = [mean for mean, config in zip(means, configs, strict=True) if config == problem.space.default]
    return replace(beliefs, incumbents=means[keep], reference=default[0] if default else beliefs.reference)


def standardised(problem: Problem, models: Sequence[Model], costs: Sequence[FloatArray]) -> FloatArray:
    """Costs (k, m) in the metrics' units -> (k, m) as the models see them."""
    table = np.array(costs).reshape(len(costs), len(models))
    columns = [m.target(o.sign * c) for m, o, c in zip(models, problem.objectives, table.T, strict=True)]
    return np.column_stack(columns)


def _ceilings(problem: Problem, history: Sequence[Observation], kernel: Kernel) -> tuple[Ceiling, ...]:
    """A model of each SLO's metric; errors join in once any configuration made too many."""
    measured = [(o.trial.config, o.outcome.metrics) for o in history if isinstance(o.outcome, Measured)]
    slos = list(problem.slos)
    limited = any(slo.metric == "error_rate" for slo in slos)
    if not limited and _too_many_errors(problem, history):
        slos.append(SLO("error_rate", "<=", problem.max_error_rate))
    ceilings: list[Ceiling] = []
    for slo in slos:
        known = [(config, metrics) for config, metrics in measured if slo.metric in metrics]
        if known:
            model = _fit(problem, known, slo.metric, kernel, "log", 1.0 if slo.is_ceiling else -1.0)
            ceilings.append(Ceiling(model, float(model.target(np.array(slo.limit)))))
    return tuple(ceilings)


def _too_many_errors(problem: Problem, history: Sequence[Observation]) -> bool:
    """Whether any configuration made more errors than may be, or was bound to."""
    rates = [o.outcome.metrics.get("error_rate", 0.0) for o in history if isinstance(o.outcome, Measured)]
    rates += [o.outcome.bounds.get("error_rate", (0.0, 0.0))[0] for o in history if isinstance(o.outcome, Bounded)]
    return any(rate > problem.max_error_rate for rate in rates)


def _fit(
    problem: Problem,
    measured: Sequence[tuple[Config, Metrics]],
    metric: str,
    kernel: Kernel,
    shape: Shape,
    sign: float,
    reference: float | None = None,
) -> Model:
    space = problem.space
    values = np.array([metrics[metric] for _, metrics in measured])
    target = fit_target(values, shape, sign, reference)
    x, z = space.features(space.encode_all([config for config, _ in measured])), target(values)
    prior = fit_prior(problem, metric, shape, sign, target, x, z)
    some = _told(z)
    return Model(metric, target, fit(x[some], (z - prior(x))[some], space.numeric_features, kernel), prior)


def _told(z: FloatArray) -> npt.NDArray[np.int64]:
    """Which of the costs z (n,) a GP is told: all, or the best half of so many and others spread evenly over the rest.

    The work grows with their cube. What is best is what suggestions are about; how bad the rest is says the same with
    fewer.
    """
    if len(z) <= _MOST_TOLD:
        return np.arange(len(z))
    half = _MOST_TOLD // 2
    order = np.argsort(z, kind="stable")
    rest = np.sort(order[half:])
    spread = rest[np.linspace(0, len(rest) - 1, _MOST_TOLD - half).astype(int)]
    return np.sort(np.concatenate([order[:half], spread]))


def _learn(model: Model, x: FloatArray, bounds: Sequence[Mapping[str, tuple[float, float]]]) -> Model:
    ends = np.sort(model.target(np.array([b.get(model.metric, _UNBOUNDED) for b in bounds])), axis=1)
    mean, _ = model.predict(x)
    return model.conditioned(x, np.clip(mean, ends[:, 0], ends[:, 1]))
