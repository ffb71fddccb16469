"""What the engine writes into its log, as the real one words it, so that the same diagnosis reads both.

Shortened to the lines that say something. Sources: ``config.py``, ``worker/worker.py`` and ``engine/llm_engine.py`` of
0.4.2; ``config/``, ``v1/core/kv_cache_utils.py`` and ``v1/engine/core.py`` of newer versions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from scoot_ray.simulator.hardware import GIB
from scoot_ray.simulator.memory import Memory
from scoot_ray.simulator.settings import Settings, Version

Lines = tuple[str, ...]

READY = "INFO: Application startup complete."
_DEAD = (
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root "
    "cause."
)
_NO_CACHE = (
    "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing "
    "the engine."
)


def began(version: Version, model: str, settings: Settings) -> Lines:
    """The first lines of every start."""
    config = (
        f"INFO: Initializing an LLM engine (v{version}) with config: model='{model}', "
        f"max_seq_len={settings.max_model_len}, tensor_parallel_size={settings.tensor_parallel_size}, "
        f"pipeline_parallel_size={settings.pipeline_parallel_size}, enforce_eager={settings.enforce_eager}, "
        f"enable_prefix_caching={settings.enable_prefix_caching}, max_num_seqs={settings.max_num_seqs}, "
        f"max_num_batched_tokens={settings.max_num_batched_tokens}"
    )
    return (f"INFO: simulated vLLM {version}: no model is loaded, times are computed", config)


def ready(version: Version, memory: Memory) -> Lines:
    """The last lines of a start that went well."""
    tokens = memory.blocks * memory.settings.block_size
    if version == "0.4.2":
        return (f"INFO: # GPU blocks: {memory.blocks}, # CPU blocks: 0", READY)
    longest = memory.settings.max_model_len
    size = (
        f"INFO: GPU KV cache size: {tokens:,} tokens, Maximum concurrency for {longest:,} tokens per request: "
        f"{tokens / longest:.2f}x"
    )
    return (f"INFO: Available KV cache memory: {memory.cache / GIB:.2f} GiB", size, READY)


def refused(version: Version, cause: str) -> Lines:
    """A start that ended with a ValueError or its like; ``cause`` is its last line."""
    if version == "0.4.2":
        return ("Traceback (most recent call last):", *cause.split("\n"))
    return (
        "ERROR: EngineCore failed to start.",
        "ERROR: Traceback (most recent call last):",
        f"ERROR: {cause}",
        "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}",
    )


def unrecognized(names: Sequence[str]) -> Lines:
    """Flags that this version does not have."""
    flags = " ".join(f"--{name.replace('_', '-')}" for name in names)
    return (f"api_server.py: error: unrecognized arguments: {flags}",)


def config_refused(cause: str) -> Lines:
    """A configuration that is refused before any process of the engine starts."""
    return ("Traceback (most recent call last):", *cause.split("\n"))


def out_of_memory(version: Version, memory: Memory, wanted_bytes: float, free_bytes: float) -> str:
    """What PyTorch says where an allocation fails."""
    name = "torch.cuda.OutOfMemoryError" if version == "0.4.2" else "torch.OutOfMemoryError"
    return (
        f"{name}: CUDA out of memory. Tried to allocate {_size(wanted_bytes)}. GPU 0 has a total capacity of "
        f"{memory.total / GIB:.2f} GiB of which {_size(max(free_bytes, 0.0))} is free."
    )


def no_cache() -> str:
    """Nothing is left for the KV cache."""
    return _NO_CACHE


class Cache(Protocol):
    """What is said of a KV cache."""

    @property
    def settings(self) -> Settings:
        """The engine's."""

    @property
    def blocks(self) -> int:
        """That it has."""

    @property
    def kv_bytes_per_token(self) -> float:
        """That a token takes."""

    @property
    def cache(self) -> float:
        """Bytes of it all."""


def cache_too_small(version: Version, memory: Cache) -> str:
    """The longest sequence does not fit into the KV cache."""
    length, tokens = memory.settings.max_model_len, memory.blocks * memory.settings.block_size
    if version == "0.4.2":
        return (
            f"ValueError: The model's max seq len ({length}) is larger than the maximum number of tokens that can be "
            f"stored in KV cache ({tokens}). Try increasing `gpu_memory_utilization` or decreasing `max_model_len` "
            "when initializing the engine."
        )
    needed = memory.kv_bytes_per_token * length / GIB
    return (
        f"ValueError: To serve at least one request with the model's max seq len ({length}), ({needed:.2f} GiB KV "
        f"cache is needed, which is larger than the available KV cache memory ({memory.cache / GIB:.2f} GiB). Based on "
        f"the available memory, the estimated maximum model length is {tokens}."
    )


def died(version: Version, cause: str) -> Lines:
    """An engine that dies under load."""
    if version == "0.4.2":
        return (
            "ERROR: Engine background task failed",
            "ERROR: Traceback (most recent call last):",
            f"ERROR: {cause}",
            "vllm.engine.async_llm_engine.AsyncEngineDeadError: Task finished unexpectedly. This should never happen!",
        )
    return (
        "ERROR: EngineCore encountered a fatal error.",
        "ERROR: Traceback (most recent call last):",
        f"ERROR: {cause}",
        "ERROR: AsyncLLM output_handler failed.",
        _DEAD,
    )


def text(lines: Sequence[str]) -> str:
    """The log."""
    return "".join(line + "\n" for line in lines)


def _size(wanted_bytes: float) -> str:
    mib = wanted_bytes / 2**20
    return f"{mib / 1024:.2f} GiB" if mib >= 1024 else f"{mib:.2f} MiB"
