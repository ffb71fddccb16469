"""What is known of a study's model without asking anybody."""

from __future__ import annotations

from dataclasses import replace

from scoot_ray.engine.models import ModelFacts, ModelShape, find_config, read_facts
from scoot_ray.simulator.models import find_model
from scoot_ray.study import Study

_OVERRIDES = ("hf_overrides", "hf_config_path", "config")
_ALLOW_LONG = "VLLM_ALLOW_LONG_MAX_MODEL_LEN"


def model_facts(study: Study) -> tuple[ModelFacts | None, str | None]:
    """Return the model's facts; where there are none, one line that says why."""
    engine = study.engine
    if engine.simulated:
        return _of_shape(find_model(engine.model)), None
    for name in _OVERRIDES:
        if name in engine.args:
            return None, f"engine.args.{name} changes the model"
    plain = {name: value for name, value in engine.env.items() if isinstance(value, str)}
    config = find_config(engine.model, plain, str(engine.args.get("revision", "main")))
    if config is None:
        return None, f"there is no config.json of {engine.model} on this machine"
    facts = read_facts(config)
    if facts is None:
        return None, f"{config} cannot be read"
    return replace(facts, longest_sequence=None) if plain.get(_ALLOW_LONG, "0") != "0" else facts, None


def _of_shape(shape: ModelShape) -> ModelFacts:
    """The facts of a model that is simulated, known by its shape alone."""
    return ModelFacts(
        attention_heads=shape.heads,
        kv_heads=shape.kv_heads,
        layers=shape.layers,
        intermediate_size=shape.intermediate if shape.experts == 1 else None,
        longest_sequence=shape.max_model_len,
        default_length=shape.max_model_len,
        sliding_window=False,
        shape=shape,
    )
