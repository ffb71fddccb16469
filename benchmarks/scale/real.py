"""One study at scale on a real Ray: worker actors, simulated engines in processes of their own, loads in real time."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import ray
import yaml

from benchmarks.scale.attempts import Attempt
from scoot_ray.cluster.optimizer import RemoteOptimizer
from scoot_ray.driver import create, pool_of
from scoot_ray.journal import Journal
from scoot_ray.log import Log
from scoot_ray.resolve import resolve
from scoot_ray.search import Failed, FailureKind, Measured, Observation, Trial
from scoot_ray.study import read_study
from scoot_ray.tune import Evaluator, RetryPolicy, tune

_SAMPLE_S = 10.0
_ROWS = 200
_OF_LATE = {"mean_ttft_ms": 1000.0, "mean_tpot_ms": 50.0, "error_rate": 0.0}  # made up
ROLES = ("driver", "optimizer", "worker")


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the machine: its load, and the resident memory in MiB of each process by its role."""

    at_s: float
    ended: int
    load: float
    resident_mib: Mapping[str, Sequence[float]]


@dataclass(slots=True)
class Real:
    """What a run found. ``joining_s``: to start Ray; ``thinking_s``: one entry a call that gave suggestions."""

    slots: int
    load_s: float
    joining_s: float = 0.0
    attempts: list[Attempt] = field(default_factory=list)
    thinking_s: list[float] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    repeated: int = 0

    @property
    def attempts_of_first_filling(self) -> list[Attempt]:
        """Those that were submitted before any had ended: all workers and engines start at once."""
        first_end_s = min(one.ended_s for one in self.attempts)
        return [one for one in self.attempts if one.submitted_s < first_end_s]

    @property
    def attempts_after_it(self) -> list[Attempt]:
        """The others."""
        first_end_s = min(one.ended_s for one in self.attempts)
        return [one for one in self.attempts if one.submitted_s >= first_end_s]


def document(slots: int, evaluations: int, load_s: float, rate: float) -> dict[str, Any]:
    """The study: no configuration of it fails, and an evaluation takes the load's time and the engine's start."""
    counts = {"type": "integer", "low": 16, "high": 256, "scale": "powers_of_two", "default": 128}
    return {
        "name": "scale",
        "engine": {
            "kind": "simulated",
            "clock": "real",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A100-80G", "count": 1},
        },
        "resources": {"cpus": 1},
        "parallelism": slots,
        "workload": {
            "trace": "trace.jsonl",
            "arrivals": {"process": "constant", "rate": rate},
            "duration_s": load_s,
            "warmup": 2,
            "request_timeout_s": 60,
        },
        "objectives": "interactive",
        "space": {
            "max_num_seqs": counts,
            "max_num_batched_tokens": {**counts, "low": 2048, "high": 65536, "default": 2048},
            "stream_interval": {"type": "integer", "low": 1, "high": 16, "default": 1},
        },
        "engine_rules": "none",
        "budget": {"observations": evaluations, "end_hopeless": False},
        "confirmation": {"finalists": 0},
    }


def run_real(folder: Path, slots: int, evaluations: int, load_s: float, rate: float) -> Real:
    """Run the study in ``folder`` on a Ray of its own that is told to have a CPU for each slot."""
    study = _written(folder, document(slots, evaluations, load_s, rate))
    resolved = resolve(read_study(study), study)
    found, began_s = Real(slots, load_s), time.monotonic()
    with _ray(slots):
        found.joining_s = time.monotonic() - began_s
        run = create(resolved)
        journal = Journal(run.journal)
        pool = _Pool(pool_of(resolved, run, Log()), found)
        optimizer = _Optimizer(RemoteOptimizer(resolved, cancelled=lambda: False), found)
        log = tune(resolved.study, Log(), optimizer, pool, journal, _Stop(), _Machine(found))
        found.repeated = log.attempts
    return found


def _written(folder: Path, study: Mapping[str, Any]) -> Path:
    rows = ({"timestamp": 250 * i, "input_length": 30 + i % 50, "output_length": 4 + i % 3} for i in range(_ROWS))
    folder.joinpath("trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**study, "output": str(folder / "runs")}))
    return path


@contextmanager
def _ray(slots: int) -> Iterator[None]:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init(address="local", num_cpus=slots, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(slots=True)
class _Pool:
    """The product's, with a note of when each attempt was submitted and ended.

    What a load measures does not matter here, only the time it took: one that was sent late is told as measured, with
    figures that are made up, rather than repeated.
    """

    inner: Evaluator
    found: Real
    submitted_s: dict[int, float] = field(default_factory=dict)

    @property
    def free_slots(self) -> int:
        return self.inner.free_slots

    @property
    def pending(self) -> Collection[int]:
        return self.inner.pending

    def submit(self, trial: Trial) -> None:
        self.submitted_s[trial.id] = time.monotonic()
        self.inner.submit(trial)

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        return [self._noted(observation) for observation in self.inner.wait(timeout_s)]

    def close(self) -> None:
        self.inner.close()

    def _noted(self, observation: Observation) -> Observation:
        outcome = observation.outcome
        late = isinstance(outcome, Failed) and outcome.kind is FailureKind.CLIENT_LAGGED
        if late or isinstance(outcome, Measured):
            began_s = self.submitted_s[observation.trial.id]
            self.found.attempts.append(Attempt(began_s, time.monotonic(), observation.timings, late))
        return replace(observation, outcome=Measured(_OF_LATE, (_OF_LATE,))) if late else observation


@dataclass(slots=True)
class _Optimizer:
    """The product's, in its actor; what each call for suggestions took is noted."""

    inner: RemoteOptimizer
    found: Real

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        trials = self.inner.suggest(log, count)
        if trials:
            self.found.thinking_s.append(self.inner.thinking.last_s)
        return trials

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        return self.inner.confirm(log, count)


class _Stop:
    """The product's retries."""

    def requested(self, log: Log) -> bool:
        return RetryPolicy().exhausted(log) is not None


@dataclass(slots=True)
class _Machine:
    """A watcher that looks at the machine now and then."""

    found: Real

    def update(self, log: Log) -> None:
        samples, now_s = self.found.samples, time.monotonic()
        if not samples or now_s - samples[-1].at_s > _SAMPLE_S:
            samples.append(Sample(now_s, len(log.observations), os.getloadavg()[0], _resident_mib()))


def _resident_mib() -> dict[str, list[float]]:
    """Of this process, and of the actors below it by their titles."""
    own = psutil.Process()
    seen: dict[str, list[float]] = {"driver": [own.memory_info().rss / 2**20], "optimizer": [], "worker": []}
    for process in own.children(recursive=True):
        try:
            title, rss = " ".join(process.cmdline()), process.memory_info().rss / 2**20
        except psutil.Error:
            continue  # it has just ended
        if title.startswith("ray::SearchOptimizer"):
            seen["optimizer"].append(rss)
        elif title.startswith("ray::Worker"):
            seen["worker"].append(rss)
    return seen
