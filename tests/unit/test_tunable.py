"""A study's ``space``: by name, with changes, written out; and ``scoot-ray space``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from scoot_ray.cli import main
from scoot_ray.engine.catalogue import EngineFlags
from scoot_ray.resolve import Resolved, resolve
from scoot_ray.search import Boolean, Choice, Integer
from scoot_ray.study import StudyError, read_study
from tests.unit.engine.test_kinds import sglang_flags, tensorrt_llm_flags
from tests.unit.engine.versions import FOLDER

ROWS = [{"timestamp": i, "input_length": 600 + i, "output_length": 50, "hash_ids": [0, i]} for i in range(40)]


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return {
        "name": "small",
        "engine": {
            "model": "meta-llama/Llama-2-13b-hf",
            "help": str(FOLDER / "vllm-0.32.0.txt"),
            "args": {"max-model-len": 4096},
        },
        "resources": {"gpus": 4, "accelerator": "A100-80G"},
        "workload": {"trace": "trace.jsonl", "arrivals": {"process": "poisson", "rate": 4}},
        "objectives": "interactive",
        "space": "vllm",
    }


def resolved(folder: Path, document: dict[str, Any], **changes: object) -> Resolved:
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({**document, **changes}, sort_keys=False))
    return resolve(read_study(path), path)


def complaint(folder: Path, document: dict[str, Any], **changes: object) -> str:
    with pytest.raises(StudyError) as caught:
        resolved(folder, document, **changes)
    return str(caught.value).removeprefix(f"{folder / 'study.yaml'}: ")


def test_a_recorded_help_text_stands_for_an_engine_elsewhere(tmp_path: Path, document: dict[str, Any]) -> None:
    found = resolved(tmp_path, document)
    assert found.engine_version == "0.32.0"
    assert found.problem.space.dimension >= 8
    assert found.tunables is not None
    assert found.tunables.circumstances.memory_gib == 79.2
    assert found.tunables.circumstances.lengths is not None
    assert found.tunables.circumstances.lengths.input_p99 == pytest.approx(639, abs=3)


def test_a_resolved_study_stands_on_its_own(tmp_path: Path, document: dict[str, Any]) -> None:
    once = resolved(tmp_path, document)
    again = resolved(tmp_path, once.study.model_dump(mode="json", exclude_none=True))
    assert again.tunables is None
    assert again.problem.space == once.problem.space


def test_additions_removals_and_overrides(tmp_path: Path, document: dict[str, Any]) -> None:
    changes = {
        "base": "vllm",
        "add": {
            "kv-cache-dtype": {"type": "choice", "values": ["auto", "fp8"]},
            "enforce-eager": None,
            "enable-dbo": None,
            "moe-backend": None,
        },
        "remove": ["stream-interval"],
        "override": {"max-num-seqs": {"high": 300, "scale": "linear", "default": 128}},
    }
    found = resolved(tmp_path, document, space=changes)
    by_name = {one.name: one for one in found.problem.space.parameters}
    assert by_name["kv_cache_dtype"] == Choice("kv_cache_dtype", ("auto", "fp8"))
    assert by_name["enforce_eager"] == Boolean("enforce_eager")
    assert by_name["enable_dbo"] == Boolean("enable_dbo")
    assert isinstance(by_name["moe_backend"], Choice)
    assert by_name["max_num_seqs"] == Integer("max_num_seqs", 8, 300)
    assert "stream_interval" not in by_name
    default = found.problem.space.default or {}
    assert (default["kv_cache_dtype"], default["max_num_seqs"], default["moe_backend"]) == ("auto", 128, "auto")
    assert any(warning.startswith("space.kv_cache_dtype: changes the model's answers") for warning in found.warnings)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"base": "vllm", "remove": ["nothing"]}, "space.remove: nothing: not in the space; it has "),
        ({"base": "vllm", "override": {"dtype": {}}}, "space.override: dtype: not in the space"),
        ({"base": "vllm", "add": {"max-num-seqs": None}}, "space.add.max_num_seqs: is in the space already"),
        (
            {"base": "vllm", "add": {"kv-offloading-size": None}},
            "space.add.kv_offloading_size: its values are not known",
        ),
        (
            {"base": "vllm", "add": {"seed": {"type": "integer", "low": 0}}},
            "space.seed: type integer takes low and high",
        ),
        (
            {"base": "vllm", "add": {"max-num-active-seqs": {"type": "integer", "low": 1, "high": 9}}},
            "space.add.max_num_active_seqs.default: missing",
        ),
        (
            {"base": "vllm", "override": {"max-num-seqs": {"high": 4}}},
            "space.max_num_seqs: max_num_seqs: integers need",
        ),
        ({"base": "vllm", "override": {"max-num-seqs": {"hihg": 4}}}, "space.override.max_num_seqs.hihg: unknown key"),
        ({"base": "tgi"}, "space.base: 'tgi': input should be 'vllm', 'vllm-0.4.2', 'sglang' or 'tensorrt-llm'"),
        ({"base": "sglang"}, "space: 'sglang' is not for engine.kind vllm"),
    ],
)
def test_mistakes_are_said_with_their_key(
    tmp_path: Path, document: dict[str, Any], space: dict[str, Any], said: str
) -> None:
    assert complaint(tmp_path, document, space=space).startswith(said)


def test_an_unreadable_help_text_is_said(tmp_path: Path, document: dict[str, Any]) -> None:
    (tmp_path / "help.txt").write_text("nothing of use")
    engine = {**document["engine"], "help": "help.txt"}
    assert "does not begin with the engine's version" in complaint(tmp_path, document, engine=engine)
    engine = {**document["engine"], "help": "nowhere.txt"}
    assert "No such file" in complaint(tmp_path, document, engine=engine)


def test_old_engines_need_the_longest_sequence(tmp_path: Path, document: dict[str, Any]) -> None:
    engine = {"model": "unheard/of", "help": str(FOLDER / "vllm-0.6.6.post1.txt")}
    assert "engine.args.max_model_len: missing; vllm 0.6.6.post1" in complaint(tmp_path, document, engine=engine)


def test_the_paper_s_space_takes_changes_too(tmp_path: Path, document: dict[str, Any]) -> None:
    engine = {**document["engine"], "help": str(FOLDER / "vllm-0.4.2.txt")}
    space = {"base": "vllm-0.4.2", "remove": ["disable-custom-all-reduce"], "add": {"gpu-memory-utilization": None}}
    found = resolved(tmp_path, document, engine=engine, space=space)
    assert found.problem.space.dimension == 9
    assert len(found.problem.space.constraints) == 3
    assert set(found.switches) >= {"enable_chunked_prefill", "use_v2_block_manager"}


def test_rules_know_the_fixed_arguments(tmp_path: Path, document: dict[str, Any]) -> None:
    engine = {**document["engine"], "args": {"max-num-seqs": 512}}
    space = resolved(tmp_path, document, engine=engine).problem.space
    assert "max_num_seqs" not in space.names
    low = {**(space.default or {}), "max_num_batched_tokens": 256}
    assert space.violated(low) == ("max_num_batched_tokens >= max_num_seqs",)


def test_the_model_s_own_length_is_written_into_the_rules(tmp_path: Path, document: dict[str, Any]) -> None:
    engine = {"model": "Llama-2-13b-hf", "help": str(FOLDER / "vllm-0.4.2.txt")}
    space = resolved(tmp_path, document, engine=engine).problem.space
    assert "enable_chunked_prefill or max_num_batched_tokens >= 4096" in space.constraints


@pytest.mark.parametrize("name", ["speculative-config", "enable-eplb"])
def test_what_made_up_prompts_falsify_is_warned_of(tmp_path: Path, document: dict[str, Any], name: str) -> None:
    engine = {**document["engine"], "args": {"max-model-len": 4096, name: True}}
    told = [one for one in resolved(tmp_path, document, engine=engine).warnings if one.startswith("engine.args.")]
    assert len(told) == 1
    assert "40 of 40 rows" in told[0]
    texts = [{"timestamp": i, "prompt": f"why {i}?", "output_length": 50} for i in range(40)]
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    assert not any(one.startswith("engine.args.") for one in resolved(tmp_path, document, engine=engine).warnings)


def test_mixtures_of_experts_are_warned_of(tmp_path: Path, document: dict[str, Any]) -> None:
    engine = {**document["engine"], "model": "mistralai/Mixtral-8x7B-v0.1"}
    assert any("experts" in one for one in resolved(tmp_path, document, engine=engine).warnings)


def test_the_space_is_shown_with_its_reasons(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(document))
    done = CliRunner().invoke(main, ["space", str(path), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["engine"] == {"kind": "vllm", "version": "0.32.0"}
    assert all(one["reason"] and one["range_reason"] and "default" in one for one in told["parameters"])
    assert len({one["name"] for one in told["excluded"]}) > 250
    shown = CliRunner().invoke(main, ["space", str(path)])
    assert shown.exit_code == 0, shown.output
    for word in ("max_num_seqs", "enable_chunked_prefill", "changes the model's answers", "constraint:"):
        assert word in shown.output


def test_a_space_written_out_is_shown_too(tmp_path: Path, document: dict[str, Any]) -> None:
    path = tmp_path / "study.yaml"
    space = {"max_num_seqs": {"type": "integer", "low": 8, "high": 64, "default": 32}}
    path.write_text(yaml.safe_dump({**document, "space": space}))
    told = json.loads(CliRunner().invoke(main, ["space", str(path), "--json"]).stdout)
    assert [one["reason"] for one in told["parameters"]] == ["written out in the study"]
    assert told["excluded"] == []
    path.write_text(yaml.safe_dump({**document, "space": "vlm"}))
    refused = CliRunner().invoke(main, ["space", str(path)])
    assert refused.exit_code == 2
    assert refused.stderr.startswith(f"error: {path}: space: 'vlm': input should be")


@pytest.mark.parametrize(
    ("kind", "flags", "args", "gone", "rule"),
    [
        ("sglang", sglang_flags, {"schedule_policy": "fcfs"}, "schedule_policy", "tp_size * dp_size <= gpus"),
        (
            "tensorrt-llm",
            tensorrt_llm_flags,
            {"max_seq_len": 4096, "pp_size": 1},
            "pp_size",
            "enable_chunked_prefill or max_num_tokens >= max_seq_len",
        ),
    ],
)
def test_other_engines_spaces_are_changed_alike(
    tmp_path: Path,
    document: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    flags: Callable[[], EngineFlags],
    args: dict[str, object],
    gone: str,
    rule: str,
) -> None:
    monkeypatch.setattr("scoot_ray.resolve.available_flags", lambda *_: replace(flags(), kind=kind))
    document["engine"] = {"kind": kind, "model": "some/model", "args": args}
    added = {"max_queued_requests": {"type": "integer", "low": 1, "high": 9, "default": 9}} if kind == "sglang" else {}
    space = {
        "base": kind,
        "remove": ["stream-interval"],
        "override": {"tp_size": {"high": 2}},
        "add": added,
    }
    found = resolved(tmp_path, document, space=space)
    names = found.problem.space.names
    assert {"tp_size", *added} <= set(names)
    assert not {gone, "stream_interval"} & set(names)
    assert rule in found.problem.space.constraints
    assert found.checked is not None
    assert found.checked.known == ()
    again = resolved(tmp_path, found.study.model_dump(mode="json", exclude_none=True))
    assert again.problem.space == found.problem.space


def test_experts_parallelism_is_there_for_who_asks_and_made_up_prompts_are_warned_of(
    tmp_path: Path, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoot_ray.resolve.available_flags", lambda *_: sglang_flags())
    document["engine"] = {"kind": "sglang", "model": "some/model", "args": {"speculative_algorithm": "NGRAM"}}
    document["constraints"] = ["tp_size % ep_size == 0"]
    space = {"base": "sglang", "add": {"ep_size": {"type": "choice", "values": [1, 2, 4], "default": 1}}}
    found = resolved(tmp_path, document, space=space)
    assert "ep_size" in found.problem.space.names
    said = [one for one in found.warnings if "their prompts are made up" in one]
    assert [one.partition(":")[0] for one in said] == ["engine.args.speculative_algorithm", "space.ep_size"]


def test_a_help_text_is_of_vllm(tmp_path: Path, document: dict[str, Any]) -> None:
    document["engine"]["kind"] = "sglang"
    assert "engine: help goes with kind: vllm" in complaint(tmp_path, document, space="sglang")
