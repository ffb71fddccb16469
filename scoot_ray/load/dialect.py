"""What the engines' OpenAI-compatible servers call the same things: forced lengths, cache salts, adapters.

vLLM, SGLang and TensorRT-LLM all take ``ignore_eos`` and ``min_tokens`` beside ``max_tokens``. They differ in the rest:

- ``cache_salt`` keeps one measurement's prefixes from another's. TensorRT-LLM knows it in chat alone, and refuses
  fields that it does not know.
- An adapter (LoRA) is a model of its own name in vLLM, ``model:adapter`` in SGLang. TensorRT-LLM wants a structure with
  the adapter's path, which no trace has.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from scoot_ray.load.errors import LoadError

Engine: TypeAlias = Literal["vllm", "sglang", "trtllm"]


def forced_length(tokens: int) -> dict[str, Any]:
    """Body fields that make the answer exactly ``tokens`` long."""
    return {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}


def salted(engine: Engine, salt: str, *, chat: bool) -> dict[str, Any]:
    """Body fields that keep a text's prefix apart from other salts' in the server's cache, where the engine can."""
    return {} if engine == "trtllm" and not chat else {"cache_salt": salt}


def model_name(engine: Engine, model: str, adapter: str | None) -> str:
    """Name the model to ask for, with or without an adapter. Raises LoadError where the engine needs more."""
    if adapter is None:
        return model
    if engine == "trtllm":
        raise LoadError(f"adapter: {adapter} with engine trtllm; allowed lora_request in the extra body instead")
    return f"{model}:{adapter}" if engine == "sglang" else adapter
