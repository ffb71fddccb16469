"""A made-up service on a real search space: its metrics cost nothing, so that only the tuner's own work is timed."""

from __future__ import annotations

import numpy as np

from scoot_ray.search import Failed, FailureKind, Measured, Observation, Outcome, Problem, Trial
from scoot_ray.search.space import FloatArray

_NOISE = 0.02  # relative
_SHORTEST_S, _LONGEST_S = 120.0, 240.0
_START_S = 30.0  # of either; the rest is load
_FRAGILE = 0.85  # of the first axis: beyond, every other configuration runs out of memory


class Service:
    """Two latencies with optima at different places, a corner that fails, and durations of two to four minutes."""

    def __init__(self, problem: Problem, seed: int) -> None:
        self._problem, self._seed = problem, seed
        self._best = np.random.default_rng(seed).random((2, problem.space.dimension))

    def evaluate(self, trial: Trial) -> Observation:
        """What comes of a trial, the same whenever it is asked."""
        rng = np.random.default_rng([self._seed, trial.id])
        u = self._problem.space.encode(trial.config)
        took_s = float(rng.uniform(_SHORTEST_S, _LONGEST_S))
        timings = {"start_s": _START_S, "load_s": took_s - _START_S}
        return Observation(trial, self._outcome(u, rng), f"node {trial.id % 32}", timings)

    def _outcome(self, u: FloatArray, rng: np.random.Generator) -> Outcome:
        if u[0] > _FRAGILE and u[1] > 0.5:
            return Failed(FailureKind.OUT_OF_MEMORY, "no room for the KV cache")
        away = np.sum((u - self._best) ** 2, axis=1)
        ttft, tpot = np.array([400.0, 20.0]) * np.exp(away) * np.exp(rng.normal(0.0, _NOISE, 2))
        latencies = {
            f"{shape}_{name}_ms": float(value * factor)
            for name, value in (("ttft", ttft), ("tpot", tpot), ("itl", tpot), ("e2el", ttft + 200 * tpot))
            for shape, factor in (("mean", 1.0), ("median", 0.9), ("p90", 1.6), ("p95", 1.9), ("p99", 2.5))
        }
        metrics = {"request_throughput": 4.9, "output_throughput": 900.0, "error_rate": 0.0, **latencies}
        return Measured(metrics, (metrics,))
