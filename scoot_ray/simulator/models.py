"""Transformer models by their shape, and what follows from it: parameters, bytes of the KV cache, operations.

Shapes are those of the models' published ``config.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class UnknownModel(ValueError):  # noqa: N818 - says what is wrong
    """The model is neither in the catalogue nor a folder with a ``config.json`` that can be read."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder of the Llama family; ``experts`` > 1 makes its MLPs mixtures, ``active_experts`` used per token."""

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
        return self.attention_params + self.experts * self.expert_params + 2 * self.head_params

    @property
    def active_params(self) -> int:
        """Parameters that every token is multiplied with, the output head apart."""
        return self.attention_params + self.active_experts * self.expert_params

    def kv_bytes_per_token(self, bytes_per_value: float = 2.0) -> float:
        """Keys and values of one token in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * bytes_per_value


MODELS = (
    ModelShape("meta-llama/Llama-2-7b-hf", 32, 4096, 32, 32, 128, 11008, 32000, 4096),
    ModelShape("meta-llama/Llama-2-13b-hf", 40, 5120, 40, 40, 128, 13824, 32000, 4096),
    ModelShape("meta-llama/Meta-Llama-3-8B", 32, 4096, 32, 8, 128, 14336, 128256, 8192),
    ModelShape("meta-llama/Meta-Llama-3-70B", 80, 8192, 64, 8, 128, 28672, 128256, 8192),
    ModelShape("mistralai/Mixtral-8x7B-v0.1", 32, 4096, 32, 8, 128, 14336, 32000, 32768, experts=8, active_experts=2),
)


def find_model(name: str) -> ModelShape:
    """Return a model of the catalogue by its hub name, or by its last part; or the shape of a local folder's model.

    Raises:
        UnknownModel: one line with what is allowed.
    """
    config = Path(name) / "config.json"
    if config.is_file():
        return _from_config(name, config)
    for model in MODELS:
        if name.lower() in {model.name.lower(), model.name.rpartition("/")[2].lower()}:
            return model
    known = ", ".join(model.name for model in MODELS)
    raise UnknownModel(f"{name!r}: allowed are {known}, or a folder with a config.json")


def _from_config(name: str, path: Path) -> ModelShape:
    try:
        config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
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
        )
    except (OSError, ValueError) as error:
        raise UnknownModel(f"{name!r}: {path.name} cannot be read: {error}") from error
    except KeyError as error:
        raise UnknownModel(
            f"{name!r}: {path.name} has no {error}: only decoders of the Llama family are known"
        ) from error
