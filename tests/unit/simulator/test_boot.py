"""Starts that fail say so in the engine's own words, and the diagnosis reads them like the real ones."""

from __future__ import annotations

import pytest

from scoot_ray.engine.diagnose import diagnose
from scoot_ray.search import Config, FailureKind
from scoot_ray.simulator.boot import StartRefused
from scoot_ray.simulator.hardware import ACCELERATORS, UnknownHardware, find_accelerator
from scoot_ray.simulator.messages import text
from scoot_ray.simulator.models import MODELS, UnknownModel, find_model
from scoot_ray.simulator.settings import Version
from tests.unit.simulator.services import service

MANY: Config = {"max_num_seqs": 4096, "max_num_batched_tokens": 8192}


@pytest.mark.parametrize(
    ("version", "gpu", "gpus", "model", "config", "kind", "said"),
    [
        ("0.32.0", "A100-80G", 1, "Llama-2-7b-hf", {"scheduler_delay_factor": 1}, "REJECTED", "unrecognized"),
        ("0.32.0", "A100-80G", 1, "Llama-2-7b-hf", {"max_num_batched_tokens": 64}, "REJECTED", "max_num_seqs (256)"),
        ("0.4.2", "A100-80G", 1, "Llama-2-7b-hf", {"max_num_batched_tokens": 512}, "REJECTED", "max_model_len (4096)"),
        ("0.32.0", "A100-80G", 1, "Llama-2-7b-hf", {"max_model_len": 5000}, "REJECTED", "derived max_model_len"),
        ("0.32.0", "A100-80G", 4, "Llama-2-7b-hf", {"tensor_parallel_size": 3}, "REJECTED", "divisible by tensor"),
        ("0.32.0", "A100-80G", 1, "Llama-2-7b-hf", {"tensor_parallel_size": 2}, "REJECTED", "World size (2)"),
        ("0.4.2", "A100-80G", 2, "Llama-2-7b-hf", {"pipeline_parallel_size": 2}, "REJECTED", "not supported yet"),
        (
            "0.32.0",
            "A100-80G",
            1,
            "Llama-2-7b-hf",
            {"tensor_parallel_size": 0},
            "REJECTED",
            "greater than or equal to 1",
        ),
        ("0.32.0", "A100-80G", 1, "Llama-2-7b-hf", {"block_size": 24}, "REJECTED", "No common block size"),
        ("0.32.0", "A10", 1, "Llama-2-13b-hf", {}, "OUT_OF_MEMORY", "CUDA out of memory"),
        ("0.4.2", "A10", 1, "Llama-2-13b-hf", {}, "OUT_OF_MEMORY", "torch.cuda.OutOfMemoryError"),
        (
            *("0.4.2", "A10", 1, "Llama-2-7b-hf", {**MANY, "gpu_memory_utilization": 0.7}),
            *("OUT_OF_MEMORY", "No available memory for the cache blocks"),
        ),
        (
            *("0.4.2", "A10", 1, "Llama-2-7b-hf", {**MANY, "gpu_memory_utilization": 0.85}),
            *("OUT_OF_MEMORY", "larger than the maximum number of tokens"),
        ),
        (
            *("0.32.0", "A10", 1, "Llama-2-7b-hf", {"gpu_memory_utilization": 0.7}),
            *("OUT_OF_MEMORY", "larger than the available KV cache memory"),
        ),
    ],
)
def test_a_refused_start_is_diagnosed(
    version: Version, gpu: str, gpus: int, model: str, config: Config, kind: str, said: str
) -> None:
    with pytest.raises(StartRefused) as refused:
        service(gpu, gpus, model, version).boot(config)
    found = diagnose(refused.value.exit_code, text(refused.value.log), "start", config)
    assert found.kind is FailureKind[kind], found
    assert said in found.evidence


def test_every_model_starts_where_it_should() -> None:
    for model in MODELS:
        gpus = 4 if model.params > 2e10 else 1
        booted = service("H100", gpus, model.name).boot({"tensor_parallel_size": gpus, "max_model_len": 4096})
        assert booted.blocks * booted.settings.block_size > 4096


def test_parameters_of_the_catalogue_are_as_published() -> None:
    billions = {model.name.rpartition("/")[2]: round(model.params / 1e9, 1) for model in MODELS}
    assert billions == {
        "Llama-2-7b-hf": 6.7,
        "Llama-2-13b-hf": 13.0,
        "Meta-Llama-3-8B": 8.0,
        "Meta-Llama-3-70B": 70.6,
        "Mixtral-8x7B-v0.1": 46.7,
    }


def test_what_is_unknown_is_said_with_what_is_known() -> None:
    with pytest.raises(UnknownHardware, match="A100-40G"):
        find_accelerator("A1000")
    with pytest.raises(UnknownModel, match="Llama-2-7b-hf"):
        find_model("gpt-7")
    assert find_accelerator("a100-80g") in ACCELERATORS


def test_more_sequences_leave_less_for_the_cache() -> None:
    few, many = (
        service(version="0.4.2").boot({"max_num_seqs": seqs, "max_num_batched_tokens": 8192}).blocks
        for seqs in (64, 8192)
    )
    assert many < few
