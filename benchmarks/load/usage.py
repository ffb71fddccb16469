"""CPU time of a process and its children over time, sampled from outside."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

SAMPLE_S = 0.1


@dataclass(frozen=True, slots=True)
class Usage:
    """Samples: when (``time.monotonic``), and how much CPU had been used by then, both in s."""

    at_s: tuple[float, ...]
    cpu_s: tuple[float, ...]

    def between(self, start_s: float, end_s: float) -> float:
        """CPU seconds used between two moments, interpolated."""
        low, high = np.interp([start_s, end_s], self.at_s, self.cpu_s)
        return float(high - low)


def run_measured(command: Sequence[str], core: int, output: Path, timeout_s: float) -> Usage:
    """Run a command on one core to its end, sampling its CPU time.

    Raises RuntimeError with the end of its output where it fails or takes longer than ``timeout_s``.
    """
    at_s, cpu_s = [], []
    with output.open("wb") as file:
        process = psutil.Popen(
            list(command), stdout=file, stderr=subprocess.STDOUT, env=os.environ | {"HF_HUB_OFFLINE": "1"}
        )
        process.cpu_affinity([core])
        with suppress(OSError):  # where allowed, every tool goes before the machine's other work, as scoot-ray does
            os.sched_setscheduler(process.pid, os.SCHED_RR, os.sched_param(1))
        deadline_s = time.monotonic() + timeout_s
        ended: dict[int, float] = {}
        while process.poll() is None and time.monotonic() < deadline_s:
            at_s.append(time.monotonic())
            cpu_s.append(_tree_cpu_s(process, ended))
            time.sleep(SAMPLE_S)
        code = process.poll()
        if code is None:
            _kill_tree(process)
    if code != 0:
        tail = output.read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{shlex.join(command)}: {'timed out' if code is None else f'exit code {code}'}\n{tail}")
    return Usage(tuple(at_s), tuple(cpu_s))


def _tree_cpu_s(process: psutil.Process, ended: dict[int, float]) -> float:
    """CPU of the process and all it started; what has ended keeps its last figure."""
    try:
        family = [process, *process.children(recursive=True)]
    except psutil.Error:
        family = []
    for member in family:
        try:
            times = member.cpu_times()
        except psutil.Error:
            continue
        ended[member.pid] = times.user + times.system
    return sum(ended.values())


def _kill_tree(process: psutil.Process) -> None:
    for member in [*process.children(recursive=True), process]:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
