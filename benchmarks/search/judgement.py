"""What a tuner would recommend after n observations, and what that is worth without noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.search.best_known import metrics_of
from benchmarks.search.cell import Step, finished
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.files import read_json, write_json
from benchmarks.search.variants import base
from scoot_ray.search import Metrics, Observation, Problem, best_observed, recommend

_CHECKPOINTS = (1, 3, 5, 8, 10, 12, 15, 20, 25, 30, 35, 40, 45, 50, 60, 80, 100)


def checkpoints(budget: int) -> tuple[int, ...]:
    """After how many observations recommendations are judged: up to the budget, and there."""
    return (*(n for n in _CHECKPOINTS if n < budget), budget)


@dataclass(frozen=True, slots=True)
class Judgement:
    """``recommended``: trial ids by number of observations. ``metrics``: of these trials without noise, or None."""

    recommended: Mapping[int, tuple[int, ...]]
    metrics: Mapping[int, Metrics | None]

    def at(self, observations: int) -> list[Metrics | None]:
        """What is recommended after so many observations, without noise; None for what fails then."""
        return [self.metrics[trial] for trial in self.recommended[observations]]


def rule_of(tuner: str) -> Callable[[Problem, Sequence[Observation]], tuple[Observation, ...]]:
    """How a tuner recommends: ``scoot`` by its posterior, the paper's method and the others what they measured best."""
    return recommend if base(tuner) == "scoot" else best_observed


def judge(tuner: str, evaluator: Evaluator, steps: Sequence[Step], budget: int) -> Judgement:
    """Recommend from every prefix, and evaluate without noise whatever is ever recommended."""
    rule = rule_of(tuner)
    recommended = {
        n: tuple(o.trial.id for o in rule(evaluator.problem, finished(steps[:n]))) for n in checkpoints(budget)
    }
    trials = sorted({trial for ids in recommended.values() for trial in ids})
    metrics = {trial: metrics_of(evaluator.evaluate(steps[trial].trial.config, None).outcome) for trial in trials}
    return Judgement(recommended, metrics)


def write_judgement(judgement: Judgement, path: Path) -> None:
    """Write it down for ``read_judgement``."""
    document = {"simulated": True, "recommended": judgement.recommended, "metrics": judgement.metrics}
    write_json(path, document)


def read_judgement(path: Path) -> Judgement | None:
    """What was judged; None if nothing was."""
    document = read_json(path)
    if document is None:
        return None
    return Judgement(
        {int(n): tuple(ids) for n, ids in document["recommended"].items()},
        {int(trial): metrics for trial, metrics in document["metrics"].items()},
    )
