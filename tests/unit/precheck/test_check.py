"""The engine's rules and memory put to whole studies: what joins the constraints, what is refused, what is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from scoot_ray.cli import main
from scoot_ray.engine.gpus import Gpu, NoAnswer
from scoot_ray.engine.models import find_config, read_facts
from scoot_ray.precheck import Checked, check
from scoot_ray.precheck.hardware import gpu_memory
from scoot_ray.problem import build_problem
from scoot_ray.resolve import resolve
from scoot_ray.search import Value
from scoot_ray.simulator.settings import VERSIONS, Version, flags_of
from scoot_ray.study import Study, StudyError, parse_study
from tests.fakes import STUDY

LLAMA_70B = {
    "architectures": ["LlamaForCausalLM"],
    "num_hidden_layers": 80,
    "hidden_size": 8192,
    "vocab_size": 128256,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "intermediate_size": 28672,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
WHERE = Path("study.yaml")


@pytest.fixture
def model(tmp_path: Path) -> str:
    return config(tmp_path, {})


def config(folder: Path, changes: dict[str, Any]) -> str:
    (folder / "config.json").write_text(json.dumps({**LLAMA_70B, **changes}))
    return str(folder)


def study(model: str, space: dict[str, Any] | None = None, gpus: int = 4, **changes: Any) -> Study:
    document = yaml.safe_load(STUDY)
    document["engine"]["model"] = model
    document["engine"]["args"] = changes.pop("args", {})
    document["resources"] = {"gpus": gpus, "accelerator": "A100-80G"}
    document["space"] |= space or {}
    return parse_study(yaml.safe_dump(document | changes), str(WHERE))


def checked(one: Study, version: Version = VERSIONS[1]) -> Checked:
    return check(one, build_problem(one, None, WHERE), flags_of(version), WHERE)


TP = {"tensor_parallel_size": {"type": "integer", "low": 1, "high": 4, "default": 4}}
UTILIZATION = {"gpu_memory_utilization": {"type": "float", "low": 0.5, "high": 0.95, "default": 0.9}}


def test_heads_and_memory_join_the_constraints(model: str) -> None:
    found = checked(study(model, TP))
    assert "64 % tensor_parallel_size == 0" in found.added
    space = found.problem.space
    rest = {"max_num_seqs": 64, "max_num_batched_tokens": 512, "enable_prefix_caching": True}
    assert [n for n in range(1, 5) if space.allows({**rest, "tensor_parallel_size": n})] == [2, 4]
    assert [
        n
        for n in (1, 2)
        if not any("gpu_memory" not in c and "80.00" in c for c in space.violated({**rest, "tensor_parallel_size": n}))
    ] == [2]
    assert found.memory is not None
    assert "weights 32.9 GiB (70.55 billion parameters, 2 bytes each, over 4 GPUs)" in found.memory


def test_what_excludes_nothing_is_no_constraint(model: str) -> None:
    found = checked(study(model, args={"tensor_parallel_size": 4}))
    assert found.added == ()
    assert {one.verdict for one in found.known if one.rule != "max_num_batched_tokens >= max_num_seqs"} == {"always"}


def test_a_model_that_fits_nowhere_is_refused_with_the_arithmetic(model: str) -> None:
    with pytest.raises(StudyError) as caught:
        checked(study(model, UTILIZATION, gpus=1))
    said = str(caught.value)
    assert said.startswith("study.yaml: engine: no configuration can start: weights 131.4 GiB (70.55 billion")
    assert said.endswith("there is 76.0 GiB (0.95 × 80.0 GiB, resources.accelerator: A100-80G)")
    assert "\n" not in said


def test_fixed_arguments_that_the_engine_refuses_are_refused_with_the_rule(model: str) -> None:
    with pytest.raises(StudyError, match=r"attention_heads % tensor_parallel_size == 0 \(here 64 % 3 == 0\).*config"):
        checked(study(model, args={"tensor_parallel_size": 3}))


def test_a_default_that_cannot_start_is_a_warning_where_others_can(model: str) -> None:
    single = {"tensor_parallel_size": {"type": "integer", "low": 1, "high": 4, "default": 1}}
    (said,) = checked(study(model, single)).warnings
    assert said.startswith("default: the engine will hardly start with it: weights 131.4 GiB")


def test_a_baseline_that_cannot_start_is_a_warning(model: str) -> None:
    (said,) = checked(study(model, TP, baseline="-tp 3")).warnings
    assert said.startswith("baseline: the engine will hardly start with it: attention_heads % tensor_parallel_size == ")
    assert " (here 64 % 3 == 0); " in said


def test_without_the_model_its_rules_are_left_out_and_that_is_said() -> None:
    found = checked(study("org/absent", TP))
    assert found.added == ()
    (note,) = found.notes
    assert note == (
        "the engine's rules on attention_heads, intermediate_size, kv_heads, memory are not applied: "
        "there is no config.json of org/absent on this machine"
    )


def test_without_the_gpus_memory_that_is_said(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "elsewhere:6379")
    found = checked(study(model, TP, resources={"gpus": 4}))
    assert any("memory is not checked: the GPU's memory is not known" in note for note in found.notes)


def test_the_author_may_switch_it_off(model: str) -> None:
    one = study(model, UTILIZATION, gpus=1, engine_rules="none")
    assert checked(one).added == ()


def test_a_resolved_study_keeps_what_was_known(model: str, tmp_path: Path) -> None:
    """On a machine without the model, too: a run that is resumed there searches as before."""
    rules = checked(study(model, TP)).added
    again = checked(study("org/absent", TP, engine_rules=list(rules)))
    assert again.added == rules
    assert set(rules) <= set(again.problem.space.constraints)


def test_resolving_writes_the_rules_down(tmp_path: Path, model: str) -> None:
    (tmp_path / "trace.jsonl").write_text('{"timestamp": 0, "input_length": 8, "output_length": 4}\n')
    one = study(model, TP)
    resolved = resolve(one, tmp_path / "study.yaml")
    assert resolved.study.constraints == one.constraints
    assert resolved.study.engine_rules == resolved.problem.space.constraints[len(one.constraints) :]
    again = resolve(resolved.study, tmp_path / "study.yaml")
    assert again.problem.space.constraints == resolved.problem.space.constraints


def test_the_papers_own_method_gets_no_further_constraints(model: str) -> None:
    found = checked(study(model, TP, tuner="scoot-paper"))
    assert found.added == ()
    assert any(one.verdict == "sometimes" for one in found.known)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({}, "kv_heads", 8),
        ({}, "longest_sequence", 8192),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "longest_sequence", None),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, "longest_sequence", 8192),
        ({"architectures": ["NewForCausalLM"]}, "kv_heads", None),
        ({"architectures": ["NewForCausalLM"]}, "attention_heads", 64),
        ({"architectures": ["MistralForCausalLM"], "sliding_window": 4096}, "sliding_window", True),
        ({"sliding_window": 4096, "use_sliding_window": False}, "sliding_window", False),
        ({"quantization_config": {"quant_method": "awq", "bits": 4}}, "quantization", "awq"),
        ({"text_config": {"num_hidden_layers": 12}}, "layers", 12),
        ({"num_hidden_layers": "many"}, "layers", None),
        ({"kv_lora_rank": 512}, "kv_heads", None),
    ],
)
def test_facts_of_a_config(tmp_path: Path, changes: dict[str, Any], field: str, value: Value | None) -> None:
    folder = config(tmp_path, changes)
    facts = read_facts(Path(folder) / "config.json")
    if "many" in changes.values():
        assert facts is None or facts.layers is None
        return
    assert facts is not None
    assert getattr(facts, field) == value


def test_tied_embeddings_count_once(tmp_path: Path) -> None:
    untied = read_facts(Path(config(tmp_path, {})) / "config.json")
    tied = read_facts(Path(config(tmp_path, {"tie_word_embeddings": True})) / "config.json")
    assert untied is not None
    assert tied is not None
    assert untied.shape is not None
    assert tied.shape is not None
    assert untied.shape.params - tied.shape.params == 8192 * 128256


def test_the_default_length_is_the_tokenizers_where_that_is_less(tmp_path: Path) -> None:
    folder = Path(config(tmp_path, {}))
    assert (facts := read_facts(folder / "config.json")) is not None
    assert facts.default_length is None  # the tokenizer might say less
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 2048}))
    assert (facts := read_facts(folder / "config.json")) is not None
    assert facts.default_length == 2048
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 10**30}))
    assert (facts := read_facts(folder / "config.json")) is not None
    assert facts.default_length == 8192


def test_the_hubs_cache_is_looked_into(tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    env = {"HF_HOME": str(tmp_path), "HF_HUB_CACHE": "", "HUGGINGFACE_HUB_CACHE": ""}
    assert find_config("org/name", env) is None
    assert find_config("org/name", env, "abc") == snapshot / "config.json"
    refs = snapshot.parents[1] / "refs"
    refs.mkdir()
    (refs / "main").write_text("abc")
    assert find_config("org/name", env) == snapshot / "config.json"


def test_this_machines_gpus_speak_where_the_study_can_run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    one = study("m", gpus=2, resources={"gpus": 2})
    cards = (Gpu("A", "550", 24_576, 0), Gpu("B", "550", 40_960, 0))
    memory = gpu_memory(one, lambda: cards)
    assert memory is not None
    assert memory.gib == 40.0  # the largest: nothing possible is refused
    assert gpu_memory(one, lambda: cards[:1]) is None

    def silent() -> tuple[Gpu, ...]:
        raise NoAnswer("driver mismatch")

    assert gpu_memory(one, silent) is None
    assert gpu_memory(study("m", resources={"gpus": 2, "accelerator": "unheard-of"}), lambda: cards) is None


SIMULATED = """
name: big
engine: {{kind: simulated, model: Meta-Llama-3-70B, hardware: {{accelerator: A100-80G, count: {count}}}}}
workload: {{trace: trace.jsonl, arrivals: {{rate: 2}}}}
objectives: interactive
space: {space}
"""


@pytest.mark.parametrize("count", [1, 4])
def test_validate_refuses_what_cannot_start_and_shows_what_is_known(tmp_path: Path, count: int) -> None:
    (tmp_path / "trace.jsonl").write_text('{"timestamp": 0, "input_length": 8, "output_length": 4}\n')
    path = tmp_path / "study.yaml"
    tensor_parallel = "{tensor_parallel_size: {type: integer, low: 1, high: 4, scale: powers_of_two, default: 1}}"
    path.write_text(SIMULATED.format(count=count, space="vllm" if count == 1 else tensor_parallel))
    done = CliRunner().invoke(main, ["validate", str(path), "--json"])
    if count == 1:
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {path}: engine: no configuration can start: weights 131.4 GiB")
        return
    assert done.exit_code == 0, done.output
    known = json.loads(done.stdout)["known"]
    assert "weights 131.4 GiB" in known["memory"]
    assert [one["rule"] for one in known["rules"] if one["source"] == "a simulated A100-80G"] == ["memory"]
    plain = CliRunner().invoke(main, ["validate", str(path)])
    assert "weights, activations and KV cache must fit" in " ".join(plain.stdout.split())


def test_engines_of_other_kinds_have_other_rules(model: str) -> None:
    one = study(model, TP)
    other = one.model_copy(update={"engine": one.engine.model_copy(update={"kind": "sglang"})})
    assert check(other, build_problem(one, None, WHERE), None, WHERE).known == ()
