"""One evaluation under way on the cluster: its group, its worker, what is known of them; and what its death means."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayError, RayTaskError
from ray.util.placement_group import PlacementGroup, remove_placement_group

from scoot_ray.cluster.activity import Activity
from scoot_ray.cluster.capacity import View
from scoot_ray.cluster.evaluation import Finished
from scoot_ray.search import Failed, FailureKind, Trial


@dataclass(slots=True)
class Running:
    """A trial under way. The only mutable thing in the pool beside the tables of them.

    ``node`` is the id of the node that holds the group, once that is known; ``leaving``, that it is being drained;
    ``held_since_s``, since when it holds resources. ``finished_s`` is when its result was first seen to be somewhere.
    """

    trial: Trial
    group: PlacementGroup
    worker: Any  # an actor handle; Ray makes its methods at run time
    result: ray.ObjectRef[Finished]
    scratch: str
    bound: bool  # to a condition on nodes, which may not be the best for ever
    submitted_s: float
    phase: str = "waiting for resources"
    phase_since_s: float = field(default_factory=time.monotonic)
    where: str = ""
    asked: ray.ObjectRef[Any] | None = None
    began_s: float | None = None
    node: str | None = None
    leaving: bool = False
    held_since_s: float | None = None
    finished_s: float | None = None

    @property
    def waits(self) -> bool:
        """Whether no node is known to hold it yet."""
        return self.node is None and self.began_s is None

    def silent_s(self, now_s: float) -> float:
        """For how long it has held resources without a word of its worker."""
        return 0.0 if self.held_since_s is None or self.began_s is not None else now_s - self.held_since_s

    def runs_s(self, now_s: float) -> float:
        """For how long its worker has been known to run."""
        return 0.0 if self.began_s is None else now_s - self.began_s

    def activity(self, now_s: float) -> Activity:
        """What it is doing."""
        return Activity(self.trial, self.phase, now_s - self.phase_since_s, self.where)

    def enter(self, phase: str) -> None:
        """Note what it is doing now."""
        if phase != self.phase:
            self.phase, self.phase_since_s = phase, time.monotonic()

    def locate(self, view: View) -> None:
        """Note where the group is, and whether that node is going away."""
        node = view.node_of(self.group.id.hex())
        if node is not None:
            self.node, self.leaving = node.id, not node.usable
            self._holds()
            if self.began_s is None:
                self.enter("starting the worker")

    def listen(self) -> None:
        """Ask the worker for its phase, at most one question open."""
        if self.asked is None:
            self.asked = self.worker.phase.remote()
            return
        ready, _ = ray.wait([self.asked], timeout=0)
        if not ready:
            return
        with contextlib.suppress(RayError):  # the result of the evaluation will say what happened
            phase, self.where = ray.get(self.asked, timeout=1)
            self.began_s = self.began_s or time.monotonic()
            self._holds()
            self.enter(phase)
        self.asked = None

    def _holds(self) -> None:
        self.held_since_s = self.held_since_s or time.monotonic()

    def lost_timings(self, now_s: float) -> dict[str, float]:
        """What is known of the seconds of an evaluation of which nothing came: of its phases nothing is."""
        if self.held_since_s is None:
            return {}
        return {"queue_s": self.held_since_s - self.submitted_s, "lost_s": now_s - self.held_since_s}

    def still_unfreed(self) -> bool:
        """Whether the worker, its evaluation ended, sees its GPUs' memory taken still; a dead one cannot say."""
        if self.asked is None:
            self.asked = self.worker.freed.remote()
            return True
        ready, _ = ray.wait([self.asked], timeout=0)
        if not ready:
            return True
        asked, self.asked = self.asked, None
        try:
            return not ray.get(asked, timeout=1)
        except RayError:
            return False

    def release(self) -> None:
        """Kill the worker and give the resources back; a cluster that has gone holds nothing any more."""
        with contextlib.suppress(RayError):
            ray.kill(self.worker, no_restart=True)
        with contextlib.suppress(RayError):
            remove_placement_group(self.group)


def fault(error: RayError, leaving: bool) -> Failed:
    """Whose fault a dead worker is: never the configuration's, whose failures come back as values."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
    if isinstance(error, OutOfMemoryError):
        return Failed(FailureKind.NODE_LOST, "Ray killed the worker because the node ran out of memory")
    if isinstance(error, RayTaskError):
        return Failed(FailureKind.INTERNAL, line)
    if leaving or (isinstance(error, ActorDiedError) and error.preempted):
        return Failed(FailureKind.PREEMPTED, f"the node was taken back ({line})")
    if isinstance(error, ActorDiedError):
        return Failed(FailureKind.NODE_LOST, f"the worker died with its node or was killed ({line})")
    return Failed(FailureKind.NODE_LOST, line)
