"""What kind of service each is: the share of its configurations that cannot be used, and what there is to gain."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from benchmarks.search.best_known import metrics_of, usable_costs
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.markdown import table
from benchmarks.search.services import Scenario
from scoot_ray.search import Failed
from scoot_ray.search.sampling import unseen

POINTS = 200
_SEED = 12345  # of no cell
_FEW = 0.1  # of the configurations beat the default: a hard service
_MANY = 0.3  # of them fail: a crashing one


@dataclass(frozen=True, slots=True)
class Kind:
    """Shares of Sobol points that keep the known constraints, without noise."""

    crashed: float
    erroneous: float
    broken: float
    better: float

    @property
    def hard(self) -> bool:
        """Whether hardly anything beats the default."""
        return self.better <= _FEW

    @property
    def crashing(self) -> bool:
        """Whether much of the space does not start or dies under load."""
        return self.crashed >= _MANY


def kind_of(evaluator: Evaluator, points: int = POINTS) -> Kind:
    """Evaluate so many Sobol points without noise; better means in all objectives than the default."""
    problem = evaluator.problem
    reference = metrics_of(evaluator.evaluate(problem.space.default or {}, None).outcome)
    target = None if reference is None else problem.costs(reference)
    crashed = erroneous = broken = better = 0
    for config in islice(unseen(problem.space, (), _SEED), points):
        outcome = evaluator.evaluate(config, None).outcome
        metrics = metrics_of(outcome)
        costs = usable_costs(problem, metrics)
        crashed += isinstance(outcome, Failed)
        if metrics is not None and costs is None:
            noisy = metrics["error_rate"] > problem.max_error_rate
            erroneous, broken = erroneous + noisy, broken + (not noisy)
        better += costs is not None and target is not None and bool(np.all(costs < target))
    return Kind(*(count / points for count in (crashed, erroneous, broken, better)))


def services_table(scenarios: Iterable[Scenario]) -> list[str]:
    """Markdown."""
    header = ["split", "service", "load", "objectives", "parameters", "noise"]
    header += ["crash", "too many errors", "break SLOs", "better than default"]
    return table(header, (_service_row(scenario) for scenario in scenarios))


def _service_row(scenario: Scenario) -> list[str]:
    evaluator = Evaluator(scenario)
    kind = kind_of(evaluator)
    shares = [f"{share:.0%}" for share in (kind.crashed, kind.erroneous, kind.broken, kind.better)]
    wanted = ", ".join([scenario.objectives, *scenario.slos])
    load = f"{scenario.application}, {scenario.rate:g}/s"
    noise = f"{scenario.noise:.0%}"
    return [scenario.split, scenario.name, load, wanted, str(evaluator.problem.space.dimension), noise, *shares]
