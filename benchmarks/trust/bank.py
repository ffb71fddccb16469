"""Every run that the studies of a service may draw: each variant under each arrival order, simulated once.

Of a service without gain all variants are the default, each run with noise of its own; of one with gain they are the
default and Sobol points. Variant 0 is what runs today.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from benchmarks.search.evaluation import Evaluator
from benchmarks.search.files import write_json
from benchmarks.search.services import SERVICES, Scenario
from scoot_ray.search import Config, Measured, Metrics
from scoot_ray.search.sampling import unseen

_NAMED = {scenario.name: scenario for scenario in SERVICES}


@dataclass(frozen=True, slots=True)
class Plan:
    """Which bank: a service, whether anything can be gained there, how many variants and arrival orders."""

    service: str
    gain: bool
    variants: int
    orders: int

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.service}-{'gain' if self.gain else 'none'}"


@dataclass(frozen=True, slots=True)
class Bank:
    """``runs[variant][order]`` are metrics, None where the engine did not survive or no request succeeded."""

    plan: Plan
    runs: Sequence[Sequence[Metrics | None]]


def banks(folder: Path, plans: Sequence[Plan], pool: Executor) -> Iterator[Bank]:
    """The banks of a folder; what is missing is simulated.

    Raises:
        ValueError: the folder holds a bank of another size.
    """
    for plan in plans:
        path = folder / "banks" / f"{plan.name}.json"
        if not path.is_file():
            by_order = list(pool.map(_under_order, [plan] * plan.orders, range(plan.orders)))
            write_json(path, {"plan": asdict(plan), "runs": [list(runs) for runs in zip(*by_order, strict=True)]})
        document = json.loads(path.read_text())
        if Plan(**document["plan"]) != plan:
            raise ValueError(f"{path}: was made for other options; use another folder")
        yield Bank(plan, document["runs"])


def variants(plan: Plan) -> list[Config]:
    """What each variant stands for."""
    problem = _NAMED[plan.service].problem()
    default = problem.space.default
    assert default is not None  # every service has one
    if not plan.gain:
        return [default] * plan.variants
    points = unseen(problem.space, {problem.space.key(default)}, seed=0)
    return [default, *islice(points, plan.variants - 1)]


def scenario_of(plan: Plan) -> Scenario:
    """The service of a bank."""
    return _NAMED[plan.service]


def _under_order(plan: Plan, order: int) -> list[Metrics | None]:
    """All variants under one arrival order."""
    evaluator = Evaluator(scenario_of(plan), order)
    outcomes = [evaluator.evaluate(one, (order, at)).outcome for at, one in enumerate(variants(plan))]
    return [dict(outcome.metrics) if isinstance(outcome, Measured) else None for outcome in outcomes]
