"""What we know of vLLM's parameters that change speed alone, from 0.4 on: the table, most important first.

Facts are those of ``vllm/engine/arg_utils.py`` and ``vllm/config`` of 0.4.2, 0.6.6, 0.8.5, 0.11.2 and 0.32.0. The "old"
engine (V0) was the default before 0.8; 0.8 to 0.10 fall back to it, without a word in the result, for some flags.
"""

from __future__ import annotations

from scoot_ray.engine.catalogue import Flag
from scoot_ray.engine.knowledge.circumstances import Circumstances
from scoot_ray.engine.knowledge.table import Knowledge, LeaveOut, Range, Tunable
from scoot_ray.engine.knowledge.vllm_batching import (
    chunked_prefill,
    cpu_without_caches,
    delay_factor,
    full_prompt_reserved,
    long_prefill,
    max_num_batched_tokens,
    max_num_seqs,
    old_engine,
    scheduler_steps,
    stream_interval,
    watermark,
)
from scoot_ray.engine.knowledge.vllm_parallel import (
    custom_all_reduce,
    expert_parallel,
    pipeline_parallel,
    tensor_parallel,
)
from scoot_ray.engine.knowledge.vllm_untouched import GROUPS, UNTOUCHED
from scoot_ray.search.parameters import Boolean, Choice, Float

_NO_GPU = "acts on GPUs alone"
_GRAPHS_COUNTED_FROM = (0, 21)
_CPU_BLOCKS_FROM = (0, 11, 1)  # vllm/platforms/cpu.py


def block_size(c: Circumstances, flag: Flag) -> Range | LeaveOut:
    """Tokens per block of the KV cache: what the engine's parser and the backends of that release take."""
    if not c.gpus and c.release < _CPU_BLOCKS_FROM:
        return LeaveOut("the CPU backend of this release takes 16 alone, unless Intel's extension is installed")
    if not c.gpus:
        # The CPU backend's default, where multiples of 32 are taken.
        return Range(Choice("block_size", (32, 64, 128)), 128, "the CPU backend takes multiples of 32")
    usual = (8, 16, 32) if old_engine(c) else (16, 32) if c.release < (0, 12) else (16, 32, 64, 128)
    sizes = tuple(size for size in usual if not flag.choices or size in flag.choices)
    why = "up to 32 on CUDA" if c.release < (0, 12) else "every attention backend takes multiples of 16"
    return Range(Choice("block_size", sizes), 16, why)


def gpu_memory_utilization(c: Circumstances, flag: Flag) -> Range | LeaveOut:
    """Up to what leaves room for what the start-up check does not see: CUDA graphs, fragments, longer prompts."""
    if not c.gpus:
        return LeaveOut("the CPU backend's cache is set by VLLM_CPU_KVCACHE_SPACE")
    default = flag.default if isinstance(flag.default, float) else 0.9
    spare_gib = 1.0 if c.release >= _GRAPHS_COUNTED_FROM else 2.0
    if c.memory_gib is None:
        return Range(
            Float("gpu_memory_utilization", 0.8, default),
            default,
            f"no more than the default of {default:g}, since the GPU's memory is not known",
        )
    cap = max(default, min(0.95, int(100 * (1 - spare_gib / c.memory_gib)) / 100))
    left_gib = (1 - cap) * c.memory_gib
    why = f"up to {cap:g}, which leaves {left_gib:.1f} GiB: a short test survives with less, a long service does not"
    return Range(Float("gpu_memory_utilization", 0.8, cap), default, why)


