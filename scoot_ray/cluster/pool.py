"""The pool: a fresh placement group and a fresh worker actor for every trial, and the meaning of their deaths."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    GetTimeoutError,
    OutOfMemoryError,
    RayError,
    RayTaskError,
)
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from scoot_ray.cluster.activity import Activity
from scoot_ray.cluster.evaluation import Finished, deadline_s
from scoot_ray.cluster.placement import reserve
from scoot_ray.cluster.task import Task
from scoot_ray.cluster.worker import Worker
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Observation, Trial


@dataclass(slots=True)
class _Evaluation:
    """A trial under way. The only mutable thing in the pool beside the table of them."""

    trial: Trial
    group: PlacementGroup
    worker: Any  # an actor handle; Ray makes its methods at run time
    result: ray.ObjectRef[Finished]
    submitted_s: float
    phase: str = "waiting for resources"
    phase_since_s: float = field(default_factory=time.monotonic)
    where: str = ""
    asked: ray.ObjectRef[tuple[str, str]] | None = None
    began_s: float | None = None


class RayPool:
    """An Evaluator whose slots are placement groups. Results are on disk before they are handed on."""

    def __init__(self, task: Task, folder: RunFolder) -> None:
        self._study, self._folder = task.study, folder
        self._task = ray.put(task)
        self._running: dict[int, _Evaluation] = {}

    @property
    def free_slots(self) -> int:
        """How many trials may be submitted now."""
        return max(0, self._study.parallelism - len(self._running))

    @property
    def pending(self) -> Collection[int]:
        """Ids of the trials under way."""
        return self._running.keys()

    @property
    def activities(self) -> tuple[Activity, ...]:
        """What each slot is doing."""
        now_s = time.monotonic()
        return tuple(
            Activity(one.trial, one.phase, now_s - one.phase_since_s, one.where)
            for one in list(self._running.values())  # the display asks from a thread of its own
        )

    def submit(self, trial: Trial) -> None:
        """Reserve resources for a trial and start it there as soon as they are had."""
        group = reserve(self._study.resources)
        worker: Any = (
            ray.remote(Worker)
            .options(
                name=f"{self._study.name} trial {trial.id} {uuid.uuid4().hex[:6]}",
                num_cpus=self._study.resources.cpus,
                num_gpus=self._study.resources.gpus,
                max_restarts=0,
                max_concurrency=2,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group),
            )
            .remote()
        )
        result = worker.evaluate.remote(self._task, trial)
        self._running[trial.id] = _Evaluation(trial, group, worker, result, time.monotonic())

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        """What has finished, after at most ``timeout_s``."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        results = {one.result: one for one in self._running.values()}
        ready, _ = ray.wait(list(results), num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(list(results), num_returns=len(results), timeout=0)
        done = [observation for ref in ready if (observation := self._collect(results[ref])) is not None]
        self._listen()
        return done + self._overdue()

    def close(self) -> None:
        """Kill every worker; the guardians end the engines."""
        for one in list(self._running.values()):
            with contextlib.suppress(RayError):  # a cluster that has gone holds nothing any more
                self._release(one)

    def _collect(self, one: _Evaluation) -> Observation | None:
        """Turn a finished call into an observation; None where the worker may still answer."""
        try:
            finished: Finished = ray.get(one.result, timeout=60)
        except GetTimeoutError:
            return None  # still on its way here from a slow node
        except RayError as error:
            self._release(one)
            return Observation(one.trial, Failed(*_fault(error)), one.where, {})
        self._release(one)
        queue_s = max(0.0, time.monotonic() - one.submitted_s - sum(finished.observation.timings.values()))
        observation = Observation(
            one.trial,
            finished.observation.outcome,
            finished.observation.where,
            {"queue_s": queue_s, **finished.observation.timings},
        )
        self._folder.save(observation, finished.files)
        return observation

    def _listen(self) -> None:
        """Ask every worker for its phase, at most one question open per worker."""
        for one in self._running.values():
            if one.asked is None:
                one.asked = one.worker.phase.remote()
                continue
            ready, _ = ray.wait([one.asked], timeout=0)
            if ready:
                _hear(one)
                one.asked = None

    def _overdue(self) -> list[Observation]:
        """Give up on workers that have had more time than every phase together may take."""
        now_s, late = time.monotonic(), []
        for one in tuple(self._running.values()):
            limit_s = deadline_s(self._study, one.trial)
            if one.began_s is not None and now_s - one.began_s > limit_s:
                self._release(one)
                failed = Failed(FailureKind.INTERNAL, f"no answer from the worker within {limit_s:.0f} s")
                late.append(Observation(one.trial, failed, one.where, {}))
        return late

    def _release(self, one: _Evaluation) -> None:
        ray.kill(one.worker, no_restart=True)
        remove_placement_group(one.group)
        self._running.pop(one.trial.id, None)


def _hear(one: _Evaluation) -> None:
    assert one.asked is not None  # the caller has asked
    try:
        phase, where = ray.get(one.asked, timeout=1)
    except RayError:
        return  # the result of the evaluation will say what happened
    now_s = time.monotonic()
    if one.began_s is None:
        one.began_s = now_s
    if phase != one.phase:
        one.phase, one.phase_since_s = phase, now_s
    one.where = where


def _fault(error: RayError) -> tuple[FailureKind, str]:
    """Whose fault a dead worker is: never the configuration's, whose failures come back as values."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if isinstance(error, RayTaskError):
        return FailureKind.INTERNAL, line
    if isinstance(error, OutOfMemoryError):
        return FailureKind.NODE_LOST, "Ray killed the worker because the node ran out of memory"
    if isinstance(error, ActorDiedError):
        kind = FailureKind.PREEMPTED if error.preempted else FailureKind.NODE_LOST
        return kind, f"the worker died with its node or was killed ({line})"
    return FailureKind.NODE_LOST, line
