"""The engine's rules: every one is a statement of the grammar, and belongs to the versions it was read in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.engine.models import NAMED_FACTS
from scoot_ray.engine.rules import RULES, Rule, bind, names_in, rules_of
from scoot_ray.search import Constraint, Value
from scoot_ray.simulator.boot import refusals
from scoot_ray.simulator.models import MODELS
from scoot_ray.simulator.settings import VERSIONS, Version, flags_of, settle

_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


def texts(version: str | None, platform: str = "gpu") -> set[str]:
    return {rule.text for rule in rules_of(version, "gpu" if platform == "gpu" else "cpu")}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.text} {rule.since}")
def test_every_rule_can_be_parsed_and_says_where_it_was_read(rule: Rule) -> None:
    assert names_in(rule.text)
    assert "vllm/" in rule.source
    assert set(rule.needs) <= set(NAMED_FACTS)


@pytest.mark.parametrize(
    ("version", "text", "has"),
    [
        ("0.4.2", "pipeline_parallel_size == 1", True),
        ("0.5.0.post1", "pipeline_parallel_size == 1", True),
        ("0.5.1", "pipeline_parallel_size == 1", False),
        ("0.32.0+cpu", "pipeline_parallel_size == 1", False),
        ("0.5.4", "not (enable_chunked_prefill and enable_prefix_caching)", True),
        ("0.6.0", "not (enable_chunked_prefill and enable_prefix_caching)", False),
        ("0.6", "not (enable_chunked_prefill and enable_prefix_caching)", False),
        ("0.7.3", "enable_chunked_prefill or max_num_batched_tokens >= max_model_len", True),
        ("0.9.2", "enable_chunked_prefill or max_num_batched_tokens >= max_model_len", False),
        ("0.11.0", "enable_chunked_prefill or max_num_batched_tokens >= max_model_len", False),
        ("0.11.1", "enable_chunked_prefill or max_num_batched_tokens >= max_model_len", True),
        ("0.32.0", "enable_chunked_prefill or max_num_batched_tokens >= max_model_len", True),
        ("0.32.1rc1.dev7", "long_prefill_token_threshold <= max_model_len", True),
        ("0.11.0", "max_num_batched_tokens >= max_num_seqs", True),
        (None, "max_num_batched_tokens >= max_num_seqs", True),
        (None, "enable_chunked_prefill or max_num_batched_tokens >= max_model_len", False),
    ],
)
def test_a_rule_belongs_to_its_versions(version: str | None, text: str, has: bool) -> None:
    assert (text in texts(version)) is has


def test_blocks_differ_by_platform() -> None:
    assert "block_size % 32 == 0" in texts("0.32.0", "cpu")
    assert "block_size % 32 == 0" not in texts("0.32.0", "gpu")


def test_values_stand_in_for_names_and_nothing_else() -> None:
    values: dict[str, Value] = {"a": 4, "b": True, "c": "x", "true": 1, "d": -2, "a_b": 9}
    assert bind("a_b > a and b or c == 'a' and true and d < 0", values) == (
        "9 > 4 and true or 'x' == 'a' and true and (0 - 2) < 0"
    )


@given(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), st.integers(-50, 50), min_size=3), st.sets(st.sampled_from("abc"))
)
def test_filling_in_changes_no_verdict(values: dict[str, int], bound: set[str]) -> None:
    text = "a * 2 >= b - c or not (a % 7 == c) and b > -3"
    filled = bind(text, {name: values[name] for name in bound})
    assert Constraint(filled).names == Constraint(text).names - bound
    assert Constraint(filled).holds(values) == Constraint(text).holds(values)


@given(st.data())
def test_the_simulated_engine_refuses_whatever_breaks_a_rule(data: st.DataObject) -> None:
    """Two readings of the same source must agree: one that a rule forbids must not start there."""
    version: Version = data.draw(st.sampled_from(VERSIONS))
    model = data.draw(st.sampled_from(MODELS))
    draws: dict[str, st.SearchStrategy[Value]] = {
        "max_num_seqs": st.sampled_from([16, 256, 4096]),
        "max_num_batched_tokens": st.sampled_from([64, 2048, 8192]),
        "max_model_len": st.sampled_from([512, 4096, 100_000]),
        "enable_chunked_prefill": st.booleans(),
        "tensor_parallel_size": st.integers(1, 8),
        "pipeline_parallel_size": st.integers(1, 3),
        "gpu_memory_utilization": st.sampled_from([0.5, 0.9, 1.2]),
        "long_prefill_token_threshold": st.sampled_from([0, 4096]),
    }
    config = {name: data.draw(values) for name, values in draws.items() if name in flags_of(version).names}
    facts = {"attention_heads": model.heads, "layers": model.layers, "longest_sequence": model.max_model_len, "gpus": 4}
    values = {**dict.fromkeys(_PARALLEL, 1), **config, **facts}
    told = ("kv_heads", "intermediate_size", "enable_prefix_caching")  # the simulated engine does not look at these
    broken = [
        rule.text
        for rule in rules_of(version, "gpu")
        if names_in(rule.text) <= values.keys() and not names_in(rule.text) & set(told)
        if not Constraint(rule.text).holds(values)
    ]
    refused = list(refusals(settle(version, config, model.max_model_len, large_gpu=True), model, 4, version))
    assert bool(refused) or not broken, broken
