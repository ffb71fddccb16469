"""The worker actor: one trial, measured where the placement group put it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from dataclasses import replace

import ray

from scoot_ray.cluster.evaluation import Finished, evaluate
from scoot_ray.cluster.task import Task
from scoot_ray.engine.gpu_memory import wait_freed
from scoot_ray.search import Trial


class Worker:
    """A thin shell around ``evaluate``: it runs in one thread while another tells the phase."""

    def __init__(self) -> None:
        self._phase, self._began_s = "starting the worker", time.monotonic()
        self._unfreed: tuple[Sequence[str], tuple[int, ...] | None] = ((), None)

    def evaluate(self, task: Task, trial: Trial, attempt: str) -> Finished:
        """Start the engine with the trial's configuration, replay, stop it."""
        devices = [str(device) for device in ray.get_gpu_ids()] if task.study.resources.gpus else []
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        gpus = visible.split(",") if devices and visible else devices
        finished = evaluate(task, trial, gpus, socket.gethostname(), self._enter, attempt)
        self._unfreed = (gpus, finished.unfreed_mib)
        return with_idle(finished, time.monotonic() - self._began_s)

    def freed(self) -> bool:
        """Whether the memory that the evaluation has left taken on its GPUs is free by now."""
        gpus, before_mib = self._unfreed
        return wait_freed(gpus, before_mib, deadline_s=0.0)

    def phase(self) -> tuple[str, str]:
        """What is being done, and where."""
        return self._phase, socket.gethostname()

    def _enter(self, phase: str) -> None:
        self._phase = phase


def with_idle(finished: Finished, held_s: float) -> Finished:
    """The evaluation with what its phases leave of the seconds that the worker held its resources."""
    observation = finished.observation
    idle_s = max(0.0, held_s - sum(observation.timings.values()))
    return replace(finished, observation=replace(observation, timings={**observation.timings, "idle_s": idle_s}))
