"""The paper's search space (Table I, for vLLM 0.4.2), and the rules between parameters by release.

What the installed engine can be tuned on comes from :mod:`scoot_ray.engine.knowledge`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from scoot_ray.engine.knowledge.circumstances import Release, release_of
from scoot_ray.engine.rules import CHUNKS_ALWAYS, WHOLE_PREFILL
from scoot_ray.search.constraints import Constraint
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
    """A parameter with its default."""

    parameter: Parameter
    default: Value


@dataclass(frozen=True, slots=True)
class _Rule:
    """What releases from ``since`` on, and before ``until``, refuse to break."""

    text: str
    since: Release = (0, 0)
    until: Release | None = None

    def holds_in(self, release: Release) -> bool:
        return self.since <= release and (self.until is None or release < self.until)


_SEQUENCES_RULE = "max_num_batched_tokens >= max_num_seqs"
_CACHING_RULE = "not (enable_chunked_prefill and enable_prefix_caching)"
_RULES = (
    _Rule(_SEQUENCES_RULE),
    _Rule(WHOLE_PREFILL, until=release_of(CHUNKS_ALWAYS[0])),
    _Rule(WHOLE_PREFILL, since=release_of(CHUNKS_ALWAYS[1])),
    _Rule(_CACHING_RULE, until=(0, 6)),
    _Rule("long_prefill_token_threshold <= max_model_len"),
    _Rule("tensor_parallel_size * pipeline_parallel_size <= gpus"),
    _Rule("num_scheduler_steps == 1 or not enable_chunked_prefill or pipeline_parallel_size == 1", until=(0, 10)),
    _Rule("not async_scheduling or pipeline_parallel_size == 1", until=(0, 15)),
)


def rules_among(names: Collection[str], release: Release) -> tuple[str, ...]:
    """Return the rules of a release that speak of ``names`` alone: parameters and constants."""
    known = frozenset(names)
    return tuple(rule.text for rule in _RULES if rule.holds_in(release) and Constraint(rule.text).names <= known)


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
    return _preset(entries, (_SEQUENCES_RULE, WHOLE_PREFILL, _CACHING_RULE))


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
