"""The engines' logs of evaluations whose worker was killed: fetched from its node, where that still lives."""

from __future__ import annotations

import time
from dataclasses import dataclass

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from scoot_ray.cluster.scratch import left_behind
from scoot_ray.cluster.task import Task
from scoot_ray.run_folder import RunFolder

_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True)
class _Errand:
    trial_id: int
    attempt: int
    logs: ray.ObjectRef[dict[str, bytes]]
    ends_s: float


class Salvage:
    """Fetches in the background; what comes is written to ``trials/0007/lost-1/``."""

    def __init__(self, task: ray.ObjectRef[Task], folder: RunFolder) -> None:
        self._task, self._folder = task, folder
        self._errands: list[_Errand] = []
        self._attempts: dict[int, int] = {}

    def fetch(self, trial_id: int, node: str, scratch: str) -> None:
        """Ask a node for the logs of an evaluation that has died there."""
        self._attempts[trial_id] = attempt = self._attempts.get(trial_id, 0) + 1
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        logs = ray.remote(_logs).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        errand = _Errand(trial_id, attempt, logs.remote(self._task, scratch), time.monotonic() + _DEADLINE_S)
        self._errands.append(errand)

    def collect(self) -> None:
        """Write down what has come; give up what has not in time."""
        for errand in list(self._errands):
            ready, _ = ray.wait([errand.logs], timeout=0)
            if not ready and time.monotonic() < errand.ends_s:
                continue
            self._errands.remove(errand)
            if ready:
                self._keep(errand)
            else:
                ray.cancel(errand.logs, force=True)

    def _keep(self, errand: _Errand) -> None:
        try:
            logs = ray.get(errand.logs, timeout=5)
        except RayError:
            return  # the node went with them
        place = self._folder.trial(errand.trial_id).within(f"lost-{errand.attempt}")
        for name, content in logs.items():
            place.write(name, content)


def _logs(task: Task, scratch: str) -> dict[str, bytes]:
    """Runs on the node."""
    return {name: task.masked(content) for name, content in left_behind(scratch).items()}
