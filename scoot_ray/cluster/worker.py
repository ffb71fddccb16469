"""The worker actor: one trial, measured where the placement group put it."""

from __future__ import annotations

import os
import socket

import ray

from scoot_ray.cluster.evaluation import Finished, evaluate
from scoot_ray.cluster.task import Task
from scoot_ray.search import Trial


class Worker:
    """A thin shell around ``evaluate``: it runs in one thread while another tells the phase."""

    def __init__(self) -> None:
        self._phase = "starting the worker"

    def evaluate(self, task: Task, trial: Trial) -> Finished:
        """Start the engine with the trial's configuration, replay, stop it."""
        devices = [str(device) for device in ray.get_gpu_ids()] if task.study.resources.gpus else []
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        gpus = visible.split(",") if devices and visible else devices
        return evaluate(task, trial, gpus, socket.gethostname(), self._enter)

    def phase(self) -> tuple[str, str]:
        """What is being done, and where."""
        return self._phase, socket.gethostname()

    def _enter(self, phase: str) -> None:
        self._phase = phase
