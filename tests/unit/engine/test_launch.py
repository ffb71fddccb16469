from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scoot_ray.engine.launch import (
    EngineOptions,
    TooFewGpus,
    device_slices,
    engine_environment,
    engine_spec,
    replicas,
    server_command,
)
from scoot_ray.search.trial import Value


def test_the_environment_is_free_of_ray_and_of_us() -> None:
    inherited = {
        "RAY_ADDRESS": "x",
        "PYTHONPATH": "ours",
        "OMP_NUM_THREADS": "1",
        "PYTHONBREAKPOINT": "ray.util.rpdb.set_trace",
        "PATH": "/bin",
        "HF_HUB_OFFLINE": "1",
    }
    env = engine_environment({}, inherited=inherited)
    assert not [name for name in env if name.startswith("RAY_")]
    assert {"PYTHONPATH", "OMP_NUM_THREADS", "PYTHONBREAKPOINT"}.isdisjoint(env)
    assert (env["PATH"], env["HF_HUB_OFFLINE"]) == ("/bin", "1")
    assert env["CUDA_VISIBLE_DEVICES"] == ""
    assert "VLLM_API_KEY" not in env


def test_the_users_environment_wins_but_for_the_key() -> None:
    extra = {"PYTHONPATH": "theirs", "VLLM_SERVER_DEV_MODE": "0", "VLLM_API_KEY": "theirs"}
    env = engine_environment(extra, ("2", "3"), "ours", inherited={})
    assert env["PYTHONPATH"] == "theirs"
    assert env["VLLM_SERVER_DEV_MODE"] == "0"
    assert env["VLLM_API_KEY"] == "ours"
    assert env["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_every_start_has_its_own_key_and_shows_it_nowhere(tmp_path: Path) -> None:
    first, second = (engine_spec(EngineOptions("m"), {}, tmp_path, 80) for _ in range(2))
    assert first.api_key
    assert first.api_key != second.api_key
    assert first.env["VLLM_API_KEY"] == first.api_key
    assert first.api_key not in repr(first)
    assert first.api_key not in " ".join(first.argv)


def test_the_command_runs_the_module_on_loopback() -> None:
    command = server_command(EngineOptions("m", args={"dtype": "auto"}), {"max_num_seqs": 8}, 81)
    assert command == [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", "m", "--host", "127.0.0.1"),
        *("--port", "81", "--dtype", "auto", "--max-num-seqs", "8"),
    ]


@pytest.mark.parametrize(
    ("args", "config", "backend"),
    [
        ({}, {"tensor_parallel_size": 1}, None),
        ({}, {"tensor_parallel_size": 2}, "mp"),
        ({"pipeline-parallel-size": 2}, {}, "mp"),
        ({"distributed_executor_backend": "ray"}, {"tensor_parallel_size": 2}, "ray"),
    ],
)
def test_several_gpus_use_processes_unless_told_otherwise(
    args: dict[str, Value], config: dict[str, Value], backend: str | None
) -> None:
    command = server_command(EngineOptions("m", args=args), config, 81)
    flag = "--distributed-executor-backend"
    assert (command[command.index(flag) + 1] if flag in command else None) == backend


@pytest.mark.parametrize(
    ("gpus", "config", "count"),
    [
        (0, {}, 1),
        (1, {}, 1),
        (4, {"tensor_parallel_size": 2}, 2),
        (4, {"tensor_parallel_size": 2, "data_parallel_size": 2}, 1),
        (5, {"tensor_parallel_size": 2}, 2),
        (8, {"tensor_parallel_size": 2, "pipeline_parallel_size": 2}, 2),
    ],
)
def test_replicas_share_the_gpus(gpus: int, config: dict[str, Value], count: int) -> None:
    assert replicas(gpus, config) == count
    slices = device_slices([str(gpu) for gpu in range(gpus)], config)
    used = [device for part in slices for device in part]
    assert len(slices) == count
    assert len(used) == len(set(used))


def test_too_few_gpus_names_the_parameters() -> None:
    with pytest.raises(TooFewGpus, match=r"tensor_parallel_size=2, pipeline_parallel_size=4 needs 8 GPUs.* has 4"):
        replicas(4, {"tensor_parallel_size": 2, "pipeline_parallel_size": 4})
