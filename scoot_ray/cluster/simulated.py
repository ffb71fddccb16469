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
from scoot_ray.cluster.entrance import Entrance
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Observation, Trial
from scoot_ray.simulation import WHERE, Simulation

_Result = tuple[Observation, dict[str, bytes]]


_DEADLINE_S = 600.0  # of one evaluation, which takes seconds at most


class Simulator:
    """The actor: evaluates one trial after another."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation

    def evaluate(self, trial: Trial) -> _Result:
        """Compute what an evaluation would have measured."""
        return self._simulation.evaluate(trial)

    def ready(self) -> None:
        """Answer: the actor has a CPU."""


@dataclass(slots=True)
class _Slot:
    """An actor, and the trials that it has been given; ``heard_s``: when it has last answered, None before it runs."""

    actor: Any  # an actor handle; Ray makes its methods at run time
    ready: ray.ObjectRef[None]
    trials: set[int]
    heard_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Evaluation:
    trial: Trial
    slot: _Slot
    submitted_s: float


class SimulatedPool:
    """An Evaluator of ``parallelism`` slots, carried by as many actors as the cluster has room for."""

    def __init__(self, simulation: Simulation, folder: RunFolder, entrance: Entrance) -> None:
        self._study, self._folder, self._entrance = simulation.study, folder, entrance
        self._over: str | None = None
        self._simulation = ray.put(simulation)
        self._slots = [self._new_slot() for _ in range(self._actors())]
        self._running: dict[ray.ObjectRef[_Result], _Evaluation] = {}

    @property
    def free_slots(self) -> int:
        """How many trials may be submitted now."""
        return max(0, self._study.parallelism.max - len(self._running)) if self._entrance.gate.open else 0

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

    @property
    def notices(self) -> tuple[str, ...]:
        """What keeps slots from being used."""
        reason = self._entrance.gate.reason
        return () if reason is None else (f"nothing is started: {reason}",)

    @property
    def over(self) -> str | None:
        """Why nothing will be started ever again; None while something is under way."""
        return self._over

    def submit(self, trial: Trial) -> None:
        """Give a trial to the actor with the fewest."""
        slot = min(self._slots, key=lambda one: len(one.trials))
        if not slot.trials and slot.heard_s is not None:
            slot.heard_s = time.monotonic()
        slot.trials.add(trial.id)
        result = slot.actor.evaluate.options(name=f"trial {trial.id}").remote(trial)
        self._running[result] = _Evaluation(trial, slot, time.monotonic())

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        """What has finished, after at most ``timeout_s``."""
        if not self._running:
            self._over = self._entrance.over
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        done = [self._collect(ref) for ref in ready]
        self._kill_hung()
        return done

    def close(self) -> None:
        """Kill the actors."""
        for slot in self._slots:
            with contextlib.suppress(RayError):  # a cluster that has gone holds nothing any more
                ray.kill(slot.actor, no_restart=True)

    def _collect(self, ref: ray.ObjectRef[_Result]) -> Observation:
        one = self._running.pop(ref)
        one.slot.trials.discard(one.trial.id)
        one.slot.heard_s = time.monotonic()
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

    def _kill_hung(self) -> None:
        """Kill actors that have not answered in time, whose trials then fail by our fault.

        One that still waits for a CPU is not meant.
        """
        now_s = time.monotonic()
        for slot in self._slots:
            if slot.heard_s is None and ray.wait([slot.ready], timeout=0)[0]:
                slot.heard_s = now_s
            if slot.trials and slot.heard_s is not None and now_s - slot.heard_s > _DEADLINE_S:
                ray.kill(slot.actor, no_restart=True)

    def _actors(self) -> int:
        """How many actors fit: one at least, which then may have to wait for a CPU."""
        cpus = ray.cluster_resources().get("CPU", 1.0)  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        fitting = int(cpus // self._study.resources.cpus)
        return max(1, min(self._study.parallelism.max, fitting))

    def _new_slot(self) -> _Slot:
        name = f"{self._study.name} simulator {uuid.uuid4().hex[:6]}"
        cls: Any = ray.remote(Simulator).options(name=name, num_cpus=self._study.resources.cpus, max_restarts=0)
        actor = cls.remote(self._simulation)
        return _Slot(actor, actor.ready.remote(), set())

    def _replace(self, slot: _Slot) -> None:
        """A new actor for one that died; what it had been given comes back as failed too."""
        if slot in self._slots:
            self._slots[self._slots.index(slot)] = self._new_slot()
