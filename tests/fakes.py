"""Stand-ins with a known truth, for tests of what stands above them."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence

import numpy as np

from scoot_ray.log import Log
from scoot_ray.search import (
    Boolean,
    Config,
    Failed,
    FailureKind,
    Integer,
    Measured,
    Objective,
    Observation,
    Origin,
    Outcome,
    Problem,
    SearchSpace,
    Trial,
)
from scoot_ray.study import Study, parse_study

STUDY = """
name: fake
engine: {model: fake-model, python: elsewhere/bin/python}
workload: {trace: trace.jsonl, arrivals: {rate: 5}, duration_s: 10}
objectives: interactive
space:
  max_num_seqs: {type: integer, low: 1, high: 64, scale: powers_of_two, default: 64}
  max_num_batched_tokens: {type: integer, low: 32, high: 1024, scale: powers_of_two, default: 512}
  enable_prefix_caching: {type: boolean, default: true}
constraints: ["max_num_batched_tokens >= max_num_seqs"]
"""


def study(**changes: object) -> Study:
    """A small valid study; ``changes`` replace whole sections."""
    return parse_study(STUDY, "study.yaml").model_copy(update=changes)


def problem(objectives: tuple[Objective, ...] = (Objective("mean_ttft_ms"), Objective("mean_tpot_ms"))) -> Problem:
    """The search problem of that study."""
    space = SearchSpace(
        [
            Integer("max_num_seqs", 1, 64, scale="powers_of_two"),
            Integer("max_num_batched_tokens", 32, 1024, scale="powers_of_two"),
            Boolean("enable_prefix_caching"),
        ],
        constraints=["max_num_batched_tokens >= max_num_seqs"],
        default={"max_num_seqs": 64, "max_num_batched_tokens": 512, "enable_prefix_caching": True},
    )
    return Problem(space, objectives)


def truth(config: Config) -> Outcome:
    """Few sequences make the first token wait, many make each token slow; 32 without caching run out of memory."""
    sequences, tokens = int(config["max_num_seqs"]), int(config["max_num_batched_tokens"])
    if not config["enable_prefix_caching"] and sequences >= 32:
        return Failed(FailureKind.OUT_OF_MEMORY, "no room for the KV cache")
    reuse = 0.6 if config["enable_prefix_caching"] else 1.0
    metrics = {
        "mean_ttft_ms": reuse * (2000 / sequences + 40_000 / tokens + tokens / 20),
        "mean_tpot_ms": 10 + sequences * 0.7 + tokens / 100,
        "request_throughput": min(8.0, 0.4 * sequences),
        "error_rate": 0.0,
    }
    return Measured(metrics, (metrics,))


class SobolOptimizer:
    """Suggests random allowed configurations and confirms ``confirmations`` times; ids continue the log's."""

    def __init__(self, seed: int = 0, confirmations: int = 0) -> None:
        self._seed, self._confirmations, self._problem = seed, confirmations, problem()

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        space = self._problem.space
        rng = random.Random(f"{self._seed}/{log.spent}")
        found: list[Trial] = []
        while len(found) < count:
            config = space.decode(np.array([rng.random() for _ in space.names]))
            if space.allows(config):
                found.append(Trial(log.next_id + len(found), config, Origin.MODEL))
        return tuple(found)

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        done = sum(trial.origin is Origin.CONFIRMATION for trial in log.trials)
        number = min(count, self._confirmations - done)
        default = self._problem.space.default or {}
        return tuple(Trial(log.next_id + at, default, Origin.CONFIRMATION, (at + 1,)) for at in range(number))


class FakeEvaluator:
    """Slots that come and go, and trials that finish, fail by our fault or nobody's, or vanish with a killed driver."""

    def __init__(
        self,
        rng: random.Random,
        slots: Callable[[], int] = lambda: 1,
        fault_rate: float = 0.0,
        outcome: Callable[[Config], Outcome] = truth,
        doubt_rate: float = 0.0,
    ) -> None:
        self._rng, self._slots, self._fault_rate, self._outcome = rng, slots, fault_rate, outcome
        self._doubt_rate = doubt_rate
        self._running: dict[int, Trial] = {}
        self.evaluated: list[int] = []
        self.closed = False
        self.most_running = 0

    @property
    def free_slots(self) -> int:
        return max(0, self._slots() - len(self._running))

    @property
    def pending(self) -> Collection[int]:
        return set(self._running)

    def submit(self, trial: Trial) -> None:
        assert trial.id not in self._running, f"trial {trial.id} runs twice"
        self._running[trial.id] = trial
        self.most_running = max(self.most_running, len(self._running))

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        finished = [trial for trial in self._running.values() if self._rng.random() < 0.5]
        for trial in finished:
            del self._running[trial.id]
        return [self._observe(trial) for trial in finished]

    def close(self) -> None:
        self.closed = True

    def _observe(self, trial: Trial) -> Observation:
        if self._rng.random() < self._fault_rate:
            return Observation(trial, Failed(FailureKind.NODE_LOST, "the node went away"))
        if self._rng.random() < self._doubt_rate:
            return Observation(trial, Failed(FailureKind.CRASHED, "nobody knows why", ambiguous=True), "fake")
        self.evaluated.append(trial.id)
        return Observation(trial, self._outcome(trial.config), "fake", {"load_s": 1.0})


class Silent:
    """A watcher that shows nothing."""

    def update(self, log: Log) -> None:
        """Nothing."""


class Never:
    """A stop that never asks."""

    def requested(self, log: Log) -> bool:
        return False


class After:
    """A stop that asks after so many looks: a driver that is killed there."""

    def __init__(self, looks: int) -> None:
        self._left = looks

    def requested(self, log: Log) -> bool:
        self._left -= 1
        return self._left < 0
