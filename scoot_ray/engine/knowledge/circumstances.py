"""What a parameter's sensible range depends on: the engine's release, the hardware, the model and the traffic."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Release = tuple[int, ...]

_RELEASE = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_FIRST: Release = (0, 4)
NEWEST: Release = (1 << 16, 0)
"""What a build without a number is taken for."""
# By Ray's names of accelerators; of those that come in several sizes, the smallest.
_MEMORY_GIB: Mapping[str, float] = {
    **dict.fromkeys(("T4", "V100", "P100"), 14.6),
    **dict.fromkeys(("L4", "A10", "A10G"), 22.0),
    "A100": 39.4,
    "A100-40G": 39.4,
    "L40S": 44.4,
    **dict.fromkeys(("A100-80G", "H100", "H800"), 79.1),
    **dict.fromkeys(("H20", "GH200"), 94.0),
    "H200": 139.8,
    **dict.fromkeys(("B200", "GB200"), 178.0),
    "AMD-Instinct-MI300X-OAM": 191.0,
}
_SLOW_LINKS = frozenset({"T4", "P100", "L4", "A10", "A10G", "L40S"})


@dataclass(frozen=True, slots=True)
class Model:
    """A decoder's size: bytes of all weights and of one token's keys and values; ``experts`` > 1 is a mixture."""

    weight_bytes: float
    kv_bytes_per_token: float
    layers: int
    heads: int
    experts: int = 1


@dataclass(frozen=True, slots=True)
class Lengths:
    """A trace in figures: tokens of prompts and answers, and the share of prompt blocks that occurred before.

    ``shared`` is None where the trace does not say which prompts begin alike. ``synthetic`` is the share of rows that
    give lengths alone, so that their prompts are made up.
    """

    input_mean: float
    input_p99: int
    output_mean: float
    shared: float | None
    synthetic: float


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All of it; None is what nobody said. ``memory_gib`` and ``slow_links`` are of one GPU of ``gpus``."""

    release: Release
    gpus: int
    accelerator: str | None = None
    memory_gib: float | None = None
    slow_links: bool | None = None
    max_model_len: int | None = None
    model: Model | None = None
    lengths: Lengths | None = None

    @property
    def kv_tokens(self) -> float | None:
        """Tokens whose keys and values fit in all GPUs' memory beside one copy of the weights, roughly."""
        if self.model is None or self.memory_gib is None or not self.gpus:
            return None
        free = 0.9 * self.memory_gib * 2**30 * self.gpus - self.model.weight_bytes
        return max(0.0, free) / self.model.kv_bytes_per_token

    @property
    def concurrency(self) -> float | None:
        """Requests of this trace that fit in memory at once."""
        if self.kv_tokens is None or self.lengths is None:
            return None
        return self.kv_tokens / (self.lengths.input_mean + self.lengths.output_mean)


def release_of(version: str) -> Release:
    """Return (major, minor, patch); a build from source without a number of its own ("0.1.dev8…") is the newest."""
    match = _RELEASE.search(version)
    if match is None:
        return NEWEST
    release = tuple(int(number or 0) for number in match.groups())
    return NEWEST if "dev" in version and release < _FIRST else release


def memory_of(accelerator: str | None) -> float | None:
    """Return the GiB of one accelerator by Ray's name of it, None for one that is not known."""
    return None if accelerator is None else _MEMORY_GIB.get(accelerator.removeprefix("NVIDIA-"))


def links_are_slow(accelerator: str | None) -> bool | None:
    """Return whether GPUs of this name are joined by PCIe alone, None for one that is not known."""
    if memory_of(accelerator) is None or accelerator is None:
        return None
    return accelerator.removeprefix("NVIDIA-") in _SLOW_LINKS
