"""The pool for virtual time: a few CPU actors that are used again and again, since an evaluation takes no second."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import ActorDiedError, RayError

from scoot_ray.cluster.activity import Activity
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Observation, Trial
from scoot_ray.simulation import WHERE, Simulation

_Result = tuple[Observation, dict[str, bytes]]


class Simulator:
    """The actor: evaluates one trial after another."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def evaluate(self, trial: Trial) -> _Result:
        """Compute what an evaluation would have measured."""
        return self._simulation.evaluate(trial)


@dataclass(slots=True)
class _Slot:
    """An actor, and the trials that it has been given."""

    actor: Any  # an actor handle; Ray makes its methods at run time
    trials: set[int]


@dataclass(frozen=True, slots=True)
class _Evaluation:
    trial: Trial
    slot: _Slot
    submitted_s: float


class SimulatedPool:
    """An Evaluator of ``parallelism`` slots, carried by as many actors as the cluster has room for."""

    def __init__(self, simulation: Simulation, folder: RunFolder) -> None:
        self._study, self._folder = simulation.study, folder
        self._simulation = ray.put(simulation)
        self._slots = [self._new_slot() for _ in range(self._actors())]
        self._running: dict[ray.ObjectRef[_Result], _Evaluation] = {}

    @property
    def free_slots(self) -> int:
        """How many trials may be submitted now."""
        return max(0, self._study.parallelism - len(self._running))

    @property
    def pending(self) -> Collection[int]:
        """Ids of the trials under way."""
        return {one.trial.id for one in self._running.values()}

    @property
    def activities(self) -> tuple[Activity, ...]:
        """What each slot is doing."""
        now_s = time.monotonic()
        return tuple(
            Activity(one.trial, "simulating", now_s - one.submitted_s, WHERE)
            for one in list(self._running.values())  # the display asks from a thread of its own
        )

    def submit(self, trial: Trial) -> None:
        """Give a trial to the actor with the fewest."""
        slot = min(self._slots, key=lambda one: len(one.trials))
        slot.trials.add(trial.id)
        result = slot.actor.evaluate.options(name=f"trial {trial.id}").remote(trial)
        self._running[result] = _Evaluation(trial, slot, time.monotonic())

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        """What has finished, after at most ``timeout_s``."""
        if not self._running:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [self._collect(ref) for ref in ready]

    def close(self) -> None:
        """Kill the actors."""
        for slot in self._slots:
            with contextlib.suppress(RayError):  # a cluster that has gone holds nothing any more
                ray.kill(slot.actor, no_restart=True)

    def _collect(self, ref: ray.ObjectRef[_Result]) -> Observation:
        one = self._running.pop(ref)
        one.slot.trials.discard(one.trial.id)
        try:
            observation, files = ray.get(ref, timeout=60)
        except RayError as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            if isinstance(error, ActorDiedError):
                self._replace(one.slot)
                return Observation(one.trial, Failed(FailureKind.NODE_LOST, line), WHERE, {})
            return Observation(one.trial, Failed(FailureKind.INTERNAL, line), WHERE, {})
        self._folder.save(observation, files)
        return observation

    def _actors(self) -> int:
        """How many actors fit: one at least, which then may have to wait for a CPU."""
        cpus = ray.cluster_resources().get("CPU", 1.0)  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        fitting = int(cpus // self._study.resources.cpus)
        return max(1, min(self._study.parallelism, fitting))

    def _new_slot(self) -> _Slot:
        name = f"{self._study.name} simulator {uuid.uuid4().hex[:6]}"
        actor: Any = ray.remote(Simulator).options(name=name, num_cpus=self._study.resources.cpus, max_restarts=0)
        return _Slot(actor.remote(self._simulation), set())

    def _replace(self, slot: _Slot) -> None:
        """A new actor for one that died; what it had been given comes back as failed too."""
        if slot in self._slots:
            self._slots[self._slots.index(slot)] = self._new_slot()
