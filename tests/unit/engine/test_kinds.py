"""Configurations as commands of every kind, read back by parsers with the real engines' flags (see tests/recorded)."""

from __future__ import annotations

import argparse
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.engine.catalogue import EngineFlags, Flag
from scoot_ray.engine.flags import canonical, parse_command
from scoot_ray.engine.kinds import EXTERNAL, KINDS, SGLANG, TENSORRT_LLM, VLLM, Start
from scoot_ray.engine.kinds.external import BadTemplate, Outside, check_templates
from scoot_ray.engine.kinds.tensorrt_llm import OPTIONS_FILE
from scoot_ray.engine.launch import EngineOptions, device_slices, engine_spec, gpus_per_replica, replicas
from scoot_ray.engine.presets import Preset
from scoot_ray.engine.spaces import sglang_installed, tensorrt_llm_installed
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.trial import Config, Value

RECORDED = Path(__file__).parents[2] / "recorded"


@cache
def sglang_flags() -> EngineFlags:
    document = json.loads((RECORDED / "sglang-0.5.10.post1.json").read_text())
    return EngineFlags(document["version"], tuple(map(_flag, document["flags"])))


@cache
def tensorrt_llm_flags() -> EngineFlags:
    """As ``ask_tensorrt_llm.py`` tells them; the contract tests hold the script to this."""
    document = json.loads((RECORDED / "tensorrt-llm-1.3.json").read_text())
    flags = {}
    for section, fields in document["fields"].items():
        for field, default in fields.items():
            name = f"{section}.{field}" if section else field
            flags[name] = Flag(name, None, (), default, takes_value=True, negatable=False)
    for one in document["options"]:
        for spelling in one["flags"]:
            name = canonical(spelling)
            flags[name] = Flag(name, one["type"], (), one["default"], not one["is_flag"], name == "telemetry")
    return EngineFlags(document["version"], tuple(flags.values()))


def _flag(document: dict[str, Any]) -> Flag:
    return Flag(**{**document, "choices": tuple(document["choices"])})


def start(flags: Config, switches: frozenset[str] = frozenset(), **changes: Any) -> Start:
    given = {"model": "m", "flags": flags, "host": "127.0.0.1", "port": 81, "folder": Path("f"), "python": "py"}
    return Start(**{**given, "switches": switches, **changes})


@cache
def sglang_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    for flag in sglang_flags().flags:
        name, kind = "--" + flag.name.replace("_", "-"), {"int": int, "float": float}.get(flag.type or "", str)
        if flag.negatable:
            parser.add_argument(name, action=argparse.BooleanOptionalAction)
        elif flag.takes_value:
            parser.add_argument(name, type=kind, choices=flag.choices or None)
        else:
            parser.add_argument(name, action="store_true")
    return parser


def trtllm_read(words: list[str], files: dict[str, str]) -> dict[str, Value]:
    """What trtllm-serve would understand: its options by their recorded types, then the file."""
    options = {
        flag: one
        for one in json.loads((RECORDED / "tensorrt-llm-1.3.json").read_text())["options"]
        for flag in one["flags"]
    }
    understood: dict[str, Value] = {}
    rest = list(words)
    while rest:
        name = rest.pop(0)
        one = options[name]
        if not one["is_flag"]:
            kind = {"int": int, "float": float}.get(one["type"], str)
            understood[name.removeprefix("--")] = kind(rest.pop(0))
        else:
            understood[name.removeprefix("--")] = True
    if understood.pop("extra_llm_api_options", None) is not None:
        understood.update(_flat(yaml.safe_load(files[OPTIONS_FILE])))
    return understood


def _flat(options: dict[str, Any], prefix: str = "") -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for name, value in options.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value})
    return flat


def space_of(preset: Preset) -> SearchSpace:
    """Names, ranges and constraints fit together, or this raises."""
    return SearchSpace(preset.parameters, preset.constraints, preset.default, {"max_seq_len": 4096, "gpus": 4})


SPACES = {
    "sglang": space_of(sglang_installed(sglang_flags(), 4, "H100")),
    "tensorrt-llm": space_of(tensorrt_llm_installed(tensorrt_llm_flags(), 4)),
}


@st.composite
def configs(draw: st.DrawFn, kind: str) -> Config:
    space = SPACES[kind]
    unit = st.floats(0, 1, allow_nan=False)
    return {one.name: one.decode(draw(unit)) for one in space.parameters}


@given(configs("sglang"))
def test_sglang_understands_what_is_meant(config: Config) -> None:
    words = SGLANG.command(start(config, sglang_flags().switches))
    assert words[:7] == ["py", "-m", "sglang.launch_server", "--model-path", "m", "--host", "127.0.0.1"]
    understood = vars(sglang_parser().parse_args(words[3:]))
    assert {name: understood[name] for name in config} == config
    assert understood["enable_metrics"]


