"""GPUs and their driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from scoot_ray.doctor.finding import Finding, fine, note, problem
from scoot_ray.engine.gpus import Gpu, NoAnswer, installed_gpus

_HELD = 0.05  # of the memory, before anything of ours has started


def gpus(
    installed: Callable[[], tuple[Gpu, ...]] = installed_gpus, devices: Path = Path("/dev/nvidiactl")
) -> Iterator[Finding]:
    """What ``nvidia-smi`` says; ``devices`` is a file that is there where a driver is."""
    try:
        found = installed()
    except NoAnswer as error:
        yield problem("GPUs", str(error), _mend(str(error)))
        return
    if not found and devices.exists():
        said = "a driver is loaded, but there is no nvidia-smi, which is how memory is seen free"
        yield problem(
            "GPUs", said, "docker run --gpus all …  # or install the package nvidia-utils of the driver's version"
        )
    elif not found:
        yield note("GPUs", "none: engines run on the CPU, or are simulated")
    for number, gpu in enumerate(found):
        yield _one(number, gpu)


def _one(number: int, gpu: Gpu) -> Finding:
    said = f"{gpu.name}, {gpu.total_mib / 1024:.1f} GiB, driver {gpu.driver}"
    if gpu.used_mib <= _HELD * gpu.total_mib:
        return fine(f"GPU {number}", said)
    held = f"{said}; {gpu.used_mib / 1024:.1f} GiB are in use before anything starts"
    return problem(
        f"GPU {number}", held, f"nvidia-smi --query-compute-apps=pid,name,used_memory --format=csv -i {number}"
    )


def _mend(said: str) -> str:
    """The command for what ``nvidia-smi`` complains of."""
    if "version mismatch" in said.lower():
        return "reboot  # the driver was updated while an older one was loaded"
    if "communicate with the NVIDIA driver" in said:
        return "modprobe nvidia  # and install the driver where there is none"
    return "nvidia-smi -q | head -40; dmesg | grep -i -e nvrm -e xid | tail"
