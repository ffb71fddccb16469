from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.engine.flags import FlagError, merged, parse_command, parse_flags, quoted, serve_command, to_flags
from scoot_ray.search.trial import Value

names = st.from_regex(r"[a-z][a-z0-9]{0,8}(_[a-z0-9]{1,8}){0,3}", fullmatch=True).filter(
    lambda name: not name.startswith("no_") and name != "model"
)
# A text that reads as a number comes back as one: the command line does not tell them apart.
texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=12).filter(
    lambda text: not _number(text)
)
values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


@given(st.dictionaries(names, values, max_size=6))
def test_flags_read_back_as_the_configuration(config: dict[str, Value]) -> None:
    assert parse_flags(to_flags(config)) == config
    assert parse_flags(quoted(to_flags(config))) == config


@given(st.dictionaries(names, values, max_size=6))
def test_types_survive(config: dict[str, Value]) -> None:
    back = parse_flags(to_flags(config))
    assert [type(value) for value in back.values()] == [type(value) for value in config.values()]


@pytest.mark.parametrize(
    ("config", "flags"),
    [
        ({"max_num_seqs": 64}, ("--max-num-seqs", "64")),
        ({"max-num-seqs": 64}, ("--max-num-seqs", "64")),
        ({"enable_prefix_caching": True}, ("--enable-prefix-caching",)),
        ({"enable_prefix_caching": False}, ("--no-enable-prefix-caching",)),
        ({"scheduler_delay_factor": 0.5}, ("--scheduler-delay-factor", "0.5")),
        ({"seed": -1}, ("--seed=-1",)),
        ({}, ()),
    ],
)
def test_spelling(config: dict[str, Value], flags: tuple[str, ...]) -> None:
    assert to_flags(config) == flags


def test_switches_have_no_negative_form() -> None:
    config = {"enable_chunked_prefill": False, "use_v2_block_manager": True}
    assert to_flags(config, switches={"enable-chunked-prefill", "use_v2_block_manager"}) == ("--use-v2-block-manager",)


@pytest.mark.parametrize(
    "command",
    [
        "vllm serve org/model --x 1 --y=2 --no-z --flag",
        "HF_HUB_OFFLINE=1 /opt/bin/vllm serve org/model --x 1 --y=2 --no-z --flag",
        "python3 -m vllm.entrypoints.openai.api_server --model org/model --x 1 --y=2 --no-z --flag",
        "vllm serve org/model \\\n  --x 1 \\\n  --y=2 --no-z --flag\n",
        "--model=org/model --x 7 --x 1 --y=2 --no-z --flag",
    ],
)
def test_commands_people_have(command: str) -> None:
    parsed = parse_command(command)
    assert parsed.model == "org/model"
    assert parsed.flags == {"x": 1, "y": 2, "z": False, "flag": True}


def test_short_options_and_negative_numbers() -> None:
    assert parse_flags("-tp 2 --offset -3 --ratio -.5") == {"tensor_parallel_size": 2, "offset": -3, "ratio": -0.5}


def test_quotes_hold_a_value_together() -> None:
    assert parse_flags("""--compilation-config '{"mode": 3}'""") == {"compilation_config": '{"mode": 3}'}


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ("--name 'unended", "quotation"),
        ("vllm serve model --x 1 stray", "'stray'"),
        ("--x 1 -z 2", "'-z'"),
        ("-- 1", "'--'"),
        ("--=4", "'--'"),
    ],
)
def test_what_cannot_be_read_is_quoted(command: str, word: str) -> None:
    with pytest.raises(FlagError, match=word):
        parse_flags(command)


def test_the_configuration_wins_over_fixed_arguments() -> None:
    assert merged({"max-num-seqs": 1, "dtype": "bfloat16"}, {"max_num_seqs": 2}) == {
        "max_num_seqs": 2,
        "dtype": "bfloat16",
    }
    assert serve_command("m", {"dtype": "auto"}, {"x": 1}) == ["vllm", "serve", "m", "--dtype", "auto", "--x", "1"]
