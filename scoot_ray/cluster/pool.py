"""The pool: a fresh placement group and a fresh worker actor for every trial, wherever there is room now."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Sequence
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from scoot_ray.cluster.activity import Activity
from scoot_ray.cluster.arrival import arrived, astray
from scoot_ray.cluster.capacity import View
from scoot_ray.cluster.deadline import deadline_s
from scoot_ray.cluster.entrance import Entrance
from scoot_ray.cluster.evaluation import Finished
from scoot_ray.cluster.nodes import Nodes
from scoot_ray.cluster.placement import reserve
from scoot_ray.cluster.running import Running, fault
from scoot_ray.cluster.salvage import Salvage
from scoot_ray.cluster.task import Task
from scoot_ray.cluster.view import Lookout
from scoot_ray.cluster.worker import Worker
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Observation, Trial
from scoot_ray.study import Resources

_PATIENCE_S = 15.0  # for a slot that was idle and is somebody else's now, and for a worker on a node that is leaving
_WORKER_S = 900.0  # for a worker's first word: its environment may have to be installed
_FETCH_S = 1.0  # for a result that is on this machine


class RayPool:
    """An Evaluator whose slots are placement groups. Results are on disk before they are handed on.

    What still waits for resources may be taken back: the trial is then not pending, and is submitted again when there
    is room.
    """

    def __init__(self, task: Task, resources: Resources, folder: RunFolder, entrance: Entrance) -> None:
        self._study, self._resources, self._folder, self._entrance = task.study, resources, folder, entrance
        self._task = ray.put(task)
        self._running: dict[int, Running] = {}
        self._unfreed: list[Running] = []  # evaluations that have ended; their slots cannot be used yet
        self._lookout, self._nodes = Lookout(), Nodes(resources)
        self._over: str | None = None
        self._salvage = Salvage(self._task, folder)
        self._lacking: tuple[Running, ...] = ()  # those that no present node can hold

    @property
    def free_slots(self) -> int:
        """How many trials may be submitted now."""
        if not self._entrance.gate.open:
            return 0
        return self._entrance.rules.may_start(len(self._running), self._idle())

    @property
    def pending(self) -> Collection[int]:
        """Ids of the trials under way."""
        return self._running.keys()

    @property
    def activities(self) -> tuple[Activity, ...]:
        """What each slot is doing."""
        now_s = time.monotonic()  # the display asks from a thread of its own
        return tuple(one.activity(now_s) for one in (*list(self._running.values()), *list(self._unfreed)))

    @property
    def notices(self) -> tuple[str, ...]:
        """What keeps slots from being used."""
        reason = self._entrance.gate.reason
        nothing = () if reason is None else (f"nothing is started: {reason}",)
        return (*nothing, *self._nodes.notices, *sorted({one.phase for one in self._lacking}))

    @property
    def over(self) -> str | None:
        """Why nothing will be started ever again; None while something is under way."""
        return self._over

    def submit(self, trial: Trial) -> None:
        """Reserve resources for a trial and start it there as soon as they are had."""
        attempt = uuid.uuid4().hex
        condition = self._nodes.for_trial(trial, self._look())
        group = reserve(self._resources, condition)
        worker: Any = (
            ray.remote(Worker)
            .options(
                name=f"{self._study.name} trial {trial.id} {attempt[:6]}",
                num_cpus=self._resources.cpus,
                num_gpus=self._resources.gpus,
                max_restarts=0,
                max_concurrency=2,
                scheduling_strategy=PlacementGroupSchedulingStrategy(group),
            )
            .remote()
        )
        result = worker.evaluate.remote(self._task, trial, attempt)
        self._running[trial.id] = Running(
            trial, group, worker, result, attempt, bound=bool(condition), submitted_s=time.monotonic()
        )

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        """What has finished, after at most ``timeout_s``."""
        running = tuple(self._running.values())
        if not running:
            self._over = self._entrance.over
            time.sleep(timeout_s)
        finished, strayed = arrived(running, timeout_s)
        self._look_around(self._look())
        done = [observation for one in finished if (observation := self._collect(one)) is not None]
        done += [self._lost(one, astray(one.leaving)) for one in strayed]
        for one in self._running.values():
            one.listen()
        self._salvage.collect()
        return done + self._overdue()

    def close(self) -> None:
        """Kill every worker; the guardians end the engines."""
        for one in (*self._running.values(), *self._unfreed):
            one.release()
        self._running.clear()
        self._unfreed.clear()

    def _look(self, fresh: bool = False) -> View | None:
        return self._lookout.look({one.group.id.hex() for one in self._running.values()}, fresh)

    def _idle(self) -> int:
        """Slots that nobody holds and none of ours is on its way to."""
        if (view := self._look()) is None:
            return 0
        coming = sum(view.node_of(one.group.id.hex()) is None for one in self._running.values())
        return self._nodes.idle(view) - coming

    def _look_around(self, view: View | None) -> None:
        """See where groups have gone, what keeps the others, and which slots are free of an engine's memory by now."""
        if view is not None:
            for one in self._running.values():
                one.locate(view)
                if one.waits:
                    one.enter(self._nodes.waiting_for(view, one.group.id.hex()))
            self._take_back()
            waiting = tuple(one for one in self._running.values() if one.waits)
            self._lacking = () if view.could_hold(self._resources) else waiting
        for one in list(self._unfreed):
            if not one.still_unfreed():
                self._unfreed.remove(one)
                one.release()

    def _collect(self, one: Running) -> Observation | None:
        """Turn a finished call into an observation; None where the worker may still answer."""
        try:
            finished: Finished = ray.get(one.result, timeout=_FETCH_S)
        except GetTimeoutError:
            return None  # it was here a moment ago; where it stays away, it has gone astray
        except RayError as error:
            return self._lost(one, fault(error, one.leaving))
        queue_s = max(0.0, time.monotonic() - one.submitted_s - sum(finished.observation.timings.values()))
        observation = Observation(
            one.trial,
            finished.observation.outcome,
            finished.observation.where,
            {"queue_s": queue_s, **finished.observation.timings},
        )
        self._ended(one, observation, keep=finished.unfreed_mib is not None)
        self._folder.save(observation, finished.files)
        return observation

    def _lost(self, one: Running, failed: Failed) -> Observation:
        """A worker that died; the engine's log may still be on its node."""
        observation = Observation(one.trial, failed, one.where, one.lost_timings(time.monotonic()))
        self._ended(one, observation)
        if one.node is not None:
            self._salvage.fetch(one.trial.id, one.node, one.scratch)
        return observation

    def _ended(self, one: Running, observation: Observation, keep: bool = False) -> None:
        """Learn from an evaluation, and give its slot back or ``keep`` it from others."""
        if (view := self._look(fresh=True)) is not None:
            one.locate(view)
        self._entrance.note(observation)
        self._nodes.note(one.node, observation, view)
        self._running.pop(one.trial.id, None)
        if keep:
            one.enter("waiting for its GPUs' memory to be free")
            one.asked = None
            self._unfreed.append(one)
        else:
            one.release()

    def _take_back(self) -> None:
        """Take back what may not start any more, or waits in vain: for a slot that looked idle or best, or a worker.

        Ray starts no worker on a node that is being drained, though it has reserved a place there for it before.
        """
        shut, now_s = not self._entrance.gate.open, time.monotonic()
        for one in reversed([one for one in self._running.values() if one.began_s is None]):
            too_many = len(self._running) > self._entrance.rules.parallelism.asked
            in_vain = (too_many or one.bound) and now_s - one.submitted_s > _PATIENCE_S
            left = one.leaving and one.silent_s(now_s) > _PATIENCE_S
            if left or (one.waits and (shut or in_vain)):
                self._running.pop(one.trial.id)
                self._nodes.taken_back(one.trial)
                one.release()

    def _overdue(self) -> list[Observation]:
        """Give up on workers that have had more time than every phase together may take, or than one needs to start."""
        now_s, observations = time.monotonic(), []
        for one in tuple(self._running.values()):
            limit_s, late = deadline_s(self._study, one.trial), "no answer from the worker"
            if one.began_s is None:
                limit_s, late = _WORKER_S, "no worker was started in its place"
            if one.silent_s(now_s) > limit_s or one.runs_s(now_s) > limit_s:
                failed = Failed(FailureKind.INTERNAL, f"{late} within {limit_s:.0f} s")
                observations.append(Observation(one.trial, failed, one.where, one.lost_timings(now_s)))
                self._ended(one, observations[-1])
        return observations
