"""A study and its trace -> what the knowledge of an engine asks about."""

from __future__ import annotations

from collections.abc import Sequence

from scoot_ray.engine.knowledge import Circumstances, Lengths, Model, links_are_slow, memory_of, release_of
from scoot_ray.engine.models import ModelShape
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.census import take_census
from scoot_ray.problem import max_model_len
from scoot_ray.search import Config
from scoot_ray.simulator.hardware import UnknownHardware, find_accelerator
from scoot_ray.simulator.models import UnknownModel, find_model
from scoot_ray.study import Study


def circumstances_of(study: Study, version: str, requests: Sequence[Request]) -> Circumstances:
    """Return all that is known; ``version`` is the engine's."""
    shape = _shape(study)
    hardware = study.engine.hardware
    accelerator = hardware.accelerator if hardware is not None else study.resources.accelerator
    memory_gib, slow_links = _gpu(accelerator)
    return Circumstances(
        release=release_of(version),
        gpus=study.gpus,
        accelerator=accelerator,
        memory_gib=memory_gib,
        slow_links=slow_links,
        max_model_len=max_model_len(study) or (shape.max_model_len if shape is not None else None),
        model=_model(shape, study.engine.args) if shape is not None else None,
        lengths=lengths_of(requests) if requests else None,
    )


def lengths_of(requests: Sequence[Request]) -> Lengths:
    """Return a trace's lengths and what its prompts share."""
    census = take_census(requests)
    sharing = census.sharing
    return Lengths(
        input_mean=census.inputs.mean,
        input_p99=census.inputs.p99,
        output_mean=census.outputs.mean,
        shared=sharing.blocks_seen_before if sharing is not None and sharing.rows_with_blocks else None,
        synthetic=1 - census.text_rows / census.rows,
    )


def _shape(study: Study) -> ModelShape | None:
    """The model's shape, where it is in a folder here or one of the few known by name."""
    try:
        return find_model(study.engine.model)
    except UnknownModel:
        return None


def _model(shape: ModelShape, args: Config) -> Model:
    plain = 4.0 if args.get("dtype") in {"float", "float32"} else 2.0
    weight = 1.0 if "quantization" in args else plain
    value = 1.0 if str(args.get("kv_cache_dtype", "auto")).startswith("fp8") else plain
    return Model(
        weight_bytes=shape.params * weight,
        kv_bytes_per_token=shape.kv_bytes_per_token(value),
        layers=shape.layers,
        heads=shape.heads,
        experts=shape.experts,
    )


def _gpu(accelerator: str | None) -> tuple[float | None, bool | None]:
    """Memory of one GPU in GiB, and whether PCIe alone joins several; None where that is not known."""
    if accelerator is None:
        return None, None
    try:
        known = find_accelerator(accelerator)
    except UnknownHardware:
        return memory_of(accelerator), links_are_slow(accelerator)
    return known.memory_gib, not known.nvlink