@given(configs("tensorrt-llm"))
def test_trtllm_serve_understands_what_is_meant(config: Config) -> None:
    started = start(config, tensorrt_llm_flags().switches)
    words = TENSORRT_LLM.command(started)
    assert words[:4] == ["py", "-m", "tensorrt_llm.commands.serve", "m"]
    understood = trtllm_read(words[4:], dict(TENSORRT_LLM.files(started)))
    fraction = understood.pop("kv_cache_config.free_gpu_memory_fraction")
    assert {**understood, "kv_cache_free_gpu_memory_fraction": fraction} == {**config, "host": "127.0.0.1", "port": 81}


def test_nothing_is_both_on_the_command_line_and_in_the_file() -> None:
    config: Config = {"max_batch_size": 8, "free_gpu_memory_fraction": 0.8, "kv_cache_config.enable_block_reuse": False}
    started = start(config)
    assert TENSORRT_LLM.command(started)[8:] == [
        "--max_batch_size",
        "8",
        "--extra_llm_api_options",
        "f/" + OPTIONS_FILE,
    ]
    assert yaml.safe_load(TENSORRT_LLM.files(started)[OPTIONS_FILE]) == {
        "kv_cache_config": {"free_gpu_memory_fraction": 0.8, "enable_block_reuse": False}
    }
    plain = start(
        {"tp_size": 2, "trust_remote_code": True, "telemetry": False, "fail_fast_on_attention_window_too_large": False}
    )
    assert TENSORRT_LLM.files(plain) == {}
    assert TENSORRT_LLM.command(plain)[8:] == ["--tp_size", "2", "--trust_remote_code", "--no-telemetry"]


def test_an_engine_that_could_not_be_asked_is_told_no_negations_it_may_not_know() -> None:
    assert "--no-enable-mixed-chunk" not in SGLANG.command(start({"enable_mixed_chunk": False}))
    assert "--no-enable-mixed-chunk" not in SGLANG.command(
        start({"enable_mixed_chunk": False, "enable_metrics": False})
    )


def test_what_is_shown_is_what_a_user_would_run() -> None:
    assert SGLANG.show(start({"max_running_requests": 8})) == [
        *("python", "-m", "sglang.launch_server", "--model-path", "m", "--max-running-requests", "8"),
    ]
    assert TENSORRT_LLM.show(start({"max_num_tokens": 512, "stream_interval": 2})) == [
        *("trtllm-serve", "m", "--max_num_tokens", "512", "--extra_llm_api_options", OPTIONS_FILE),
    ]
    assert VLLM.show(start({"max_num_seqs": 8})) == ["vllm", "serve", "m", "--max-num-seqs", "8"]


@pytest.mark.parametrize(
    "command",
    [
        "python3 -m sglang.launch_server --model-path m --tp-size 2 --disable-radix-cache",
        "sglang serve --model-path m --tp-size 2 --disable-radix-cache",
        "trtllm-serve m --tp_size 2 --disable-radix-cache",
        "/opt/bin/trtllm-serve serve m --tp_size 2 --disable-radix-cache",
    ],
)
def test_the_commands_that_run_today_are_read(command: str) -> None:
    flags = dict(parse_command(command).flags)
    flags.pop("model_path", None)
    assert flags == {"tp_size": 2, "disable_radix_cache": True}


@pytest.mark.parametrize(
    ("kind", "config", "size", "count"),
    [
        ("sglang", {"tp_size": 2}, 2, 2),
        ("sglang", {"tp_size": 2, "dp_size": 2}, 4, 1),
        ("tensorrt-llm", {"tp_size": 2, "pp_size": 2}, 4, 1),
        ("tensorrt-llm", {"ep_size": 4}, 1, 4),
        ("external", {"tensor_parallel_size": 2}, 1, 1),
    ],
)
def test_every_kind_shares_the_gpus_in_its_own_words(kind: str, config: Config, size: int, count: int) -> None:
    assert gpus_per_replica(config, KINDS[kind]) == size
    assert replicas(4, config, KINDS[kind]) == count
    slices = device_slices(("0", "1", "2", "3"), config, KINDS[kind])
    assert len(slices) == count
    assert sum(slices, ()) == ("0", "1", "2", "3")


@pytest.mark.parametrize("kind", ["sglang", "tensorrt-llm"])
def test_an_engine_that_cannot_keep_a_key_gets_none(kind: str, tmp_path: Path) -> None:
    spec = engine_spec(EngineOptions("m", kind=kind), {}, tmp_path, 81, api_key="secret")
    assert spec.api_key is None
    assert "secret" not in [*spec.env.values(), *spec.argv]
    assert spec.host == "127.0.0.1"


