"""Search spaces for engines other than vLLM, made of what the installed one accepts.

As in :mod:`scoot_ray.engine.presets` they hold parameters that change speed alone: no quantisation, no KV cache types,
no speculative decoding, no load shedding, and no attention backends, whose answers differ in the last digits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scoot_ray.engine.catalogue import EngineFlags
from scoot_ray.engine.presets import Preset
from scoot_ray.search.parameters import Boolean, Choice, Float, Integer, Parameter
from scoot_ray.search.trial import Value


@dataclass(frozen=True, slots=True)
class _Offer:
    """A parameter with what the engine does where it is not set."""

    parameter: Parameter
    default: Value


_SGLANG_RULES = {"tp_size * dp_size <= gpus": {"tp_size", "dp_size"}}
_TENSORRT_LLM_RULES = {
    "max_num_tokens >= max_batch_size": {"max_num_tokens", "max_batch_size"},
    "enable_chunked_prefill or max_num_tokens >= max_seq_len": {"enable_chunked_prefill", "max_num_tokens"},
    "tp_size * pp_size <= gpus": {"tp_size", "pp_size"},
}


def sglang_installed(engine: EngineFlags | None, gpus: int, accelerator: str | None = None) -> Preset:
    """Return a space for SGLang: of its performance parameters those that ``engine`` accepts (None: all known).

    Defaults are what ``server_args.py`` of 0.5.10 computes for the GPU that ``accelerator`` names, where it is one of
    the table, else what it does without knowing; its memory fraction is rounded.
    """
    chunk, graphs, memory = _sglang_defaults(accelerator)
    offers = [
        *_parallel(gpus, "tp_size", "dp_size"),
        _Offer(Integer("max_running_requests", 8, 2048, scale="log"), 2048),
        _Offer(Integer("chunked_prefill_size", 512, 16384, scale="powers_of_two"), chunk),
        _Offer(Float("mem_fraction_static", 0.6, 0.92), memory),
        _Offer(Choice("schedule_policy", ("fcfs", "lpm", "dfs-weight")), "fcfs"),
        _Offer(Float("schedule_conservativeness", 0.1, 1.5), 1.0),
        _Offer(Integer("cuda_graph_max_bs", 8, 512, scale="log"), graphs),
        _Offer(Boolean("enable_mixed_chunk"), False),
        _Offer(Boolean("disable_radix_cache"), False),
        _Offer(Integer("num_continuous_decode_steps", 1, 8), 1),
        _Offer(Integer("stream_interval", 1, 8), 1),
    ]
    return _preset(engine, offers, _SGLANG_RULES)


def tensorrt_llm_installed(engine: EngineFlags | None, gpus: int, _accelerator: str | None = None) -> Preset:
    """Return a space for TensorRT-LLM's PyTorch backend: of its performance parameters those that ``engine`` accepts.

    Experts' parallelism is left to the user: it goes with mixtures of experts alone.
    """
    offers = [
        *_parallel(gpus, "tp_size", "pp_size"),
        _Offer(Integer("max_batch_size", 8, 2048, scale="log"), 2048),
        _Offer(Integer("max_num_tokens", 256, 32768, scale="log"), 8192),
        _Offer(Float("kv_cache_free_gpu_memory_fraction", 0.7, 0.95), 0.9),
        _Offer(Boolean("enable_chunked_prefill"), False),
        _Offer(Boolean("kv_cache_config.enable_block_reuse"), True),
        _Offer(
            Choice("scheduler_config.capacity_scheduler_policy", ("GUARANTEED_NO_EVICT", "MAX_UTILIZATION")),
            "GUARANTEED_NO_EVICT",
        ),
        _Offer(Boolean("cuda_graph_config.enable_padding"), False),
        _Offer(Integer("num_postprocess_workers", 0, 4), 0),
        _Offer(Integer("stream_interval", 1, 8), 1),
    ]
    return _preset(engine, offers, _TENSORRT_LLM_RULES)


SPACES: Mapping[str, Callable[[EngineFlags | None, int, str | None], Preset]] = {
    "sglang": sglang_installed,
    "tensorrt-llm": tensorrt_llm_installed,
}
"""By ``engine.kind``: what the engine accepts, the GPUs of one evaluation, their name -> the space."""


_SPECULATION = (
    *("speculative_algorithm", "speculative_draft_model_path", "speculative_draft_model", "speculative_num_steps"),
    *("speculative_eagle_topk", "speculative_num_draft_tokens", "speculative_config", "speculative_decoding_mode"),
)
_ROUTING = (
    *("ep_size", "ep", "expert_parallel_size", "moe_expert_parallel_size", "moe_a2a_backend", "enable_eplb"),
    *("ep_num_redundant_experts", "eplb_algorithm", "moe_config"),
)
MISLED_BY_SYNTHETIC_PROMPTS: Mapping[str, str] = {
    **dict.fromkeys(_SPECULATION, "what is guessed right hangs on the text"),
    **dict.fromkeys(_ROUTING, "the load of the experts hangs on the text"),
}
"""Flags of these engines whose effect cannot be measured with made-up prompts; by the part of a name before a dot."""


def _sglang_defaults(accelerator: str | None) -> tuple[int, int, float]:
    """Return (chunked_prefill_size, cuda_graph_max_bs, mem_fraction_static) for one or two GPUs of a kind."""
    name = accelerator or ""
    if name.startswith(("B200", "B300", "GB200", "GB300", "MI3")):
        return 16384, 512, 0.85
    if name.startswith(("H200", "GH200", "H20")):
        return 8192, 256, 0.88
    if name.startswith(("H100", "H800", "A800", "A100-80G")):
        return 8192, 256, 0.82
    if name.startswith(("A100", "L40", "A6000")):
        return 4096, 32, 0.82
    if name.startswith(("A10", "L4", "RTX")):
        return 2048, 24, 0.83
    return 4096, 160, 0.88


def _parallel(gpus: int, *names: str) -> list[_Offer]:
    """Return sizes over powers of two up to ``gpus``, nothing where there is no choice."""
    if gpus < 2:
        return []
    return [_Offer(Integer(name, 1, gpus, scale="powers_of_two"), 1) for name in names]


def _preset(engine: EngineFlags | None, offers: Sequence[_Offer], rules: dict[str, set[str]]) -> Preset:
    """Keep what the engine accepts, with the rules whose parameters are all there."""
    kept = [offer for offer in offers if engine is None or engine.accepts(offer.parameter.name)]
    names = {offer.parameter.name for offer in kept}
    return Preset(
        parameters=tuple(offer.parameter for offer in kept),
        constraints=tuple(rule for rule, needed in rules.items() if needed <= names),
        default={offer.parameter.name: offer.default for offer in kept},
    )
