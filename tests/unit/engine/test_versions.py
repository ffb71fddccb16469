"""What five real vLLMs accept, read from their parsers and from their help texts."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.engine.catalogue import Flag
from scoot_ray.engine.flags import parse_flags, to_flags
from scoot_ray.engine.help_text import BadHelp, flags_from_help
from scoot_ray.engine.knowledge import VLLM, Circumstances, choose, release_of
from scoot_ray.search import SearchSpace, Value
from tests.unit.engine.versions import FOLDER, VERSIONS, parsed, printed

_FLAGS = {"0.4.2": 81, "0.6.6.post1": 126, "0.8.5": 136, "0.11.2": 200, "0.32.0": 316}


def boolean(flag: Flag) -> str:
    if flag.type == "bool":
        return "--x=False"
    return "--no-x" if flag.negatable else "--x alone"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_help_text_says_what_the_parser_says(version: str) -> None:
    asked, read = parsed(version), printed(version)
    assert read.version == asked.version == version
    assert read.names == asked.names
    assert len(read.flags) == _FLAGS[version]
    assert read.switches == asked.switches
    for flag in asked.flags:
        said = read.find(flag.name)
        assert said is not None
        assert (said.takes_value, said.negatable, said.group) == (flag.takes_value, flag.negatable, flag.group), flag
        assert said.default in {flag.default, None}, flag.name
        assert flag.deprecated or not said.deprecated, flag.name
        if flag.choices and flag.name != "collect_detailed_traces":  # lists its values, and also their combinations
            assert set(said.choices) == set(flag.choices), flag.name


@pytest.mark.parametrize("version", ["0.11.2", "0.32.0"])
def test_newer_help_texts_print_every_plain_default(version: str) -> None:
    for flag in parsed(version).flags:
        said = printed(version).find(flag.name)
        assert said is not None
        if flag.default not in {None, ""} and flag.group is not None and flag.name != "mamba_backend":  # an enumeration
            assert said.default == flag.default, flag.name


@pytest.mark.parametrize(
    ("version", "name", "choices", "default", "spelt"),
    [
        ("0.4.2", "block_size", (8, 16, 32), 16, None),
        ("0.4.2", "max_num_seqs", (), 256, None),
        ("0.4.2", "enable_chunked_prefill", (), False, "--x alone"),
        ("0.6.6.post1", "block_size", (8, 16, 32, 64, 128), None, None),
        ("0.6.6.post1", "enable_chunked_prefill", (), None, "--x=False"),
        ("0.6.6.post1", "enable_prefix_caching", (), None, "--no-x"),
        ("0.8.5", "preemption_mode", ("recompute", "swap"), None, None),
        ("0.8.5", "enable_chunked_prefill", (), None, "--no-x"),
        ("0.11.2", "async_scheduling", (), False, "--no-x"),
        ("0.11.2", "gpu_memory_utilization", (), 0.9, None),
        ("0.32.0", "async_scheduling", (), None, "--no-x"),
        ("0.32.0", "gpu_memory_utilization", (), 0.92, None),
        ("0.32.0", "performance_mode", ("balanced", "interactivity", "throughput"), "balanced", None),
    ],
)
def test_choices_and_defaults(
    version: str, name: str, choices: tuple[Value, ...], default: Value | None, spelt: str | None
) -> None:
    flag = parsed(version).find(name)
    assert flag is not None
    assert (flag.choices, flag.default) == (choices, default)
    assert spelt is None or (flag.boolean and boolean(flag) == spelt)


@pytest.mark.parametrize(
    ("name", "until", "gone"),
    [
        ("scheduler_delay_factor", "0.8.5", "0.11.2"),
        ("use_v2_block_manager", "0.8.5", "0.11.2"),
        ("num_lookahead_slots", "0.11.2", "0.32.0"),
        ("swap_space", "0.11.2", "0.32.0"),
        ("disable_log_requests", "0.11.2", "0.32.0"),
        ("max_context_len_to_capture", "0.4.2", "0.6.6.post1"),
    ],
)
def test_what_versions_dropped(name: str, until: str, gone: str) -> None:
    assert parsed(until).accepts(name)
    assert not parsed(gone).accepts(name)


@pytest.mark.parametrize(
    ("version", "deprecated"),
    [
        ("0.4.2", {"max_context_len_to_capture"}),
        ("0.6.6.post1", {"worker_use_ray", "use_v2_block_manager"}),
        ("0.32.0", {"disable_cascade_attn", "log_config_file"}),
    ],
)
def test_deprecations(version: str, deprecated: set[str]) -> None:
    assert {flag.name for flag in parsed(version).flags if flag.deprecated} == deprecated
    assert {flag.name for flag in printed(version).flags if flag.deprecated} == deprecated


@settings(max_examples=60)
@given(st.sampled_from(VERSIONS), st.integers(0, 4), st.data())
def test_a_configuration_comes_back_from_that_version_s_command_line(
    version: str, gpus: int, data: st.DataObject
) -> None:
    """Written for the version, read by a parser with its flags: the configuration, whatever it is."""
    engine = parsed(version)
    chosen = choose(VLLM, engine, Circumstances(release_of(version), gpus, max_model_len=4096), {})
    space = SearchSpace([one.parameter for one in chosen.included], (), chosen.default)
    u = data.draw(st.lists(st.floats(0, 1), min_size=space.dimension, max_size=space.dimension))
    config = space.decode(np.array(u))
    words = to_flags(config, engine.switches)
    understood = vars(parser_of(version).parse_args(list(words)))
    assert {name: understood[name] for name in config} == config
    assert {**dict.fromkeys(config, False), **engine.typed(parse_flags(words))} == config


@cache
def parser_of(version: str) -> argparse.ArgumentParser:
    """A parser with the flags' names, values and manner of negation."""
    engine = parsed(version)
    parser = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    for flag in engine.flags:
        name = "--" + flag.name.replace("_", "-")
        if flag.type == "bool":
            parser.add_argument(name, nargs="?", const=True, type=lambda text: text == "True", default=flag.default)
        elif not flag.takes_value:
            negatable = argparse.BooleanOptionalAction if flag.negatable else "store_true"
            parser.add_argument(name, action=negatable, default=False)
        else:
            parser.add_argument(name, type=type_of(flag))
    return parser