def prefix_caching(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Only where the trace tells which prompts begin alike; a made-up prompt shares nothing."""
    if cpu_without_caches(c):
        return LeaveOut("the CPU backend of this release turns it off")
    if c.lengths is None or c.lengths.shared is None:
        return LeaveOut("the trace does not say which prompts begin alike, so its effect cannot be measured")
    if not c.lengths.shared:
        return LeaveOut("no two prompts of the trace begin alike")
    return Range(
        Boolean("enable_prefix_caching"),
        not old_engine(c),
        f"{c.lengths.shared:.0%} of the prompts' blocks occurred before",
    )


def async_scheduling(c: Circumstances, flag: Flag) -> Range | LeaveOut:
    """On by default where the parser leaves it to the engine."""
    if not c.gpus:
        return LeaveOut("the CPU backend turns it off")
    default = flag.default if isinstance(flag.default, bool) else True
    return Range(Boolean("async_scheduling"), default, "on and off")


def performance_mode(c: Circumstances, flag: Flag) -> Range | LeaveOut:
    """All that the parser lists."""
    if not c.gpus:
        return LeaveOut(_NO_GPU)
    default = str(flag.default or "balanced")
    return Range(Choice("performance_mode", flag.choices or (default,)), default, "all that this engine has")


def capture_size(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Batches up to 512 are captured by default, where max_num_seqs allows; each graph takes memory."""
    if not c.gpus:
        return LeaveOut(_NO_GPU)
    return Range(
        Choice("max_cudagraph_capture_size", (128, 256, 512, 1024)),
        512,
        "the default of 512, less to save memory, more for large batches",
    )


def capture_length(c: Circumstances, flag: Flag) -> Range | LeaveOut:
    """Of the old engine: sequences longer than this run without CUDA graphs."""
    if not c.gpus:
        return LeaveOut(_NO_GPU)
    if not old_engine(c):
        return LeaveOut("this release's engine does not read it")
    longest = c.max_model_len or 8192
    if longest <= 2048:
        return LeaveOut(f"no sequence is longer than {longest} tokens: all are captured")
    default = flag.default if isinstance(flag.default, int) else 8192
    ladder = (2048, 4096, 8192, 16384, 32768)
    enough = default if default >= longest else next((size for size in ladder if size >= longest), ladder[-1])
    sizes = tuple(sorted({*(size for size in ladder if size < longest), default, enough}))
    return Range(Choice("max_seq_len_to_capture", sizes), default, f"up to the longest sequence of {longest} tokens")


def block_manager(_c: Circumstances, flag: Flag) -> Range | LeaveOut:
    """The choice between two block managers, in 0.4 and 0.5."""
    if flag.default is True:
        return LeaveOut("the other block manager is gone")
    return Range(Boolean("use_v2_block_manager"), False, "on and off")


def old_engine_switch(name: str) -> Tunable:
    """A switch of V0, off by default, that newer releases answer by falling back to V0."""

    def rule(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
        if not c.gpus and name == "disable_async_output_proc":
            return LeaveOut("the CPU backend does not have what it turns off")
        if not old_engine(c):
            return LeaveOut("makes this release fall back to the old engine, or does nothing")
        return Range(Boolean(name), False, "on and off")

    return Tunable(name, "work of the HTTP side beside or between the steps", rule, spare=True, lived="0.5 to 0.10")


def eager(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Pays where memory is short or models are tiny."""
    if not c.gpus and old_engine(c):
        return LeaveOut("the CPU backend of this release knows nothing else")
    return Range(
        Boolean("enforce_eager"), False, "on and off; without compiled graphs steps are slower, start and memory less"
    )


def preemption(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """What the old engine did with a sequence it ran out of memory for."""
    if not c.gpus:
        return LeaveOut("the CPU backend has nowhere to swap to")
    if not old_engine(c):
        return LeaveOut("makes this release fall back to the old engine")
    return Range(
        Choice("preemption_mode", ("recompute", "swap")), "recompute", "computed again, or kept in host memory"
    )


def cascade(c: Circumstances, flag: Flag) -> Range | LeaveOut:
    """A kernel for prefixes that all running requests share."""
    if not c.gpus:
        return LeaveOut(_NO_GPU)
    return Range(Boolean("disable_cascade_attn"), flag.default is True, "on and off")


VLLM = Knowledge(
    tunables=(
        Tunable(
            "tensor_parallel_size", "GPUs that work on one request; the others run further replicas", tensor_parallel
        ),
        Tunable("max_num_seqs", "requests in one step: throughput against time per token", max_num_seqs),
        Tunable(
            "max_num_batched_tokens",
            "tokens in one step: time to first token against others' stalls",
            max_num_batched_tokens,
        ),
        Tunable("enable_prefix_caching", "keeps prompts' beginnings for the next request", prefix_caching),
        Tunable("enable_chunked_prefill", "long prompts in pieces beside running answers", chunked_prefill),
        Tunable("gpu_memory_utilization", "room for the KV cache", gpu_memory_utilization),
        Tunable("block_size", "granularity of the KV cache", block_size),
        Tunable("async_scheduling", "the next step is planned while one runs", async_scheduling, lived="since 0.10"),
        Tunable(
            "long_prefill_token_threshold",
            "the most of one prompt in a step beside others",
            long_prefill,
            lived="since 0.8",
        ),
        Tunable("performance_mode", "the engine's own presets of graphs and kernels", performance_mode),
        Tunable(
            "max_cudagraph_capture_size",
            "largest batch with CUDA graphs: speed against memory",
            capture_size,
            lived="since 0.11",
        ),
        Tunable("scheduler_delay_factor", "waits for more prompts to batch", delay_factor, lived="0.4 to 0.9"),
        Tunable("num_scheduler_steps", "steps between two turns of the scheduler", scheduler_steps, lived="0.6 to 0.9"),
        Tunable("use_v2_block_manager", "bookkeeping of the KV cache", block_manager, lived="0.4 to 0.8"),
        Tunable("max_seq_len_to_capture", "longest sequence with CUDA graphs", capture_length, lived="until 0.11"),
        Tunable("disable_custom_all_reduce", "how GPUs add up their parts", custom_all_reduce),
        Tunable(
            "pipeline_parallel_size",
            "layers spread over GPUs, which exchange less than tensor parallel ones",
            pipeline_parallel,
        ),
        Tunable("enable_expert_parallel", "whole experts per GPU instead of parts of each", expert_parallel),
        Tunable("stream_interval", "tokens per message to the client", stream_interval, lived="since 0.11"),
        Tunable("scheduler_reserve_full_isl", "admits a prompt only if all of it fits", full_prompt_reserved),
        Tunable("watermark", "blocks kept free when requests are admitted", watermark),
        Tunable(
            "preemption_mode",
            "what happens to a request that memory runs out for",
            preemption,
            spare=True,
            lived="0.5 to 0.9",
        ),
        Tunable("disable_cascade_attn", "a kernel for prefixes that all requests share", cascade, spare=True),
        old_engine_switch("disable_async_output_proc"),
        old_engine_switch("disable_frontend_multiprocessing"),
        Tunable("enforce_eager", "compiled graphs", eager, spare=True),
    ),
    untouched=UNTOUCHED,
    groups=GROUPS,
)
