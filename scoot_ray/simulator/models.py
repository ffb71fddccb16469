"""The models that a simulated engine knows by name, by the shapes of their published ``config.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoot_ray.engine.models import ModelShape, read_shape


class UnknownModel(ValueError):  # noqa: N818 - says what is wrong
    """The model is neither in the catalogue nor a folder with a ``config.json`` that can be read."""


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
        return read_shape(name, config)
    except (OSError, ValueError) as error:
        raise UnknownModel(f"{name!r}: {path.name} cannot be read: {error}") from error
    except KeyError as error:
        raise UnknownModel(
            f"{name!r}: {path.name} has no {error}: only decoders of the Llama family are known"
        ) from error
