"""One study at scale: the product's loop, optimizer and journal around a pool that runs nothing."""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.scale.pool import Clock, FakePool
from benchmarks.scale.service import Service
from benchmarks.search.relatives import find_scenario
from scoot_ray.journal import Journal
from scoot_ray.load.trace import Trace
from scoot_ray.log import Log
from scoot_ray.optimizer import SearchOptimizer
from scoot_ray.resolve import Resolved
from scoot_ray.search import Observation, Trial
from scoot_ray.study import Study, parse_study
from scoot_ray.tune import RetryPolicy, tune

_SERVICE = "bot-13b-2a10"  # whose search space is taken: 9 parameters, two objectives
_STUDY = """
name: scale
tuner: {tuner}
engine: {{model: none, python: none}}
workload: {{trace: none, arrivals: {{rate: 5}}}}
objectives: interactive
space: {{none: {{type: boolean, default: true}}}}
budget: {{observations: {evaluations}}}
parallelism: {slots}
confirmation: {{finalists: 0}}
"""


@dataclass(slots=True)
class Spent:
    """CPU seconds and calls of one part of the work."""

    cpu_s: list[float] = field(default_factory=list)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what is done inside."""
        began_s = time.process_time()
        yield
        self.cpu_s.append(time.process_time() - began_s)


@dataclass(slots=True)
class Scale:
    """What a run found.

    ``busy_until_last_start`` are slot seconds at work until the last trial started: then slots run empty for want of
    budget. ``resident_mib`` is (evaluations finished, memory of the process) on the way.
    """

    slots: int
    evaluations: int
    suggesting: Spent = field(default_factory=Spent)
    suggested: int = 0
    sending: Spent = field(default_factory=Spent)
    journalling: Spent = field(default_factory=Spent)
    replay_s: float = 0.0
    lasted_s: float = 0.0
    busy_s: float = 0.0
    last_started_s: float = 0.0
    busy_until_last_start: float = 0.0
    resident_mib: list[tuple[int, float]] = field(default_factory=list)


def run(folder: Path, tuner: str, slots: int, evaluations: int, seed: int = 0) -> Scale:
    """Run a study of so many evaluations in so many slots, its journal in ``folder``, and replay it at the end."""
    study = _study(tuner, slots, evaluations)
    problem = find_scenario(_SERVICE).problem()
    scale, clock = Scale(slots, evaluations), Clock()
    clock.skipped_s = -clock.now_s
    pool = FakePool(Service(problem, seed), slots, clock)
    journal = _Journal(Journal(folder), scale, clock, pool)
    optimizer = _Optimizer(SearchOptimizer(Resolved(study, problem, Trace((), "none", ""))), scale)
    with threadpool_limits(1):  # as Ray sees to in the optimizer's actor
        tune(study, Log(), optimizer, pool, journal, _Stop(), _Memory(scale))
    scale.lasted_s, scale.busy_s = clock.now_s, pool.busy_s
    began_s = time.process_time()
    Journal(folder).replay()
    scale.replay_s = time.process_time() - began_s
    return scale


def _study(tuner: str, slots: int, evaluations: int) -> Study:
    return parse_study(_STUDY.format(tuner=tuner, slots=slots, evaluations=evaluations), "scale.yaml")


@dataclass(slots=True)
class _Optimizer:
    """The product's, timed; a log is pickled and read back for each call, as on its way to the optimizer's actor."""

    inner: SearchOptimizer
    scale: Scale

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        with self.scale.sending.timed():
            log = pickle.loads(pickle.dumps(log))
        with self.scale.suggesting.timed():
            trials = self.inner.suggest(log, count)
        self.scale.suggested += len(trials)
        return trials

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        return self.inner.confirm(log, count)


@dataclass(slots=True)
class _Journal:
    """The product's, timed; it also sees when the last trial starts, after which slots run empty."""

    inner: Journal
    scale: Scale
    clock: Clock
    pool: FakePool

    def submitted(self, log: Log, trial: Trial) -> Log:
        with self.scale.journalling.timed():
            after = self.inner.submitted(log, trial)
        self.scale.last_started_s = self.clock.now_s
        self.scale.busy_until_last_start = self.pool.busy_s - self.pool.left_s
        return after

    def observed(self, log: Log, observation: Observation) -> Log:
        with self.scale.journalling.timed():
            return self.inner.observed(log, observation)


@dataclass(slots=True)
class _Memory:
    """A watcher that notes the process's memory after every hundredth evaluation."""

    scale: Scale

    def update(self, log: Log) -> None:
        noted = self.scale.resident_mib
        if len(log.observations) // 100 > (noted[-1][0] // 100 if noted else -1):
            noted.append((len(log.observations), _resident_mib()))


class _Stop:
    """The product's retries, which here are never exhausted."""

    def requested(self, log: Log) -> bool:
        return RetryPolicy().exhausted(log) is not None


def _resident_mib() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmRSS:"))
