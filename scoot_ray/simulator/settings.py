"""The engine's parameters as the simulator understands them, for two versions of vLLM.

Which there are, and their defaults: ``vllm/engine/arg_utils.py`` of the two versions. ``NEUTRAL`` ones are accepted and
change nothing that is modelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

from scoot_ray.engine.catalogue import EngineFlags, Flag
from scoot_ray.search import Config, Value

Version: TypeAlias = Literal["0.4.2", "0.32.0"]
VERSIONS: tuple[Version, ...] = ("0.4.2", "0.32.0")
NEWEST: Version = "0.32.0"

_NEUTRAL = (
    *("tokenizer", "tokenizer_mode", "load_format", "download_dir", "revision", "seed", "trust_remote_code"),
    *("served_model_name", "disable_log_requests", "disable_log_stats", "max_log_len", "uvicorn_log_level"),
    *("swap_space", "max_logprobs", "distributed_executor_backend", "worker_use_ray", "generation_config"),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Every modelled parameter with its value. Defaults depend on version, model and accelerator: see ``settle``."""

    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    block_size: int = 16
    enable_chunked_prefill: bool = True
    enable_prefix_caching: bool = True
    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    data_parallel_size: int = 1
    enforce_eager: bool = False
    disable_custom_all_reduce: bool = False
    dtype: str = "auto"
    kv_cache_dtype: str = "auto"
    scheduler_delay_factor: float = 0.0
    use_v2_block_manager: bool = False
    max_seq_len_to_capture: int = 8192
    long_prefill_token_threshold: int = 0
    stream_interval: int = 1
    async_scheduling: bool = True
    performance_mode: str = "balanced"
    max_cudagraph_capture_size: int = 512
    max_num_scheduled_tokens: int | None = None

    @property
    def gpus(self) -> int:
        """GPUs that one engine takes: tensor × pipeline × data parallel."""
        return self.tensor_parallel_size * self.pipeline_parallel_size * self.data_parallel_size

    @property
    def bytes_per_param(self) -> float:
        """Of the weights."""
        return 4.0 if self.dtype in {"float32", "float"} else 2.0

    @property
    def bytes_per_kv_value(self) -> float:
        """Of a key or value in the cache."""
        return 1.0 if self.kv_cache_dtype.startswith("fp8") else self.bytes_per_param


_ONLY_0_4_2 = {"scheduler_delay_factor", "use_v2_block_manager", "max_seq_len_to_capture"}
_ONLY_NEWER = {
    *("long_prefill_token_threshold", "stream_interval", "async_scheduling", "performance_mode"),
    *("max_cudagraph_capture_size", "data_parallel_size", "max_num_scheduled_tokens"),
}
BLOCK_SIZES: Mapping[Version, tuple[int, ...]] = {"0.4.2": (8, 16, 32), "0.32.0": (16, 32, 64, 128)}
_CHOICES: Mapping[str, tuple[Value, ...]] = {
    "dtype": ("auto", "half", "float16", "bfloat16", "float", "float32"),
    "performance_mode": ("balanced", "interactivity", "throughput"),
}


def flags_of(version: Version) -> EngineFlags:
    """The flags of a simulated engine, as :func:`scoot_ray.engine.catalogue.available_flags` tells a real one's."""
    left_out = _ONLY_NEWER if version == "0.4.2" else _ONLY_0_4_2
    stated = {one.name: one.default for one in fields(Settings) if one.name not in left_out}
    modelled = [_flag(version, name, default) for name, default in stated.items()]
    neutral = [Flag(name, None, (), None, takes_value=True, negatable=False) for name in _NEUTRAL]
    return EngineFlags(version, (*modelled, *neutral))


def _flag(version: Version, name: str, default: object) -> Flag:
    choices = BLOCK_SIZES[version] if name == "block_size" else _CHOICES.get(name, ())
    is_switch = isinstance(default, bool)
    plain = default if isinstance(default, bool | int | float | str) else None
    if version == "0.4.2" and name in {"enable_chunked_prefill", "enable_prefix_caching"}:
        plain = False
    if version != "0.4.2" and name == "gpu_memory_utilization":
        plain = 0.92
    kind = None if is_switch or isinstance(default, str) else type(plain or 0).__name__
    return Flag(name, kind, choices, plain, takes_value=not is_switch, negatable=is_switch and version != "0.4.2")


def settle(version: Version, config: Config, model_max_len: int, large_gpu: bool) -> Settings:
    """Fill in what ``config`` leaves open, as the engine of this version does.

    ``large_gpu`` is one of 70 GiB or more that is no A100: newer versions take larger batches there. Names that are not
    modelled are left aside.
    """
    known = {one.name for one in fields(Settings)}
    given = {name: value for name, value in config.items() if name in known}
    length = int(given.get("max_model_len", model_max_len))
    fill = _fill_0_4_2 if version == "0.4.2" else _fill_newer
    values = {"max_model_len": length, **fill(given, length, large_gpu), **given}
    return Settings(**values)  # type: ignore[arg-type]  # the flags' types were checked with the study


def _fill_0_4_2(given: Config, length: int, _large_gpu: bool) -> dict[str, Value]:
    chunked = bool(given.get("enable_chunked_prefill", False))
    return {
        "max_num_seqs": 256,
        "max_num_batched_tokens": 512 if chunked else max(length, 2048),
        "enable_chunked_prefill": chunked,
        "enable_prefix_caching": False,
    }


def _fill_newer(given: Config, length: int, large_gpu: bool) -> dict[str, Value]:
    twice = 2 if given.get("performance_mode") == "throughput" else 1
    seqs, tokens = (1024, 8192) if large_gpu else (256, 2048)
    seqs, tokens = seqs * twice, tokens * twice
    if not given.get("enable_chunked_prefill", True):
        tokens = max(length, tokens)
    largest = min(int(given.get("max_num_batched_tokens", tokens)), 2 * int(given.get("max_num_seqs", seqs)), 512)
    return {
        "max_num_seqs": seqs,
        "max_num_batched_tokens": min(tokens, seqs * length),
        "gpu_memory_utilization": 0.92,
        "max_cudagraph_capture_size": largest,
    }
