"""What vLLM refuses at its start, as known constraints with the versions that have them. Pure.

Each rule was read in the source named beside it, and is claimed for the versions it was read in alone: a rule too many
would forbid what runs, one too few costs a failed start. Names are those of flags; ``gpus`` (of one evaluation) and the
fields of :class:`scoot_ray.engine.models.ModelFacts` are known besides.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scoot_ray.search import Constraint, Value

Platform: TypeAlias = Literal["gpu", "cpu"]

OLDEST, NEWEST_READ = "0.4.2", "0.32.0"
"""Between these two, a rule without bounds was read in both."""
WHOLE_PREFILL = "enable_chunked_prefill or max_num_batched_tokens >= max_model_len"
CHUNKS_ALWAYS = "0.8.0", "0.11.1"
"""From the first until before the second, prompts go in chunks whatever the flag says."""
_NAME = re.compile(r"'[^']*'|\"[^\"]*\"|[A-Za-z_]\w*")
_NUMBERS = re.compile(r"\d+(?:\.\d+)*")
_WORDS = frozenset({"and", "or", "not", "implies", "true", "false"})


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a known constraint, what breaks, where that stands in vLLM's source, and since when until before when.

    ``platform`` is None where both have it. ``needs`` are facts of the model that the text does not name but without
    which the rule is not known to hold.
    """

    text: str
    reason: str
    source: str
    since: str = OLDEST
    until: str | None = None
    platform: Platform | None = None
    needs: tuple[str, ...] = ()

    def applies(self, version: str | None, platform: Platform) -> bool:
        """Whether an engine of this version has the rule; of an unknown version only what all versions have."""
        if self.platform not in {None, platform}:
            return False
        if version is None:
            return self.since == OLDEST and self.until is None
        at = _parts(version)
        return _parts(self.since) <= at and (self.until is None or at < _parts(self.until))


