"""What an evaluation offers to its engine: the study's load in one arrival order, or that of the soak."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

import psutil

from scoot_ray.cluster.offer import load_of
from scoot_ray.cluster.task import Task
from scoot_ray.load.figures.bottleneck import Limits, explain
from scoot_ray.load.hooks import Hooks, Progress
from scoot_ray.load.measure import Load, Measurement
from scoot_ray.load.selection import Selection
from scoot_ray.search import Metrics, Origin, Trial
from scoot_ray.soak import MEMORY, PREEMPTIONS, drift, growth, soak_load

_SAMPLES = 60  # of the engine's memory, over a soak


def offered(task: Task, trial: Trial, selection: Selection, order: int) -> Load:
    """The load of one arrival order; a soak's has requests, rate and duration of its own."""
    # Equal prompts for every configuration: the engine is new each time.
    load = load_of(task.study, selection.requests, order, f"order {order}", task.goodput)
    if trial.origin is not Origin.SOAK:
        return load
    requests, arrivals, duration_s = soak_load(task.study, selection.requests)
    return replace(load, requests=requests, arrivals=arrivals, duration_s=duration_s, sessions="independent")


def soak_metrics(measurement: Measurement, memory: MemoryWatch) -> Metrics:
    """What only a soak shows: drift of the latency, growth of the memory, preemptions where the engine counts them."""
    server = explain(measurement.server, Limits())
    counted = {} if server is None else server.figures
    preemptions = {PREEMPTIONS: counted["preemptions"]} if "preemptions" in counted else {}
    return {**drift(measurement.replay.records), **memory.grown, **preemptions}


class MemoryWatch:
    """The resident memory of the engine's processes on the host, looked at now and then during a load.

    A GPU's is not: engines claim it when they start.
    """

    def __init__(self, pids: Callable[[], Iterable[int]], duration_s: float) -> None:
        self._pids, self._every_s = pids, max(1.0, duration_s / _SAMPLES)
        self._seen: list[tuple[float, int]] = []

    def beside(self, hooks: Hooks) -> Hooks:
        """The hooks, with a look at the memory whenever the load's progress is told."""
        told = hooks.on_progress

        def on_progress(progress: Progress) -> None:
            self.look(progress)
            if told is not None:
                told(progress)

        return replace(hooks, on_progress=on_progress)

    def look(self, progress: Progress) -> None:
        """Take a sample where it is time for one."""
        if self._seen and progress.elapsed_s < self._seen[-1][0] + self._every_s:
            return
        used = 0
        for pid in self._pids():
            with suppress(psutil.Error):
                used += psutil.Process(pid).memory_info().rss
        if used:
            self._seen.append((progress.elapsed_s, used))

    @property
    def grown(self) -> dict[str, float]:
        """Growth from the first third of the samples to the last; empty while there are too few."""
        used = [float(size) for _, size in self._seen]
        third = len(used) // 3
        return {MEMORY: growth(used[:third], used[-third:])} if third else {}
