"""Accelerators by their data sheets.

Peaks are dense, in 16 bits. Sources: NVIDIA's data sheets of A10, A100 (40 and 80 GB SXM), L4, L40S, H100 SXM and H200
SXM. Memory is what the driver leaves of it, as ``torch.cuda`` reports it. Links are per GPU and direction: NVLink 3
(A100) 300 GB/s, NVLink 4 (H100, H200) 450 GB/s, PCIe 4.0 x16 31.5 GB/s.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 2**30


class UnknownHardware(ValueError):  # noqa: N818 - says what is wrong
    """There is no such accelerator in the catalogue."""


@dataclass(frozen=True, slots=True)
class Accelerator:
    """One GPU. Rates are per second: ``flops`` operations, ``bandwidth`` and ``link`` bytes."""

    name: str
    memory_gib: float
    flops: float
    bandwidth: float
    link: float
    nvlink: bool

    @property
    def memory_bytes(self) -> float:
        """What a process can allocate at most, its own context included."""
        return self.memory_gib * GIB


ACCELERATORS = (
    Accelerator("A10", 22.1, 125e12, 600e9, 31.5e9, nvlink=False),
    Accelerator("A100-40G", 39.4, 312e12, 1555e9, 300e9, nvlink=True),
    Accelerator("A100-80G", 79.2, 312e12, 2039e9, 300e9, nvlink=True),
    Accelerator("L4", 22.0, 121e12, 300e9, 31.5e9, nvlink=False),
    Accelerator("L40S", 44.4, 362e12, 864e9, 31.5e9, nvlink=False),
    Accelerator("H100", 79.1, 989e12, 3350e9, 450e9, nvlink=True),
    Accelerator("H200", 139.8, 989e12, 4800e9, 450e9, nvlink=True),
)


def find_accelerator(name: str) -> Accelerator:
    """Return the accelerator of this name, however it is capitalised.

    Raises:
        UnknownHardware: with the names there are.
    """
    for accelerator in ACCELERATORS:
        if accelerator.name.lower() == name.lower():
            return accelerator
    raise UnknownHardware(f"{name!r}: allowed are {', '.join(one.name for one in ACCELERATORS)}")