def type_of(flag: Flag) -> type:
    kinds: dict[str | None, type] = {"int": int, "float": float}
    return kinds.get(flag.type, str)


@pytest.mark.parametrize(
    ("written", "value"), [("8k", 8000), ("8K", 8192), ("1.5k", 1500), ("8192", "8192"), ("auto", "auto")]
)
def test_round_numbers_are_understood_as_the_engine_does(written: str, value: Value) -> None:
    assert parsed("0.32.0").typed({"max-num-batched-tokens": written}) == {"max_num_batched_tokens": value}
    assert parsed("0.32.0").typed({"unheard_of": "8k"}) == {"unheard_of": "8k"}


@pytest.mark.parametrize(
    ("text", "said"),
    [("usage: x\n\noptions:\n  --a A  b\n", "version"), ("0.9.1\nusage: x\n", "no flags"), ("", "version")],
)
def test_what_is_no_help_text(text: str, said: str) -> None:
    with pytest.raises(BadHelp, match=said):
        flags_from_help(text)


def test_an_entry_s_lines_are_read_together() -> None:
    text = """INFO something
vllm 0.10.1
usage: vllm serve [-h]

SomeConfig:
About it.
  -q Q, --quick-one {a,b}
                        Which. Is deprecated and (for once) long,
                        so that it wraps. (default: a)
  --no-default          Short help.
  --many [MANY ...]     (default: [1, 2])
  --maybe [MAYBE]
"""
    engine = flags_from_help(text)
    assert engine.version == "0.10.1"
    assert engine.find("quick-one") == Flag("quick_one", None, ("a", "b"), "a", True, False, "SomeConfig", True)
    assert engine.find("no_default") == Flag("no_default", None, (), None, False, False, "SomeConfig")
    assert engine.find("many") == Flag("many", None, (), None, True, False, "SomeConfig")
    assert engine.switches == {"no_default", "maybe="}


def test_this_python_s_parser_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """The script that runs under the engine's Python, on parsers of every kind of boolean."""
    introspect = load(FOLDER.parents[3] / "scoot_ray" / "engine" / "introspect.py")
    parser = argparse.ArgumentParser()
    parser.add_argument("--plain", action="store_true", help="[DEPRECATED] gone soon")
    parser.add_argument("--both", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--valued", nargs="?", const="True")
    parser.add_argument("--left-out", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    described = [introspect.described(action) for action in parser._actions if introspect.wanted(action)]
    assert [(one["name"], one["type"], one["takes_value"], one["negatable"], one["default"]) for one in described] == [
        ("plain", None, False, False, False),
        ("both", None, False, True, True),
        ("valued", "bool", True, False, None),
        ("left_out", None, True, False, None),
    ]
    assert [introspect.deprecated(action, set()) for action in parser._actions[1:]] == [True, False, False, False]


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("introspect", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert "vllm" not in sys.modules
    return module
