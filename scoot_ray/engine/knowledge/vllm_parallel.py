"""Rules of vLLM's parallelism: how one replica is spread over GPUs. What is left over runs further replicas."""

from __future__ import annotations

from scoot_ray.engine.catalogue import Flag
from scoot_ray.engine.knowledge.circumstances import Circumstances
from scoot_ray.engine.knowledge.table import LeaveOut, Range
from scoot_ray.search.parameters import Boolean, Choice

_PIPELINES_FROM = (0, 6)  # 0.4 refuses them; 0.5 has them for a few models
_FITS = 0.85  # of the memory may be weights: the rest is for the KV cache and activations


def tensor_parallel(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Powers of two that divide the heads, from what holds the weights up to all GPUs."""
    if c.gpus < 2:
        return LeaveOut("there is one GPU" if c.gpus else "there is no GPU")
    powers = [2**power for power in range(c.gpus.bit_length()) if 2**power <= c.gpus]
    legal = [size for size in powers if c.model is None or c.model.heads % size == 0]
    sizes = [size for size in legal if _holds(c, size)] or legal[-1:]
    heads = "" if c.model is None else f" that divide {c.model.heads} heads"
    why = f"powers of two up to {c.gpus} GPUs{heads}"
    if sizes[0] > 1 and c.model is not None and c.memory_gib is not None:
        weights_gib = c.model.weight_bytes / 2**30
        why += f"; {weights_gib:.0f} GiB of weights do not fit in fewer GPUs of {c.memory_gib:g} GiB"
    if len(sizes) < 2:
        return LeaveOut(f"{why}; only {sizes[0]} is left: set it in engine.args") if sizes[0] > 1 else LeaveOut(why)
    return Range(Choice("tensor_parallel_size", tuple(sizes)), sizes[0], why)


def pipeline_parallel(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Where GPUs are joined by PCIe alone, since stages exchange far less than tensor parallel parts."""
    if c.gpus < 2:
        return LeaveOut("there is one GPU" if c.gpus else "there is no GPU")
    if c.release < _PIPELINES_FROM:
        return LeaveOut("this release does not have it for most models")
    if not c.slow_links:
        known = "which is not known of these" if c.slow_links is None else "and these have faster links"
        return LeaveOut(f"pays where PCIe alone joins the GPUs, {known}")
    sizes = [size for size in (1, 2, 4, 8) if size <= c.gpus and (c.model is None or c.model.layers % size == 0)]
    if len(sizes) < 2:
        return LeaveOut("the layers cannot be shared out evenly")
    return Range(
        Choice("pipeline_parallel_size", tuple(sizes)), 1, f"powers of two up to {c.gpus} GPUs, joined by PCIe"
    )


def custom_all_reduce(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Acts between two GPUs, or more with NVLink; the engine leaves it out elsewhere."""
    if c.gpus < 2:
        return LeaveOut("acts between GPUs")
    if c.slow_links and c.gpus > 2:
        return LeaveOut("the engine does without it between more than two GPUs joined by PCIe")
    return Range(Boolean("disable_custom_all_reduce"), False, "on and off")


def expert_parallel(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """For mixtures of experts on several GPUs."""
    if c.model is None or c.model.experts < 2:
        return LeaveOut("the model is not known to be a mixture of experts")
    if c.gpus < 2:
        return LeaveOut("spreads experts over GPUs, and there is one")
    return Range(Boolean("enable_expert_parallel"), False, f"on and off; the model has {c.model.experts} experts")


def _holds(c: Circumstances, size: int) -> bool:
    """Whether ``size`` GPUs hold one copy of the weights, as far as that is known."""
    if c.model is None or c.memory_gib is None:
        return True
    return c.model.weight_bytes <= _FITS * size * c.memory_gib * 2**30
