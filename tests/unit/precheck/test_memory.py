"""The memory an engine needs: against published figures, and never more than the simulated engine needs."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.engine.models import ModelFacts, ModelShape
from scoot_ray.precheck.hardware import GpuMemory
from scoot_ray.precheck.known import Fixed
from scoot_ray.precheck.memory import GIB, NoArithmetic, needs
from scoot_ray.precheck.room import Room
from scoot_ray.search import Config, Constraint, Float, Integer, SearchSpace, Value
from scoot_ray.simulator.boot import Machine, StartRefused, boot
from scoot_ray.simulator.hardware import ACCELERATORS, Accelerator
from scoot_ray.simulator.models import MODELS, find_model
from scoot_ray.simulator.settings import VERSIONS, Version

A100 = GpuMemory(79.2, "a test")


def facts(name: str) -> ModelFacts:
    shape = find_model(name)
    return ModelFacts(kv_heads=shape.kv_heads, default_length=shape.max_model_len, shape=shape)


@pytest.mark.parametrize(
    ("model", "weights_gib", "kv_kib"),
    [
        ("Llama-2-7b-hf", 12.5523, 512),  # vLLM 0.4.2 logs "Loading model weights took 12.5523 GB"
        ("Llama-2-13b-hf", 13.02e9 * 2 / GIB, 800),  # billions of parameters: the model cards
        ("Meta-Llama-3-8B", 8.03e9 * 2 / GIB, 128),
        ("Meta-Llama-3-70B", 70.6e9 * 2 / GIB, 320),
        ("Mixtral-8x7B-v0.1", 46.7e9 * 2 / GIB, 128),
    ],
)
def test_published_figures(model: str, weights_gib: float, kv_kib: float) -> None:
    found = needs(facts(model), {}, frozenset(), A100)
    assert (found.weights + found.experts) / GIB == pytest.approx(weights_gib, rel=0.003)
    assert found.per_token == kv_kib * 1024


@pytest.mark.parametrize(
    ("args", "bytes_per_param", "kv"),
    [
        ({}, 2.0, 2.0),
        ({"dtype": "float32"}, 4.0, 4.0),
        ({"quantization": "fp8"}, 1.0, 1.0),
        ({"quantization": "awq"}, 0.5, 1.0),
        ({"quantization": "a-new-one"}, 0.125, 1.0),
        ({"quantization": "None"}, 2.0, 2.0),
        ({"kv_cache_dtype": "fp8_e4m3"}, 2.0, 1.0),
        ({"kv_cache_dtype": "a-new-one"}, 2.0, 0.25),
    ],
)
def test_bytes_by_type(args: Config, bytes_per_param: float, kv: float) -> None:
    found = needs(facts("Llama-2-7b-hf"), args, frozenset(), A100)
    assert found.bytes_per_param == bytes_per_param
    assert found.per_token == 2 * 32 * 4096 * kv


def test_a_checkpoint_says_how_many_bits() -> None:
    checkpoint = replace(facts("Llama-2-7b-hf"), quantization="gptq", bits=8)
    assert needs(checkpoint, {}, frozenset(), A100).bytes_per_param == 1.0


def test_sliding_windows_need_no_cache_for_the_whole_length() -> None:
    assert needs(replace(facts("Llama-2-7b-hf"), sliding_window=True), {}, frozenset(), A100).per_token == 0


@pytest.mark.parametrize("name", ["cpu_offload_gb", "hf_overrides", "offload_group_size", "num_gpu_blocks_override"])
def test_what_changes_the_arithmetic_ends_it(name: str) -> None:
    with pytest.raises(NoArithmetic, match=name):
        needs(facts("Llama-2-7b-hf"), {name: 1}, frozenset(), A100)
    with pytest.raises(NoArithmetic, match="dtype"):
        needs(facts("Llama-2-7b-hf"), {}, frozenset({"dtype"}), A100)


def test_what_is_not_known_ends_it() -> None:
    with pytest.raises(NoArithmetic, match="GPU's memory is not known"):
        needs(facts("Llama-2-7b-hf"), {}, frozenset(), None)
    with pytest.raises(NoArithmetic, match="architecture"):
        needs(ModelFacts(attention_heads=8), {}, frozenset(), A100)


def room(model: str, gib: float, space: SearchSpace, args: Config) -> Room:
    known = facts(model)
    found = needs(known, args, frozenset(space.names), GpuMemory(gib, "a test"))
    return Room.of(found, space, Fixed.of(args, {}, {}), known)


def test_seventy_billion_parameters_on_one_gpu_never_start() -> None:
    space = SearchSpace([Float("gpu_memory_utilization", 0.7, 0.95), Integer("max_num_batched_tokens", 256, 32768)])
    impossible = room("Meta-Llama-3-70B", 79.2, space, {})
    assert impossible.known.verdict == "never"
    assert "weights 131.4 GiB (70.55 billion parameters, 2 bytes each)" in impossible.least
    assert "(0.95 × 79.2 GiB, a test)" in impossible.least
    assert room("Meta-Llama-3-70B", 79.2, space, {"tensor_parallel_size": 2}).known.verdict == "sometimes"
    assert room("Llama-2-7b-hf", 79.2, space, {}).known.verdict == "always"


CONFIGS: st.SearchStrategy[dict[str, Value]] = st.fixed_dictionaries(
    {
        "max_num_seqs": st.sampled_from([1, 64, 256, 2048]),
        "max_num_batched_tokens": st.sampled_from([256, 2048, 8192, 65536]),
        "gpu_memory_utilization": st.floats(0.3, 1.0),
        "tensor_parallel_size": st.sampled_from([1, 2, 4]),
        "enforce_eager": st.booleans(),
    }
)


@settings(max_examples=300, deadline=None)
@given(
    CONFIGS,
    st.sampled_from(MODELS),
    st.sampled_from(ACCELERATORS),
    st.sampled_from(VERSIONS),
    st.sampled_from([None, 512, 4096]),
    st.sampled_from(["auto", "float32"]),
)
def test_nothing_that_the_simulated_engine_starts_is_refused(
    config: dict[str, Value], shape: ModelShape, gpu: Accelerator, version: Version, length: int | None, dtype: str
) -> None:
    args: dict[str, Value] = {"dtype": dtype} | ({} if length is None else {"max_model_len": length})
    space = SearchSpace(
        [
            Integer("max_num_batched_tokens", 256, 65536),
            Float("gpu_memory_utilization", 0.3, 1.0),
            Integer("tensor_parallel_size", 1, 4, scale="powers_of_two"),
        ]
    )
    known = room(shape.name, gpu.memory_gib, space, args).known
    if Constraint(known.text).holds({**config, "max_model_len": length or 0}):
        return
    with pytest.raises(StartRefused):
        boot(shape, Machine(gpu, 4), version, {**args, **config})
