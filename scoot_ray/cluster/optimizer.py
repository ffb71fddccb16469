"""The optimizer as a Ray actor, behind RemoteOptimizer."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from scoot_ray.cluster.placement import node_shapes, steady
from scoot_ray.log import Log
from scoot_ray.optimizer import SearchOptimizer
from scoot_ray.resolve import Resolved
from scoot_ray.search import Trial


class OptimizerError(Exception):
    """No suggestion could be had; the message says why."""


@dataclass(frozen=True, slots=True)
class Thinking:
    """Seconds that suggestions took: the last one, and all of this driver's."""

    last_s: float = 0.0
    spent_s: float = 0.0


class RemoteOptimizer:
    """The same in an actor of its own, with a deadline and three tries a call.

    A call may be repeated freely: it carries all the actor must know, so a new actor gives the same answer as one
    that died. ``cancelled`` ends a wait early with no suggestion.
    """

    TRIES = 3

    def __init__(self, resolved: Resolved, cancelled: Callable[[], bool], deadline_s: float = 90.0) -> None:
        self._resolved, self._cancelled, self._deadline_s = resolved, cancelled, deadline_s
        self._name = f"optimizer {resolved.study.name}"
        self.thinking = Thinking()
        self._actor = self._start()

    def _start(self) -> Any:  # an actor handle; Ray makes its methods at run time
        actor: Any = ray.remote(SearchOptimizer).options(
            name=f"{self._name} {uuid.uuid4().hex[:6]}", num_cpus=0, label_selector=steady(node_shapes()) or None
        )
        return actor.remote(self._resolved)

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new search trials.

        Raises:
            OptimizerError: three tries failed or took too long.
        """
        began_s = time.monotonic()
        trials = self._call("suggest", log, count)
        took_s = time.monotonic() - began_s
        self.thinking = Thinking(took_s, self.thinking.spent_s + took_s)
        return trials

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new confirmation trials.

        Raises:
            OptimizerError: as suggest.
        """
        return self._call("confirm", log, count)

    def _call(self, method: str, log: Log, count: int) -> tuple[Trial, ...]:
        problem = "took too long"
        for _ in range(self.TRIES):
            try:
                answer = getattr(self._actor, method).remote(log, count)
                if self._wait(answer):
                    trials: tuple[Trial, ...] = ray.get(answer)
                    return trials
                if self._cancelled():
                    return ()
            except RayError as error:
                problem = (str(error).strip().splitlines() or [type(error).__name__])[-1]
            ray.kill(self._actor)  # it has died or hangs: ask a new one
            self._actor = self._start()
        raise OptimizerError(f"{self._name}: {method} failed {self.TRIES} times: {problem}")

    def _wait(self, answer: ray.ObjectRef[tuple[Trial, ...]]) -> bool:
        """Wait in short steps, so that an interrupt is not kept waiting by a long suggestion."""
        step_s = 0.25
        for _ in range(int(self._deadline_s / step_s)):
            ready, _ = ray.wait([answer], timeout=step_s)
            if ready:
                return True
            if self._cancelled():
                return False
        return False
