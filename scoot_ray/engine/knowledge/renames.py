"""Configurations of one release, as another understands them: what was renamed, and which defaults changed.

Only what means the same is translated. Where a release dropped a parameter, nothing here stands for it, and it is left
aside by whoever reads the history.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from scoot_ray.engine.knowledge.circumstances import Release, release_of
from scoot_ray.search.trial import Config, Value

Convert = Callable[[Value], Value | None]


@dataclass(frozen=True, slots=True)
class _Renamed:
    """``old`` was called ``new`` later; ``forward`` and ``back`` turn values, None for one that has no counterpart."""

    old: str
    new: str
    forward: Convert
    back: Convert


@dataclass(frozen=True, slots=True)
class _DefaultChanged:
    """From ``since`` on, ``name`` is ``after`` when nothing is set; ``before`` until then."""

    name: str
    since: Release
    before: Value
    after: Value


def _same(value: Value) -> Value:
    return value


def _opposite(value: Value) -> Value | None:
    return not value if isinstance(value, bool) else None


def _only(value: Value, counterpart: Value) -> Convert:
    """A conversion that knows one value."""
    return lambda given: counterpart if given == value else None


def _single_size(value: Value) -> Value | None:
    """``cuda_graph_sizes`` with one number says how far the sizes go; with several it lists them."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


_RENAMES = (
    _Renamed("max_context_len_to_capture", "max_seq_len_to_capture", _same, _same),  # 0.4 had both
    _Renamed("worker_use_ray", "distributed_executor_backend", _only(True, "ray"), _only("ray", True)),  # 0.4 to 0.6
    _Renamed("disable_log_requests", "enable_log_requests", _opposite, _opposite),  # until 0.11 both
    _Renamed("cuda_graph_sizes", "max_cudagraph_capture_size", _single_size, _same),  # 0.11 has both
    _Renamed("override_pooler_config", "pooler_config", _same, _same),
    _Renamed("guided_decoding_backend", "structured_outputs_config.backend", _same, _same),
    _Renamed("num_redundant_experts", "eplb_config.num_redundant_experts", _same, _same),
    _Renamed("disable_mm_preprocessor_cache", "mm_processor_cache_gb", _only(True, 0), _only(0, True)),
    _Renamed("enable_multimodal_encoder_data_parallel", "mm_encoder_tp_mode", _only(True, "data"), _only("data", True)),
)
_DEFAULTS = (
    _DefaultChanged("enable_prefix_caching", (0, 8), before=False, after=True),
    _DefaultChanged("enable_chunked_prefill", (0, 8), before=False, after=True),
    _DefaultChanged("async_scheduling", (0, 14), before=False, after=True),
    _DefaultChanged("use_v2_block_manager", (0, 6), before=False, after=True),
)


def translated(config: Config, version: str | None) -> dict[str, Value]:
    """Return ``config`` under every name that any release has for what it says.

    With the ``version`` that ran it, what it left unset is said too where the default has changed since: another
    release would else read its own default into it.
    """
    said = dict(config)
    for one in _RENAMES:
        for have, want, convert in ((one.old, one.new, one.forward), (one.new, one.old, one.back)):
            value = convert(config[have]) if have in config and want not in config else None
            if value is not None:
                said[want] = value
    if version is not None:
        release = release_of(version)
        for default in _DEFAULTS:
            said.setdefault(default.name, default.after if release >= default.since else default.before)
    return said
