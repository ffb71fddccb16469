from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scoot_ray.engine.catalogue import EngineNotFound, available_flags
from scoot_ray.engine.knowledge import VLLM, Circumstances, choose, release_of
from scoot_ray.engine.presets import Preset, vllm_0_4_2
from scoot_ray.search.space import SearchSpace

FAKE = Path(__file__).parents[2] / "fake_vllm"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "scoot-ray"


def test_what_is_remembered_is_asked_for_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {"PYTHONPATH": str(FAKE)}
    first = available_flags(env=env)
    monkeypatch.setattr("scoot_ray.engine.catalogue._introspect", None)  # a second asking would fail
    assert available_flags(env=env) == first


def test_a_broken_memory_is_asked_again(cache: Path) -> None:
    env = {"PYTHONPATH": str(FAKE)}
    first = available_flags(env=env)
    (remembered,) = cache.iterdir()
    remembered.write_text('{"version": ')
    assert available_flags(env=env) == first


def test_a_python_without_vllm_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EngineNotFound, match=r"has no vllm: pip install vllm.*engine\.python"):
        available_flags(env={"PYTHONPATH": str(tmp_path)})
    with pytest.raises(EngineNotFound, match=r"cannot run .*nowhere: No such file"):
        available_flags(str(tmp_path / "nowhere"))


def test_a_broken_vllm_shows_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "vllm").mkdir()
    (tmp_path / "vllm" / "__init__.py").write_text("raise RuntimeError('operator nms does not exist')")
    with pytest.raises(EngineNotFound, match=r"operator nms does not exist; repair"):
        available_flags(sys.executable, {"PYTHONPATH": str(tmp_path)})


def space(preset: Preset) -> SearchSpace:
    """Names, ranges and constraints fit together, or this raises."""
    return SearchSpace(preset.parameters, preset.constraints, preset.default, {"max_model_len": 4096})


def test_the_papers_space_is_its_table_one() -> None:
    assert [parameter.name for parameter in space(vllm_0_4_2(4, 4096)).parameters] == [
        *("tensor_parallel_size", "max_num_seqs", "max_num_batched_tokens", "block_size", "scheduler_delay_factor"),
        *("enable_chunked_prefill", "enable_prefix_caching", "disable_custom_all_reduce", "use_v2_block_manager"),
    ]
    assert vllm_0_4_2(1, 4096).default == {
        "max_num_seqs": 256,
        "max_num_batched_tokens": 4096,
        "block_size": 16,
        "scheduler_delay_factor": 0.0,
        "enable_chunked_prefill": False,
        "enable_prefix_caching": False,
        "disable_custom_all_reduce": False,
        "use_v2_block_manager": False,
    }


def test_the_stand_in_has_a_space_of_its_own() -> None:
    engine = available_flags(env={"PYTHONPATH": str(FAKE)})
    chosen = choose(VLLM, engine, Circumstances(release_of(engine.version), gpus=2), {})
    assert {"tensor_parallel_size", "max_num_seqs", "async_scheduling"} <= set(chosen.names) <= engine.names