RULES = (
    Rule(
        "max_num_batched_tokens >= max_num_seqs",
        "every running sequence needs a token of each step",
        "SchedulerConfig (0.4.2: vllm/config.py, 0.32: vllm/config/scheduler.py)",
    ),
    # From 0.8.0 to 0.11.0 V1 sets enable_chunked_prefill whatever was asked for (EngineArgs._set_default_args_v1, in
    # 0.11.0 _set_default_args; pull request 11061, issues 18547 and 20914). 0.11.1 heeds it again, and refuses again.
    Rule(
        WHOLE_PREFILL,
        "a whole prompt must fit into one step",
        "SchedulerConfig, vllm/config.py",
        until=CHUNKS_ALWAYS[0],
    ),
    Rule(
        WHOLE_PREFILL,
        "a whole prompt must fit into one step",
        "SchedulerConfig.verify_max_model_len, vllm/config/scheduler.py (read in 0.11.1 and 0.32.0)",
        since=CHUNKS_ALWAYS[1],
    ),
    Rule(
        "not (enable_chunked_prefill and enable_prefix_caching)",
        "the first cached chunk ends the engine",
        "vllm/worker/model_runner.py; both together since pull request 7753",
        until="0.6.0",
    ),
    Rule(
        "long_prefill_token_threshold <= max_model_len",
        "no prompt is longer",
        "SchedulerConfig, vllm/config/scheduler.py",
        since="0.32.0",
    ),
    Rule(
        "max_num_active_seqs <= max_num_seqs",
        "active sequences are among all sequences",
        "SchedulerConfig, vllm/config/scheduler.py",
        since="0.32.0",
    ),
    Rule(
        "max_model_len <= longest_sequence",
        "the model takes no longer sequences",
        "_get_and_verify_max_len (0.4.2: vllm/config.py, 0.32: vllm/config/model.py)",
    ),
    Rule(
        "gpu_memory_utilization <= 1",
        "a share of the memory",
        "CacheConfig (0.4.2: vllm/config.py, 0.32: vllm/config/cache.py)",
    ),
    Rule(
        "attention_heads % tensor_parallel_size == 0",
        "each GPU takes as many attention heads",
        "ModelConfig.verify_with_parallel_config (0.4.2: vllm/config.py, 0.32: vllm/config/model.py)",
    ),
    Rule(
        "kv_heads % tensor_parallel_size == 0 or tensor_parallel_size % kv_heads == 0",
        "KV heads are dealt out evenly or copied evenly",
        "QKVParallelLinear, vllm/model_executor/layers/linear.py",
    ),
    Rule(
        "intermediate_size % tensor_parallel_size == 0",
        "each GPU takes as many columns of the MLP",
        "divide in vllm/distributed/utils.py, of vllm/model_executor/layers/linear.py",
    ),
    Rule(
        "pipeline_parallel_size == 1",
        "pipeline parallelism came with 0.5.1",
        "ParallelConfig._verify_args, vllm/config.py; pull request 4412",
        until="0.5.1",
    ),
    Rule(
        "layers % pipeline_parallel_size == 0",
        "layers were dealt out evenly; unevenly since pull request 6115",
        "ModelConfig.verify_with_parallel_config, vllm/config.py",
        until="0.5.1",
    ),
    Rule(
        "tensor_parallel_size * pipeline_parallel_size * data_parallel_size <= gpus",
        "an evaluation has no more GPUs",
        "ParallelConfig (0.4.2: vllm/executor/ray_utils.py, 0.32: vllm/config/parallel.py)",
        platform="gpu",
    ),
    Rule(
        "prefill_context_parallel_size > 1 or tensor_parallel_size % decode_context_parallel_size == 0",
        "decode context parallelism reuses the GPUs of tensor parallelism",
        "ParallelConfig, vllm/config/parallel.py",
        since="0.32.0",
    ),
    Rule(
        "decode_context_parallel_size == 1 or tensor_parallel_size >= kv_heads * decode_context_parallel_size",
        "it splits what would be copies of KV heads",
        "ModelConfig.verify_with_parallel_config, vllm/config/model.py",
        since="0.32.0",
    ),
    Rule(
        "not (sliding_window and use_v2_block_manager)",
        "not supported there",
        "BlockSpaceManagerV2, vllm/core/block_manager_v2.py",
        until="0.4.3",
    ),
    Rule(
        "not (sliding_window and enable_prefix_caching) or use_v2_block_manager",
        "not supported there",
        "BlockSpaceManagerV1, vllm/core/block_manager_v1.py",
        until="0.4.3",
    ),
    Rule(
        "block_size == 8 or block_size == 16 or block_size == 32",
        "the choices of --block-size",
        "EngineArgs.add_cli_args, vllm/engine/arg_utils.py",
        until="0.4.3",
    ),
    # Of models with other attention (MLA, Mamba) the engine sets the size itself.
    Rule(
        "block_size % 32 == 0",
        "blocks the CPU's attention takes",
        "get_supported_kernel_block_sizes, vllm/v1/attention/backends/cpu_attn.py",
        since="0.32.0",
        platform="cpu",
        needs=("kv_heads",),
    ),
    Rule(
        "block_size % 16 == 0",
        "blocks the GPU's attention takes",
        "get_supported_kernel_block_sizes, vllm/v1/attention/backends/",
        since="0.32.0",
        platform="gpu",
        needs=("kv_heads",),
    ),
)


def rules_of(version: str | None, platform: Platform) -> tuple[Rule, ...]:
    """The rules that an engine of this version has there."""
    return tuple(rule for rule in RULES if rule.applies(version, platform))


def names_in(text: str) -> frozenset[str]:
    """The names that a constraint is about."""
    return Constraint(text).names


def bind(text: str, values: Mapping[str, Value]) -> str:
    """Return the constraint with these names' values in their place; what is no name stays as it is."""

    def literal(found: re.Match[str]) -> str:
        word = found[0]
        return word if word in _WORDS or word not in values else _literal(values[word])

    return _NAME.sub(literal, text)


def _literal(value: Value) -> str:
    """Return a value as the grammar of constraints writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}'" if "'" not in value else f'"{value}"'
    return str(value) if value >= 0 else f"(0 - {-value})"


def _parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a release: of ``0.11.1rc2.dev3+cpu`` (0, 11, 1)."""
    found = _NUMBERS.match(version)
    return tuple(_trimmed(int(part) for part in found[0].split("."))) if found else ()


def _trimmed(parts: Iterator[int]) -> list[int]:
    """Without zeros at the end, so that 0.6 and 0.6.0 are the same version."""
    kept = list(parts)
    while kept and kept[-1] == 0:
        kept.pop()
    return kept
