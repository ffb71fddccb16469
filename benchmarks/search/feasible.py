"""What kind of service each is: the share of its configurations that cannot be used, and what there is to gain."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from benchmarks.search.best_known import metrics_of, usable_costs
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.services import Scenario
from benchmarks.search.tables import markdown
from scoot_ray.search import Failed
from scoot_ray.search.sampling import unseen

_POINTS = 200
_SEED = 12345  # of no cell


def services_table(scenarios: Iterable[Scenario]) -> list[str]:
    """Markdown; of Sobol points that keep the known constraints, without noise."""
    header = ["split", "service", "load", "objectives", "parameters", "noise"]
    header += ["crash", "too many errors", "break SLOs", "better than default"]
    return markdown(header, (_service_row(scenario) for scenario in scenarios))


def _service_row(scenario: Scenario) -> list[str]:
    evaluator = Evaluator(scenario)
    problem = evaluator.problem
    default = problem.space.default or {}
    reference = metrics_of(evaluator.evaluate(default, None).outcome)
    target = None if reference is None else problem.costs(reference)
    crashed = erroneous = broken = better = 0
    for config in islice(unseen(problem.space, (), _SEED), _POINTS):
        outcome = evaluator.evaluate(config, None).outcome
        metrics = metrics_of(outcome)
        costs = usable_costs(problem, metrics)
        crashed += isinstance(outcome, Failed)
        if metrics is not None and costs is None:
            noisy = metrics["error_rate"] > problem.max_error_rate
            erroneous, broken = erroneous + noisy, broken + (not noisy)
        better += costs is not None and target is not None and bool(np.all(costs < target))
    shares = [f"{count / _POINTS:.0%}" for count in (crashed, erroneous, broken, better)]
    wanted = ", ".join([scenario.objectives, *scenario.slos])
    load = f"{scenario.application}, {scenario.rate:g}/s"
    noise = f"{scenario.noise:.0%}"
    return [scenario.split, scenario.name, load, wanted, str(problem.space.dimension), noise, *shares]