def test_limits_are_told_in_the_words_of_vllm() -> None:
    flags: Config = {"max_running_requests": 8, "chunked_prefill_size": 512, "dp_size": 2}
    assert SGLANG.in_words_of_vllm(flags) == {"max_num_seqs": 8, "max_num_batched_tokens": 512}
    assert TENSORRT_LLM.in_words_of_vllm({"max_batch_size": 4}) == {"max_num_seqs": 4}


def test_a_folder_is_served_under_its_last_part(tmp_path: Path) -> None:
    (tmp_path / "llama").mkdir()
    assert TENSORRT_LLM.served_name(str(tmp_path / "llama"), {}) == "llama"
    assert TENSORRT_LLM.served_name("meta/llama", {}) == "meta/llama"
    assert SGLANG.served_name("m", {"served_model_name": "chat"}) == "chat"


# External services


def test_a_template_is_filled_word_by_word() -> None:
    words = ("run", '--json={"a": {max-num-seqs}}', "{model}", "http://{host}:{port}", "{enable_x}")
    config: Config = {"max_num_seqs": 8, "enable_x": True}
    assert EXTERNAL.command(start(config, program=words, model="m; rm -rf /")) == [
        *("run", '--json={"a": 8}', "m; rm -rf /", "http://127.0.0.1:81", "true"),
    ]


@pytest.mark.parametrize(
    ("words", "outside", "said"),
    [
        (
            ("a", "{max_seqs}", "{x}"),
            Outside(),
            r"command: \{max_seqs\}: unknown placeholder; allowed are \{model\}, .*\{x\}",
        ),
        (("a", "x"), Outside(stop_command=("{x}",)), r"command: has no \{x\}: that parameter would change nothing"),
        (("{x}",), Outside("http://a/{x}"), r"ready_url: \{x\}: unknown placeholder; allowed are \{host\}"),
    ],
)
def test_a_template_that_cannot_be_meant_is_refused(words: tuple[str, ...], outside: Outside, said: str) -> None:
    with pytest.raises(BadTemplate, match=said):
        check_templates(words, outside, ["x"])


def test_where_an_external_service_serves_is_the_users_to_say(tmp_path: Path) -> None:
    outside = Outside("http://{host}:{port}/ready", "https://router/llm", ("stop", "{x}"), "KEY")
    options = EngineOptions("m", kind="external", program=("serve", "{x}"), env={"KEY": "k"}, outside=outside)
    spec = engine_spec(options, {"x": 3}, tmp_path, 81)
    assert (spec.health_url, spec.base_url) == ("http://127.0.0.1:81/ready", "https://router/llm")
    assert (spec.argv, spec.stop_argv) == (("serve", "3"), ("stop", "3"))
    assert spec.api_key == "k"
    assert "'k'" not in repr(spec)
    plain = engine_spec(EngineOptions("m", kind="external", program=("serve",)), {}, tmp_path, 81)
    assert plain.health_url == "http://127.0.0.1:81/health"
    assert plain.api_key is None


# Spaces


@pytest.mark.parametrize("kind", ["sglang", "tensorrt-llm"])
def test_a_space_is_of_a_size_that_can_be_searched_and_its_default_is_allowed(kind: str) -> None:
    space = SPACES[kind]
    assert 8 <= len(space.names) <= 15
    assert space.default is not None
    assert not space.violated(space.default)


def test_a_space_has_what_the_engine_takes_alone() -> None:
    old = EngineFlags("0.3", tuple(flag for flag in sglang_flags().flags if flag.name != "enable_mixed_chunk"))
    assert "enable_mixed_chunk" not in {one.name for one in sglang_installed(old, 1).parameters}
    assert "tp_size" not in sglang_installed(old, 1).default
    assert "tp_size * dp_size <= gpus" not in sglang_installed(old, 1).constraints


def test_defaults_follow_the_gpu() -> None:
    flags = sglang_flags()
    assert sglang_installed(flags, 1, "A10G").default["chunked_prefill_size"] == 2048
    assert sglang_installed(flags, 1, "A100").default["chunked_prefill_size"] == 4096
    assert sglang_installed(flags, 1, "B200").default["chunked_prefill_size"] == 16384
    assert sglang_installed(flags, 1, None).default["cuda_graph_max_bs"] == 160


def test_no_space_changes_what_is_answered() -> None:
    for space in SPACES.values():
        for name in space.names:
            assert not any(word in name for word in ("quant", "dtype", "speculative", "attention_backend", "queued"))
