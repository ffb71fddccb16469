"""The optimizer: decides trials from the log. Plain in SearchOptimizer; as a Ray actor behind RemoteOptimizer."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import ray
from ray.exceptions import RayError

from scoot_ray import confirm
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.search import Trial, suggest


class OptimizerError(Exception):
    """No suggestion could be had; the message says why."""


class SearchOptimizer:
    """Suggestions and confirmation as functions of the log. It remembers nothing between calls."""

    def __init__(self, resolved: Resolved) -> None:
        self._study, self._problem = resolved.study, resolved.problem

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new search trials, with ids that continue the log's."""
        suggestions = suggest(
            self._study.tuner,
            self._problem,
            log.searched,
            [trial.config for trial in log.open_search],
            count,
            self._study.seed,
            log.spent,
        )
        return tuple(
            Trial(log.next_id + index, suggestion.config, suggestion.origin)
            for index, suggestion in enumerate(suggestions)
        )

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new confirmation trials."""
        return confirm.next_trials(self._problem, self._study.confirmation, log, count)


class RemoteOptimizer:
    """The same in an actor of its own, with a deadline and three tries a call.

    A call may be repeated freely: it carries all the actor must know, so an actor that died and came back gives the
    same answer. ``cancelled`` ends a wait early with no suggestion.
    """

    TRIES = 3

    def __init__(self, resolved: Resolved, cancelled: Callable[[], bool], deadline_s: float = 180.0) -> None:
        name = f"optimizer {resolved.study.name}"
        self._actor = (
            ray.remote(SearchOptimizer)
            .options(name=f"{name} {uuid.uuid4().hex[:6]}", num_cpus=0, max_restarts=-1)
            .remote(resolved)
        )
        self._name, self._cancelled, self._deadline_s = name, cancelled, deadline_s

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new search trials.

        Raises:
            OptimizerError: three tries failed or took too long.
        """
        return self._call("suggest", log, count)

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new confirmation trials.

        Raises:
            OptimizerError: as suggest.
        """
        return self._call("confirm", log, count)

    def _call(self, method: str, log: Log, count: int) -> tuple[Trial, ...]:
        problem = "took too long"
        for _ in range(self.TRIES):
            answer = getattr(self._actor, method).remote(log, count)
            try:
                if self._wait(answer):
                    trials: tuple[Trial, ...] = ray.get(answer)
                    return trials
                if self._cancelled():
                    return ()
            except RayError as error:
                problem = str(error).strip().splitlines()[-1]
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
