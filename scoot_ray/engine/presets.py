"""Search spaces to start from: the paper's Table I for vLLM 0.4.2, and one for the vLLM that is installed.

Both hold parameters that change speed alone: nothing that changes what the model answers (quantisation, KV cache
types) or which requests it takes (load shedding).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scoot_ray.engine.catalogue import EngineFlags
from scoot_ray.search.parameters import Boolean, Choice, Float, Integer, Parameter
from scoot_ray.search.trial import Config, Value


@dataclass(frozen=True, slots=True)
class Preset:
    """A space: parameters, known constraints over them (and ``max_model_len``), and what the engine does by default."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[str, ...]
    default: Config


@dataclass(frozen=True, slots=True)
class _Entry:
    """A parameter with its default; ``gpu_only`` where an engine on the CPU ignores or refuses it."""

    parameter: Parameter
    default: Value
    gpu_only: bool = False


_SEQUENCES_RULE = "max_num_batched_tokens >= max_num_seqs"
_PREFILL_RULE = "enable_chunked_prefill or max_num_batched_tokens >= max_model_len"
_CACHING_RULE = "not (enable_chunked_prefill and enable_prefix_caching)"
_CURRENT_RULES = {
    _SEQUENCES_RULE: {"max_num_batched_tokens", "max_num_seqs"},
    _PREFILL_RULE: {"enable_chunked_prefill", "max_num_batched_tokens"},
    "long_prefill_token_threshold <= max_model_len": {"long_prefill_token_threshold"},
}


def vllm_0_4_2(gpus: int, max_model_len: int) -> Preset:
    """Return the paper's space (Table I; its constraints in Section II-C2 and the released code).

    Integers are searched on powers of two, as there. ``max_num_batched_tokens`` defaults to
    max(``max_model_len``, 2048), as in vLLM 0.4.2, within the range. ``gpus`` bounds ``tensor_parallel_size``.
    """
    entries = [
        *_tensor_parallel(gpus),
        _Entry(Integer("max_num_seqs", 64, 8192, scale="powers_of_two"), 256),
        _Entry(Integer("max_num_batched_tokens", 64, 8192, scale="powers_of_two"), min(max(max_model_len, 2048), 8192)),
        _Entry(Choice("block_size", (8, 16, 32)), 16),
        _Entry(Float("scheduler_delay_factor", 0.0, 2.0), 0.0),
        _Entry(Boolean("enable_chunked_prefill"), False),
        _Entry(Boolean("enable_prefix_caching"), False),
        _Entry(Boolean("disable_custom_all_reduce"), False),
        _Entry(Boolean("use_v2_block_manager"), False),
    ]
    return _preset(entries, (_SEQUENCES_RULE, _PREFILL_RULE, _CACHING_RULE))


def vllm_installed(engine: EngineFlags, gpus: int, accelerator: str | None = None) -> Preset:
    """Return a space for a current vLLM: of its performance parameters those that ``engine`` accepts.

    Defaults are the engine's own where its command line states them. Those of ``max_num_seqs`` and
    ``max_num_batched_tokens`` depend on the GPU, so ``accelerator`` names it, as Ray does ("A100", "H100"). Without
    GPUs, parameters that the CPU backend ignores are left out.
    """
    stated = {flag.name: flag.default for flag in engine.flags}
    entries = [
        replace(entry, default=_either(stated[entry.parameter.name], entry))
        for entry in _current(gpus, accelerator)
        if entry.parameter.name in stated
    ]
    names = {entry.parameter.name for entry in entries}
    return _preset(entries, tuple(rule for rule, needed in _CURRENT_RULES.items() if needed <= names))


def _current(gpus: int, accelerator: str | None) -> list[_Entry]:
    """Return the entries for vLLM 0.9 and later."""
    seqs, tokens = _server_defaults(gpus, accelerator)
    entries = [
        *_tensor_parallel(gpus),
        _Entry(Integer("max_num_seqs", 8, 2048, log=True), seqs),
        _Entry(Integer("max_num_batched_tokens", 256, 32768, log=True), tokens),
        _Entry(Boolean("enable_prefix_caching"), True),
        _Entry(Boolean("enable_chunked_prefill"), True),
        _Entry(Choice("long_prefill_token_threshold", (0, 256, 512, 1024, 2048, 4096)), 0),
        _Entry(Integer("stream_interval", 1, 8), 1),
        _Entry(Choice("block_size", (16, 32, 64, 128)), 16, gpu_only=True),
        _Entry(Float("gpu_memory_utilization", 0.7, 0.95), 0.9, gpu_only=True),
        _Entry(Boolean("async_scheduling"), True, gpu_only=True),
        _Entry(Choice("performance_mode", ("balanced", "interactivity", "throughput")), "balanced", gpu_only=True),
    ]
    return [entry for entry in entries if gpus or not entry.gpu_only]


def _server_defaults(gpus: int, accelerator: str | None) -> tuple[int, int]:
    """Return (max_num_seqs, max_num_batched_tokens) that vLLM's online server takes (its ``engine/arg_utils.py``)."""
    if not gpus:
        return 128, 2048
    if accelerator and accelerator.startswith(("B200", "B300", "GB200", "GB300", "MI3")):
        return 1024, 16384
    if accelerator and accelerator.startswith(("H100", "H200", "GH200", "H800", "H20")):
        return 1024, 8192
    return 256, 2048


def _either(stated: Value | None, entry: _Entry) -> Value:
    """Return the default the engine states, where there is one within the range searched."""
    return stated if stated is not None and entry.parameter.accepts(stated) else entry.default


def _tensor_parallel(gpus: int) -> list[_Entry]:
    """Return tensor parallelism over powers of two up to ``gpus``, nothing where there is no choice."""
    sizes = Integer("tensor_parallel_size", 1, max(gpus, 1), scale="powers_of_two")
    return [_Entry(sizes, 1)] if gpus > 1 else []


def _preset(entries: Sequence[_Entry], constraints: tuple[str, ...]) -> Preset:
    return Preset(
        parameters=tuple(entry.parameter for entry in entries),
        constraints=constraints,
        default={entry.parameter.name: entry.default for entry in entries},
    )
