"""Spaces, ground truths and histories that the search's tests share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from scoot_ray.search import (
    Boolean,
    Choice,
    Config,
    Failed,
    FailureKind,
    Float,
    Integer,
    Measured,
    Metrics,
    Observation,
    Origin,
    Problem,
    SearchSpace,
    Trial,
    suggest,
)

ENGINE = SearchSpace(
    [
        Integer("max_num_seqs", 64, 8192, scale="powers_of_two"),
        Integer("max_num_batched_tokens", 64, 8192, log=True),
        Float("scheduler_delay_factor", 0.0, 2.0),
        Choice("block_size", (8, 16, 32)),
        Choice("policy", ("fcfs", "priority", "fair")),
        Boolean("enable_chunked_prefill"),
        Boolean("enable_prefix_caching"),
    ],
    ["max_num_batched_tokens >= max_num_seqs", "not (enable_chunked_prefill and enable_prefix_caching)"],
    default={
        "max_num_seqs": 256,
        "max_num_batched_tokens": 2048,
        "scheduler_delay_factor": 0.0,
        "block_size": 16,
        "policy": "fcfs",
        "enable_chunked_prefill": False,
        "enable_prefix_caching": False,
    },
)

PLANE = SearchSpace([Float("a", 0.0, 1.0), Float("b", 0.0, 1.0)], default={"a": 0.1, "b": 0.9})

Evaluate = Callable[[Config], Metrics | None]


def bowl(config: Config) -> Metrics | None:
    """Smallest at (0.62, 0.31), on the rim of a region where everything crashes."""
    a, b = float(config["a"]), float(config["b"])
    if a > 0.7 and b < 0.6:
        return None
    return {"p95_e2el_ms": 1000.0 * math.exp(4 * ((a - 0.62) ** 2 + 2 * (b - 0.31) ** 2))}


def observe(trial_id: int, config: Config, origin: Origin, metrics: Metrics | None) -> Observation:
    outcome = Failed(FailureKind.CRASHED, "") if metrics is None else Measured(metrics)
    return Observation(Trial(trial_id, config, origin), outcome)


def study(
    tuner: str, problem: Problem, evaluate: Evaluate, budget: int, *, seed: int, parallel: int = 1
) -> list[Observation]:
    """Suggest and evaluate until the budget or the space is used up."""
    history: list[Observation] = []
    while len(history) < budget:
        wanted = min(parallel, budget - len(history))
        found = suggest(tuner, problem, history, (), wanted, seed, len(history))
        if not found:
            break
        history += [observe(len(history) + i, s.config, s.origin, evaluate(s.config)) for i, s in enumerate(found)]
    return history


def random_history(
    space: SearchSpace, metrics: Sequence[str], count: int, failing: float, seed: int
) -> list[Observation]:
    """Random configurations with random metrics, of which about a share ``failing`` failed."""
    rng = np.random.default_rng(seed)
    history: list[Observation] = []
    for index in range(count):
        config = space.decode(rng.random(space.dimension))
        values = None if rng.random() < failing else {m: float(rng.lognormal(3.0, 2.0)) for m in metrics}
        history.append(observe(index, config, Origin.MODEL if index else Origin.INITIAL, values))
    return history
