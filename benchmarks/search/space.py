"""The space searched of vLLM 0.32: written out, so that what is compared stays the same whatever the product learns."""

from __future__ import annotations

from scoot_ray.engine.presets import Preset
from scoot_ray.search import Boolean, Choice, Float, Integer, Parameter, Value

_LARGE = ("H100", "H200")
_RULES = (
    "max_num_batched_tokens >= max_num_seqs",
    "enable_chunked_prefill or max_num_batched_tokens >= max_model_len",
    "long_prefill_token_threshold <= max_model_len",
)


def vllm_0_32(gpus: int, accelerator: str) -> Preset:
    """Return parameters, rules and defaults on ``gpus`` accelerators of this name."""
    seqs, tokens = (1024, 8192) if accelerator.startswith(_LARGE) else (256, 2048)
    sizes = [(Integer("tensor_parallel_size", 1, gpus, scale="powers_of_two"), 1)] if gpus > 1 else []
    searched: list[tuple[Parameter, Value]] = [
        *sizes,
        (Integer("max_num_seqs", 8, 2048, log=True), seqs),
        (Integer("max_num_batched_tokens", 256, 32768, log=True), tokens),
        (Boolean("enable_prefix_caching"), True),
        (Boolean("enable_chunked_prefill"), True),
        (Choice("long_prefill_token_threshold", (0, 256, 512, 1024, 2048, 4096)), 0),
        (Integer("stream_interval", 1, 8), 1),
        (Choice("block_size", (16, 32, 64, 128)), 16),
        (Float("gpu_memory_utilization", 0.7, 0.95), 0.92),
        (Boolean("async_scheduling"), True),
        (Choice("performance_mode", ("balanced", "interactivity", "throughput")), "balanced"),
    ]
    default = {parameter.name: value for parameter, value in searched}
    return Preset(tuple(parameter for parameter, _ in searched), _RULES, default)
