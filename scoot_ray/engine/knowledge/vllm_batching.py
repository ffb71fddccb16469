"""Rules of vLLM's scheduler: how many requests and tokens a step takes, and who goes first.

Defaults of ``max_num_seqs`` and ``max_num_batched_tokens`` are chosen by the engine as it starts, by release and GPU
(``EngineArgs._set_default_args`` and its predecessors).
"""

from __future__ import annotations

from math import ceil, log2

from scoot_ray.engine.catalogue import Flag
from scoot_ray.engine.knowledge.circumstances import Circumstances, release_of
from scoot_ray.engine.knowledge.table import LeaveOut, Range
from scoot_ray.engine.rules import CHUNKS_ALWAYS
from scoot_ray.search.parameters import Boolean, Choice, Float, Integer

_NEW_ENGINE_FROM = (0, 8)
_NEW_ENGINE_ON_CPU_FROM = (0, 9)
_WARNS_FROM = (0, 12)  # of prompts that go whole
_CPU_CACHES_FROM = (0, 6, 5)  # pull request 10355; vllm/executor/cpu_executor.py turned both off
_LONG_CONTEXT = 32768  # tokens, beyond which 0.5 to 0.7 turn chunked prefill on


def old_engine(c: Circumstances) -> bool:
    """Return whether this release runs its first engine (V0) when nothing is set."""
    return c.release < (_NEW_ENGINE_FROM if c.gpus else _NEW_ENGINE_ON_CPU_FROM)


def cpu_without_caches(c: Circumstances) -> bool:
    """Return whether this is a CPU backend that turns prefix caching and chunked prefill off."""
    return not c.gpus and c.release < _CPU_CACHES_FROM


def server_defaults(c: Circumstances) -> tuple[int, int]:
    """Return (max_num_seqs, max_num_batched_tokens) of the online server when nothing is set."""
    if old_engine(c):
        chunk = 512 if c.release < (0, 6) else 2048
        return 256, chunk if chunks_by_default(c) else max(c.max_model_len or 2048, 2048)
    if not c.gpus:
        return 128, 2048
    memory = c.memory_gib or 0.0
    is_a100 = (c.accelerator or "").upper().startswith("A100")
    if c.release >= (0, 12) and memory >= 160:
        return 1024, 16384
    if memory >= 70 and not (is_a100 and c.release >= (0, 9)):
        return 1024, 8192
    return 256, 2048


def chunks_by_default(c: Circumstances) -> bool:
    """Return whether prompts go in pieces when nothing is set."""
    long_context = (c.max_model_len or 0) > _LONG_CONTEXT
    return not old_engine(c) or (c.release >= (0, 5) and long_context and c.gpus > 0)


def max_num_seqs(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Up to twice what memory holds: beyond it requests only wait elsewhere."""
    default, _ = server_defaults(c)
    if c.concurrency is None:
        high = 2048 if c.gpus else 512
        return Range(Integer("max_num_seqs", 8, high, scale="log"), default, f"8 to {high}, on a logarithmic scale")
    high = min(max(_power_of_two(2 * c.concurrency), 256), 2048)
    why = f"memory holds about {c.concurrency:.0f} requests of this trace at once; up to {_upper(high, default)}"
    return Range(Integer("max_num_seqs", 8, max(high, default), scale="log"), default, why)


def max_num_batched_tokens(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Up to four long prompts in a step, within what has been seen to help."""
    _, default = server_defaults(c)
    least, most = (8192, 32768) if c.gpus else (4096, 16384)
    longest = c.lengths.input_p99 if c.lengths is not None else 0
    high = min(max(_power_of_two(4 * longest), least), most)
    if not always_chunks(c):
        high = max(high, min(_power_of_two(c.max_model_len or 0), 4 * most))  # whole prompts must fit in a step
    # Where whole prompts must fit into a step, and nothing can be done about it, less would be refused.
    low = min(max(256, c.max_model_len or 2048), default) if cpu_without_caches(c) else 256
    why = f"{low} to {_upper(high, default)}"
    why += f": four of the longest prompts (p99 {longest} tokens)" if longest else ""
    return Range(Integer("max_num_batched_tokens", low, max(high, default), scale="log"), default, why)


def _upper(high: int, default: int) -> str:
    """How far a range goes that holds the default whatever it is."""
    return f"{high}" if high >= default else f"{default}, the default, though {high} would do"


def always_chunks(c: Circumstances) -> bool:
    """Return whether this release cannot, or should not, run without chunked prefill."""
    return not old_engine(c) and not release_of(CHUNKS_ALWAYS[1]) <= c.release < _WARNS_FROM


def chunked_prefill(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Free in the old engine and in 0.11.1 and 0.11.2; always on in between; off is at one's own risk later."""
    if cpu_without_caches(c):
        return LeaveOut("the CPU backend of this release turns it off")
    if c.release < release_of(CHUNKS_ALWAYS[1]) and not old_engine(c):
        return LeaveOut("this release always chunks, whatever the flag says")
    if always_chunks(c):
        return LeaveOut("on by default, and this release warns that turning it off may crash or give wrong answers")
    return Range(Boolean("enable_chunked_prefill"), chunks_by_default(c), "on and off")


def long_prefill(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Thresholds below the longest prompts; 0 is off."""
    if old_engine(c):
        return LeaveOut("this release reads it with several partial prefills alone")
    longest = c.lengths.input_p99 if c.lengths is not None else c.max_model_len or 8192
    sizes = tuple(size for size in (256, 512, 1024, 2048, 4096) if size < longest)
    if not sizes:
        return LeaveOut(f"99% of the prompts have at most {longest} tokens: none is long")
    why = f"off, or less than the longest prompts (p99 {longest} tokens)"
    return Range(Choice("long_prefill_token_threshold", (0, *sizes)), 0, why)


def delay_factor(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """As in the paper's Table I."""
    if not old_engine(c):
        return LeaveOut("makes this release fall back to the old engine")
    return Range(
        Float("scheduler_delay_factor", 0.0, 2.0), 0.0, "the paper's range, in units of the last prefill's time"
    )


def scheduler_steps(c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Of 0.6 and 0.7; answers come in bursts of as many tokens."""
    if not c.gpus:
        return LeaveOut("the CPU backend does not have it")  # issue 8477
    if not old_engine(c):
        return LeaveOut("makes this release fall back to the old engine")
    return Range(Choice("num_scheduler_steps", (1, 4, 8, 16)), 1, "one, or a few; more makes requests wait longer")


def stream_interval(_c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """Messages of more than eight tokens are felt by readers."""
    return Range(Integer("stream_interval", 1, 8), 1, "every token, up to messages of eight, which readers do not mind")


def full_prompt_reserved(_c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """On by default."""
    return Range(Boolean("scheduler_reserve_full_isl"), True, "on and off")


def watermark(_c: Circumstances, _flag: Flag) -> Range | LeaveOut:
    """A share of the cache; the old engine had 0.01 built in."""
    return Range(Float("watermark", 0.0, 0.1), 0.0, "none, up to a tenth of the cache")


def _power_of_two(value: float) -> int:
    """Return the next power of two from ``value`` on."""
    return int(2 ** ceil(log2(max(value, 1.0))))
