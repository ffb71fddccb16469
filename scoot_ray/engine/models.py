"""What a model's ``config.json`` says: its shape, and what follows from it: parameters and bytes of the KV cache.

Only decoders whose layers are known (``_GATED``, ``_EXPERTS``) have parameters counted; of any other model the fields
that every architecture has are read, and nothing is guessed.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scoot_ray.search import Value

_GATED = frozenset(
    {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "Phi3ForCausalLM"}
    | {"GemmaForCausalLM", "Gemma2ForCausalLM", "InternLM3ForCausalLM"}
)
"""Decoders of attention and one gated MLP in every layer."""
_EXPERTS = {"MixtralForCausalLM": "num_local_experts", "Qwen3MoeForCausalLM": "num_experts"}
"""The same with a mixture of such MLPs in every layer, and the key of their number."""
NAMED_FACTS = ("attention_heads", "kv_heads", "layers", "intermediate_size", "longest_sequence", "sliding_window")
"""Facts that rules may name."""
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length")
_OFFLINE_HUB = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
_MOST_LENGTH = 10**9  # tokenizers say 10**30 for no limit


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder of the Llama family; ``experts`` > 1 makes its MLPs mixtures, ``active_experts`` used per token.

    ``tied`` ones have one matrix for the embedding and the output head.
    """

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    max_model_len: int
    experts: int = 1
    active_experts: int = 1
    tied: bool = False

    @property
    def attention_params(self) -> int:
        """Parameters of all layers' attention: Q and O of ``heads``, K and V of ``kv_heads``."""
        return self.layers * self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads)

    @property
    def expert_params(self) -> int:
        """Parameters of one expert in all layers: gate, up and down projection."""
        return self.layers * 3 * self.hidden * self.intermediate

    @property
    def head_params(self) -> int:
        """Parameters of the output head; the embedding has as many."""
        return self.hidden * self.vocabulary

    @property
    def params(self) -> int:
        """All parameters that are kept in memory."""
        ends = self.head_params if self.tied else 2 * self.head_params
        return self.attention_params + self.experts * self.expert_params + ends

    @property
    def active_params(self) -> int:
        """Parameters that every token is multiplied with, the output head apart."""
        return self.attention_params + self.active_experts * self.expert_params

    def kv_bytes_per_token(self, bytes_per_value: float = 2.0) -> float:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_per_value


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as its ``config.json`` has it. None: it is not said there, or not in a way that is understood.

    ``longest_sequence`` and ``default_length`` are tokens: what the engine accepts for ``max_model_len``, and what it
    takes where nothing is set. ``kv_heads`` and ``intermediate_size`` are set where tensor parallelism divides them.
    ``quantization`` is the method of the checkpoint, and ``bits`` the fewest of a quantised weight, where it says so.
    """

    attention_heads: int | None = None
    kv_heads: int | None = None
    layers: int | None = None
    intermediate_size: int | None = None
    longest_sequence: int | None = None
    default_length: int | None = None
    sliding_window: bool | None = None
    shape: ModelShape | None = None
    quantization: str | None = None
    bits: int | None = None

    @property
    def names(self) -> dict[str, Value]:
        """The facts that rules may name, as far as they are known."""
        values = {name: getattr(self, name) for name in NAMED_FACTS}
        return {name: value for name, value in values.items() if value is not None}


_NAMED = frozenset({"attention_heads", "kv_heads", "layers", "intermediate_size", "longest_sequence", "sliding_window"})
FACTS = _NAMED


def find_config(model: str, env: Mapping[str, str] | None = None, revision: str = "main") -> Path | None:
    """Return the model's ``config.json`` on this machine: in its folder, or in the hub's cache; None where it is not.

    ``env`` says where the cache is (``HF_HUB_CACHE``, ``HF_HOME``), on top of our own environment.
    """
    folder = Path(model)
    if folder.is_dir():
        config = folder / "config.json"
        return config if config.is_file() else None
    cached = _hub_cache({**os.environ, **(env or {})}) / f"models--{model.replace('/', '--')}"
    try:
        commit = (cached / "refs" / revision).read_text().strip()
    except OSError:
        commit = revision
    config = cached / "snapshots" / commit / "config.json"
    return config if config.is_file() else None


def read_facts(config: Path) -> ModelFacts | None:
    """Return the facts of a ``config.json``; None where it cannot be read."""
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
        return _facts(document, config) if isinstance(document, dict) else None
    except (OSError, ValueError, TypeError, ArithmeticError):
        return None


def read_shape(name: str, config: Mapping[str, Any]) -> ModelShape:
    """Return the shape of a decoder of the Llama family.

    Raises:
        KeyError, ValueError, TypeError: a key is missing, or no number.
    """
    heads = int(config["num_attention_heads"])
    return ModelShape(
        name=name,
        layers=int(config["num_hidden_layers"]),
        hidden=int(config["hidden_size"]),
        heads=heads,
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
        intermediate=int(config["intermediate_size"]),
        vocabulary=int(config["vocab_size"]),
        max_model_len=int(config["max_position_embeddings"]),
        experts=int(config.get("num_local_experts") or 1),
        active_experts=int(config.get("num_experts_per_tok") or 1),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def _facts(document: Mapping[str, Any], path: Path) -> ModelFacts:
    """What is said for the language model, which multimodal ones keep in ``text_config``."""
    text = document.get("text_config")
    config = {**document, **text} if isinstance(text, dict) else document
    shape = _known_shape(config)
    dense = shape is not None and shape.experts == 1
    quantization = _mapping(config.get("quantization_config"))
    return ModelFacts(
        attention_heads=_count(config, "num_attention_heads"),
        kv_heads=shape.kv_heads if shape else None,
        layers=_count(config, "num_hidden_layers"),
        intermediate_size=shape.intermediate if shape and dense else None,
        longest_sequence=_longest(config),
        default_length=_default_length(config, path),
        sliding_window=bool(config.get("sliding_window")) and config.get("use_sliding_window") is not False,
        shape=shape,
        quantization=str(quantization.get("quant_method", "unknown")) if quantization else None,
        bits=_count(quantization, "bits"),
    )


def _known_shape(config: Mapping[str, Any]) -> ModelShape | None:
    """The shape, where the architecture is one that is counted right and every key it needs is there."""
    architectures = config.get("architectures")
    kind = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    if kind not in _GATED and kind not in _EXPERTS:
        return None
    stated = {"num_key_value_heads"} if kind != "LlamaForCausalLM" else set()
    if kind.startswith(("Gemma", "Qwen3")):
        stated.add("head_dim")
    if not stated <= config.keys() or "kv_lora_rank" in config:
        return None
    try:
        shape = read_shape(str(config.get("_name_or_path", "")), config)
    except KeyError:
        return None
    if kind in _EXPERTS:
        return _with_experts(shape, config, _EXPERTS[kind])
    return replace(shape, tied=bool(config.get("tie_word_embeddings", kind.startswith("Gemma"))), experts=1)


def _with_experts(shape: ModelShape, config: Mapping[str, Any], key: str) -> ModelShape | None:
    """The same with experts in every layer; None where some layers have none, or their number is not said."""
    experts = _count(config, key)
    if experts is None or config.get("mlp_only_layers") or config.get("decoder_sparse_step", 1) != 1:
        return None
    width = _count(config, "moe_intermediate_size") or shape.intermediate
    return replace(shape, experts=experts, intermediate=width)


def _longest(config: Mapping[str, Any]) -> int | None:
    """The longest ``max_model_len`` that is accepted; None where scaling or another key may allow more."""
    rope = _mapping(config.get("rope_scaling") or config.get("rope_parameters"))
    if rope.get("rope_type", rope.get("type", "default" if "rope_theta" in rope or not rope else None)) != "default":
        return None
    return None if "model_max_length" in config else _count(config, "max_position_embeddings")


def _default_length(config: Mapping[str, Any], path: Path) -> int | None:
    """What the engine takes for ``max_model_len`` where it is not set, or more than it does never."""
    lengths = [length for key in _LENGTHS if (length := _count(config, key)) is not None]
    if not lengths or _longest(config) is None:
        return None
    try:
        tokenizer = _mapping(json.loads((path.parent / "tokenizer_config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None  # its model_max_length may be less
    limit = tokenizer.get("model_max_length")
    if isinstance(limit, int | float) and math.isfinite(limit) and limit < _MOST_LENGTH:
        lengths.append(int(limit))
    return min(lengths)


def _count(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _hub_cache(env: Mapping[str, str]) -> Path:
    """Where the hub's clients keep what they have fetched."""
    for name in _OFFLINE_HUB:
        if env.get(name):
            return Path(env[name])
    home = env.get("HF_HOME") or str(Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache", "huggingface"))
    return Path(home, "hub")
