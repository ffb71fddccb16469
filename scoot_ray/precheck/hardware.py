"""How much memory a GPU of the study has, at most."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from scoot_ray.engine.gpus import Gpu, NoAnswer, installed_gpus
from scoot_ray.simulator.hardware import find_accelerator
from scoot_ray.study import Study

# The most that a GPU is sold with under the name Ray has for it (ray.util.accelerators; NVIDIA's data sheets).
_LARGEST_GIB = {
    "T4": 16.0,
    "A10G": 24.0,
    "A10": 24.0,
    "L4": 24.0,
    "L40S": 48.0,
    "V100": 32.0,
    "P100": 16.0,
    "A100-40G": 40.0,
    "A100-80G": 80.0,
    "A100": 80.0,
    "H100": 96.0,
    "H20": 141.0,
    "H200": 141.0,
    "GH200": 144.0,
}


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Memory of one GPU in GiB, no less than there is, and who says so."""

    gib: float
    source: str


def gpu_memory(study: Study, installed: Callable[[], tuple[Gpu, ...]] = installed_gpus) -> GpuMemory | None:
    """Return what a GPU of the study has; None where nobody says.

    Asked are, in this order: the simulated hardware, ``resources.accelerator``, and ``nvidia-smi``, which speaks for
    this machine and so only where the study can run on it and no other cluster is named.
    """
    hardware = study.engine.hardware
    if hardware is not None:
        if hardware.accelerator is None:
            return None
        accelerator = find_accelerator(hardware.accelerator)
        return GpuMemory(accelerator.memory_gib, f"a simulated {accelerator.name}")
    named = study.resources.accelerator
    if named is not None:
        gib = _LARGEST_GIB.get(named)
        return None if gib is None else GpuMemory(gib, f"resources.accelerator: {named}")
    if os.environ.get("RAY_ADDRESS") or not study.gpus:
        return None
    return _of_this_machine(study.gpus, installed)


def _of_this_machine(needed: int, installed: Callable[[], tuple[Gpu, ...]]) -> GpuMemory | None:
    try:
        gpus = installed()
    except NoAnswer:
        return None
    if len(gpus) < needed:
        return None
    largest = max(gpus, key=lambda gpu: gpu.total_mib)
    return GpuMemory(largest.total_mib / 1024, f"{largest.name} of this machine, by nvidia-smi")
