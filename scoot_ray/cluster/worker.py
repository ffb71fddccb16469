"""The worker actor: one trial, measured where the placement group put it."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace

import ray

from scoot_ray.cluster.evaluation import Finished, evaluate
from scoot_ray.cluster.task import Task
from scoot_ray.search import Trial


class Worker:
    """A thin shell around ``evaluate``: it runs in one thread while another tells the phase."""

    def __init__(self) -> None:
        self._phase, self._began_s = "starting the worker", time.monotonic()

    def evaluate(self, task: Task, trial: Trial) -> Finished:
        """Start the engine with the trial's configuration, replay, stop it."""
        devices = [str(device) for device in ray.get_gpu_ids()] if task.study.resources.gpus else []
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        gpus = visible.split(",") if devices and visible else devices
        finished = evaluate(task, trial, gpus, socket.gethostname(), self._enter)
        return with_idle(finished, time.monotonic() - self._began_s)

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
