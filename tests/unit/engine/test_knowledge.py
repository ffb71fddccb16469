"""The space for an engine, a model, hardware and a trace: what is in it, what is not, and why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.engine.knowledge import (
    CHANGES_ANSWERS,
    VLLM,
    Circumstances,
    Lengths,
    Model,
    Space,
    choose,
    memory_of,
    release_of,
    translated,
)
from scoot_ray.engine.presets import rules_among
from scoot_ray.search import Boolean, Choice, Config, Float, Integer, Parameter, SearchSpace, Value
from tests.unit.engine.versions import VERSIONS, parsed

SMALL = Model(weight_bytes=13.5e9, kv_bytes_per_token=524288, layers=32, heads=32)
LARGE = Model(weight_bytes=141e9, kv_bytes_per_token=327680, layers=80, heads=64)
MIXTURE = replace(SMALL, weight_bytes=93e9, experts=8)
CHAT = Lengths(input_mean=600, input_p99=2900, output_mean=150, shared=0.4, synthetic=1.0)


def circumstances(version: str, gpus: int = 1, **changes: object) -> Circumstances:
    usual = Circumstances(release_of(version), gpus, "A100-80G", 79.2, False, 4096, SMALL, CHAT)
    bare = replace(usual, accelerator=None, memory_gib=None, slow_links=None)
    return replace(usual if gpus else bare, **changes)  # type: ignore[arg-type]  # keywords of the test's own


def space_of(version: str, gpus: int = 1, fixed: Config | None = None, **changes: object) -> Space:
    return choose(VLLM, parsed(version), circumstances(version, gpus, **changes), fixed or {})


def parameter(space: Space, name: str) -> Parameter:
    return next(one.parameter for one in space.included if one.name == name)


def why_not(space: Space, name: str) -> str:
    return next(one.reason for one in space.excluded if one.name == name)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("gpus", [1, 4])
def test_eight_to_fifteen_parameters_without_a_word(version: str, gpus: int) -> None:
    space = space_of(version, gpus)
    assert 8 <= len(space.included) <= 15
    assert {"max_num_seqs", "max_num_batched_tokens", "block_size", "gpu_memory_utilization"} <= set(space.names)
    assert all(one.reason and one.why for one in space.included)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_flag_is_accounted_for_once(version: str) -> None:
    space = space_of(version, 2)
    told = [*space.names, *(one.name for one in space.excluded)]
    assert len(told) == len(set(told))
    assert parsed(version).names <= set(told)
    assert all(one.reason for one in space.excluded)


traffic = st.builds(
    Lengths,
    input_mean=st.floats(1, 1e5),
    input_p99=st.integers(1, 200_000),
    output_mean=st.floats(1, 1e4),
    shared=st.none() | st.floats(0, 1),
    synthetic=st.floats(0, 1),
)
models = st.none() | st.sampled_from([SMALL, LARGE, MIXTURE, replace(SMALL, heads=14, layers=27)])


@settings(max_examples=60)
@given(
    version=st.sampled_from(VERSIONS),
    gpus=st.integers(0, 16),
    memory_gib=st.none() | st.floats(4, 300),
    slow_links=st.none() | st.booleans(),
    max_model_len=st.integers(128, 200_000),
    model=models,
    lengths=st.none() | traffic,
    fixed=st.lists(st.sampled_from([one.name for one in VLLM.tunables]), max_size=3),
)
def test_any_circumstances_make_a_space_whose_default_can_be_measured(
    version: str,
    gpus: int,
    memory_gib: float | None,
    slow_links: bool | None,
    max_model_len: int,
    model: Model | None,
    lengths: Lengths | None,
    fixed: list[str],
) -> None:
    release = release_of(version)
    met = Circumstances(release, gpus, None, memory_gib, slow_links, max_model_len, model, lengths)
    space = choose(VLLM, parsed(version), met, dict.fromkeys(fixed, 1))
    constants = {"gpus": gpus, "max_model_len": max_model_len}
    rules = rules_among({*space.names, *constants}, release)
    search = SearchSpace([one.parameter for one in space.included], rules, space.default, constants)
    assert not search.violated(search.default or {})
    assert not set(space.names) & {*CHANGES_ANSWERS, *fixed}
    assert set(space.names) <= parsed(version).names
    assert len(space.included) <= 15
    utilization = next((one.parameter for one in space.included if one.name == "gpu_memory_utilization"), None)
    if isinstance(utilization, Float):
        assert utilization.high <= 0.95


@pytest.mark.parametrize(
    ("version", "gpus", "changes", "seqs", "tokens"),
    [
        ("0.4.2", 1, {}, 256, 4096),
        ("0.4.2", 1, {"max_model_len": 1024}, 256, 2048),
        ("0.6.6.post1", 1, {"max_model_len": 65536}, 256, 2048),
        ("0.8.5", 1, {}, 1024, 8192),  # 0.8 took an A100 of 80 GB for a large GPU
        ("0.11.2", 1, {}, 256, 2048),
        ("0.11.2", 1, {"accelerator": "H100", "memory_gib": 79.1}, 1024, 8192),
        ("0.32.0", 1, {"accelerator": "B200", "memory_gib": 178.0}, 1024, 16384),
        ("0.32.0", 1, {"accelerator": "L4", "memory_gib": 22.0}, 256, 2048),
        ("0.32.0", 0, {}, 128, 2048),
    ],
)
def test_defaults_are_those_the_server_takes_there(
    version: str, gpus: int, changes: dict[str, Any], seqs: int, tokens: int
) -> None:
    default = space_of(version, gpus, None, **changes).default
    assert (default["max_num_seqs"], default["max_num_batched_tokens"]) == (seqs, tokens)


def test_memory_leaves_room_for_what_a_short_test_does_not_see() -> None:
    def cap(version: str, memory_gib: float | None) -> float:
        found = parameter(space_of(version, memory_gib=memory_gib), "gpu_memory_utilization")
        assert isinstance(found, Float)
        return found.high

    assert cap("0.32.0", 79.2) == 0.95
    assert cap("0.11.2", 22.0) == 0.9  # graphs are not counted yet: two GiB stay free
    assert cap("0.32.0", None) == 0.92  # nobody said: no more than the default


def test_ranges_follow_the_traffic() -> None:
    short = replace(CHAT, input_mean=100, input_p99=200, output_mean=20)
    assert why_not(space_of("0.32.0", lengths=short), "long_prefill_token_threshold").endswith("none is long")
    assert parameter(space_of("0.32.0"), "long_prefill_token_threshold") == Choice(
        "long_prefill_token_threshold", (0, 256, 512, 1024, 2048)
    )
    long = replace(CHAT, input_p99=30_000, input_mean=10_000)
    tokens = parameter(space_of("0.32.0", lengths=long), "max_num_batched_tokens")
    assert isinstance(tokens, Integer)
    assert tokens.high == 32768
    few = parameter(space_of("0.32.0", lengths=long), "max_num_seqs")
    many = parameter(space_of("0.32.0", lengths=short), "max_num_seqs")
    assert isinstance(few, Integer)
    assert isinstance(many, Integer)
    assert few.high < many.high


@pytest.mark.parametrize(("shared", "reason"), [(None, "does not say"), (0.0, "no two prompts")])
def test_prefix_caching_is_searched_where_the_trace_can_tell(shared: float | None, reason: str) -> None:
    assert "enable_prefix_caching" in space_of("0.32.0").names
    assert reason in why_not(space_of("0.32.0", lengths=replace(CHAT, shared=shared)), "enable_prefix_caching")


def test_parallelism_follows_model_and_hardware() -> None:
    h100: dict[str, Any] = {"accelerator": "H100", "memory_gib": 79.1, "model": LARGE}
    assert parameter(space_of("0.32.0", 8, **h100), "tensor_parallel_size") == Choice("tensor_parallel_size", (2, 4, 8))
    a100: dict[str, Any] = {"accelerator": "A100-40G", "memory_gib": 39.4, "model": LARGE}
    assert "do not fit in fewer GPUs" in why_not(space_of("0.32.0", 4, **a100), "tensor_parallel_size")
    odd = replace(SMALL, heads=14)
    assert parameter(space_of("0.32.0", 8, model=odd), "tensor_parallel_size") == Choice("tensor_parallel_size", (1, 2))
    assert "pipeline_parallel_size" not in space_of("0.32.0", 4).names
    assert "pipeline_parallel_size" in space_of("0.32.0", 4, slow_links=True).names
    assert "enable_expert_parallel" in space_of("0.32.0", 4, model=MIXTURE).names
    assert "tensor_parallel_size" not in space_of("0.32.0", 1).names


@pytest.mark.parametrize(
    ("version", "name", "reason"),
    [
        ("0.8.5", "scheduler_delay_factor", "fall back to the old engine"),
        ("0.8.5", "enable_chunked_prefill", "always chunks"),
        ("0.32.0", "enable_chunked_prefill", "wrong answers"),
        ("0.32.0", "scheduler_delay_factor", "has no such flag"),
        ("0.6.6.post1", "use_v2_block_manager", "deprecated"),
        ("0.32.0", "disable_cascade_attn", "deprecated"),
        ("0.32.0", "kv_cache_dtype", "changes the model's answers"),
        ("0.32.0", "quantization", "changes the model's answers"),
        ("0.11.2", "speculative_config", "hangs on the text"),
        ("0.32.0", "max_num_queued_reqs", "which requests are taken"),
        ("0.32.0", "mm_encoder_tp_mode", "images"),
    ],
)
def test_reasons_for_leaving_out(version: str, name: str, reason: str) -> None:
    assert reason in why_not(space_of(version, 2), name)


@pytest.mark.parametrize(
    ("version", "name", "reason"),
    [
        ("0.4.2", "enable_prefix_caching", "the CPU backend of this release turns it off"),
        ("0.4.2", "enable_chunked_prefill", "the CPU backend of this release turns it off"),
        ("0.4.2", "enforce_eager", "the CPU backend of this release knows nothing else"),
        ("0.4.2", "block_size", "takes 16 alone"),
        ("0.8.5", "block_size", "takes 16 alone"),
        ("0.6.6.post1", "num_scheduler_steps", "the CPU backend does not have it"),
        ("0.6.6.post1", "preemption_mode", "nowhere to swap to"),
        ("0.6.6.post1", "disable_async_output_proc", "does not have what it turns off"),
    ],
)
def test_what_the_cpu_s_backend_did_not_have_yet(version: str, name: str, reason: str) -> None:
    assert reason in why_not(space_of(version, 0), name)


def test_what_the_cpu_s_backend_has_now() -> None:
    assert {"enable_prefix_caching", "enable_chunked_prefill"} <= set(space_of("0.6.6.post1", 0).names)
    assert parameter(space_of("0.11.2", 0), "block_size") == Choice("block_size", (32, 64, 128))


def test_a_range_that_was_widened_for_the_default_says_so() -> None:
    space = space_of("0.8.5", 1, model=replace(SMALL, kv_bytes_per_token=5e6), accelerator="H100")
    one = next(one for one in space.included if one.name == "max_num_seqs")
    assert one.why.endswith("up to 1024, the default, though 256 would do")
    assert one.parameter.accepts(1024)


def test_lengths_to_capture_are_those_that_differ() -> None:
    """All sequences are captured from the longest one on."""
    short, long = (
        parameter(space_of("0.4.2", max_model_len=length), "max_seq_len_to_capture") for length in (4096, 16384)
    )
    assert short == Choice("max_seq_len_to_capture", (2048, 8192))
    assert long == Choice("max_seq_len_to_capture", (2048, 4096, 8192, 16384))


def test_fixed_arguments_are_not_searched() -> None:
    space = space_of("0.32.0", fixed={"block_size": 32, "dtype": "bfloat16"})
    assert why_not(space, "block_size") == "fixed to 32 by engine.args"
    assert why_not(space, "dtype") == "fixed to bfloat16 by engine.args"


def test_spare_parameters_only_fill_a_small_space() -> None:
    assert "enforce_eager" in space_of("0.8.5").names
    assert why_not(space_of("0.32.0"), "enforce_eager").startswith("the space has 12 parameters")


@pytest.mark.parametrize(
    ("version", "release"),
    [("0.6.6.post1", (0, 6, 6)), ("0.32.0+cpu", (0, 32, 0)), ("v0.11.1rc2", (0, 11, 1)), ("1.0", (1, 0, 0))],
)
def test_releases(version: str, release: tuple[int, ...]) -> None:
    assert release_of(version) == release


def test_a_build_without_a_number_is_the_newest() -> None:
    assert release_of("0.1.dev7998+g2f6e6b3") > (100, 0)
    assert release_of("unknown") > (100, 0)


def test_accelerators_go_by_ray_s_names() -> None:
    assert memory_of("A100-80G") == memory_of("NVIDIA-A100-80G") == 79.1
    assert memory_of("Abacus") is memory_of(None) is None


@pytest.mark.parametrize(
    ("config", "version", "said"),
    [
        ({"max_context_len_to_capture": 4096}, None, {"max_seq_len_to_capture": 4096}),
        ({"cuda_graph_sizes": 256}, None, {"max_cudagraph_capture_size": 256}),
        ({"cuda_graph_sizes": "1 2 4"}, None, {}),
        ({"disable_log_requests": True}, None, {"enable_log_requests": False}),
        ({"worker_use_ray": True}, None, {"distributed_executor_backend": "ray"}),
        ({"distributed_executor_backend": "mp"}, None, {}),
        ({}, None, {}),
        ({}, "0.4.2", {"enable_prefix_caching": False, "enable_chunked_prefill": False, "use_v2_block_manager": False}),
        ({"enable_prefix_caching": False}, "0.32.0", {"enable_prefix_caching": False, "enable_chunked_prefill": True}),
    ],
)
def test_one_version_s_configuration_for_another(config: Config, version: str | None, said: dict[str, Value]) -> None:
    found = translated(config, version)
    assert {**config, **said}.items() <= found.items()
    if version is None:
        assert found == {**config, **said}


def test_rules_are_those_of_the_release() -> None:
    names = {"max_num_seqs", "max_num_batched_tokens", "enable_chunked_prefill", "enable_prefix_caching"}
    assert any("enable_prefix_caching" in rule for rule in rules_among(names, (0, 4)))
    assert rules_among(names, (0, 32)) == ("max_num_batched_tokens >= max_num_seqs",)
    lengths = {*names, "max_model_len"}
    whole = "enable_chunked_prefill or max_num_batched_tokens >= max_model_len"
    versions = ("0.4.2", "0.7.3", "0.8.0", "0.9.2", "0.10.2", "0.11.0", "0.11.1", "0.32.0")
    assert [whole in rules_among(lengths, release_of(one)) for one in versions] == [
        *(True, True),
        *(False, False, False, False),  # which chunk whatever the flag says
        *(True, True),
    ]
    assert "tensor_parallel_size * pipeline_parallel_size <= gpus" in rules_among(
        {"tensor_parallel_size", "pipeline_parallel_size", "gpus"}, (0, 32)
    )


def test_a_default_outside_widens_the_range() -> None:
    space = space_of("0.6.6.post1", max_model_len=100_000, lengths=None)
    tokens = parameter(space, "max_num_batched_tokens")
    assert tokens.accepts(space.default["max_num_batched_tokens"])
    assert isinstance(parameter(space, "enable_chunked_prefill"), Boolean)
