"""Exports: each format read back gives the same engine flags, whatever the strings; no secret is in any of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.cli import main
from scoot_ray.engine.flags import parse_flags
from scoot_ray.results.deployment import Deployment, NoSuchTrial, deployment_of, differences, today_of
from scoot_ray.results.export import FORMATS
from scoot_ray.results.export.shell import serve_script
from scoot_ray.search import Value
from tests.exported import READERS, read_ray
from tests.unit.test_results import confirmed_run

SCHEMAS = Path(__file__).parents[1] / "schemas"
HOSTILE = "a'b\"c $HOME $(id) ${X} `id` \\ # : - {} [] \n é 1e5"

names = st.sampled_from(
    ["max_num_seqs", "enable_prefix_caching", "tensor_parallel_size", "dtype", "compilation_config", "seed", "x"]
)
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    st.sampled_from(
        ["1e5", "on", "null", "-1", "--x", "0x10", "", "a: b", "# no", "$(PATH)", "$$", HOSTILE, "012", "~"]
    ),
)
values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(), st.integers(-10, 10**6), st.floats(0, 1e6, allow_nan=False), texts
)


def flags_of(drawn: Mapping[str, Value]) -> dict[str, Value]:
    """With values that the product itself needs to understand."""
    sound = {"enable_prefix_caching": bool, "tensor_parallel_size": lambda value: 2}
    return {name: sound[name](value) if name in sound else value for name, value in drawn.items()}


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    flags = flags_of(draw(st.dictionaries(names, values, max_size=6)))
    switches = draw(st.lists(st.sampled_from(sorted(flags) or ["x"]), unique=True))
    gpus = draw(st.integers(0, 4))
    return Deployment(
        name="a-study",
        model=draw(texts.filter(lambda text: text and not text.startswith("-"))),
        flags=flags,
        switches=[name for name in switches if name != "enable_prefix_caching"],
        env={"PLAIN": draw(texts)},
        secrets={"HF_TOKEN": "MY_TOKEN"},
        replicas=draw(st.integers(1, 3)),
        gpus=gpus,
        cpus=4.0,
        image="vllm/vllm-openai:v0.32.0",
        header=["study   evil", draw(texts)],
    )


@given(deployments())
@settings(max_examples=40)
def test_every_format_sets_the_same_flags(deployment: Deployment) -> None:
    wanted = parse_flags(deployment.words)
    assert set(READERS) | {"ray-serve"} == set(FORMATS)
    for name, read in READERS.items():
        model, words = read(FORMATS[name].write(deployment))
        found = parse_flags(words)
        if name == "helm":  # it always says what the engine would do by itself
            found = {key: found[key] for key in found if key in wanted or key != "enable_prefix_caching"}
        assert (model, found) == (deployment.model, wanted), name
    model, words = read_ray(FORMATS["ray-serve"].write(deployment), deployment.switches)
    assert (model, words) == (deployment.model, deployment.words)


@given(deployments())
@settings(max_examples=15)
def test_every_format_has_its_shape_and_its_header(deployment: Deployment) -> None:
    for name in ("kubernetes", "kserve", "helm", "compose"):
        text = FORMATS[name].write(deployment)
        schema = json.loads((SCHEMAS / f"{name}.json").read_text())
        for document in yaml.safe_load_all(text):
            jsonschema.validate(document, schema)
    for form in FORMATS.values():
        lines = form.write(deployment).split("\n")
        assert any(line.startswith("# study   evil") for line in lines[:2])


@pytest.mark.parametrize("gpus", [0, 2])
def test_ray_serve_takes_its_application(gpus: int) -> None:
    schema = pytest.importorskip("ray.serve.schema")
    deployment = replace(hostile(), gpus=gpus)
    document = yaml.safe_load(FORMATS["ray-serve"].write(deployment))
    schema.ServeDeploySchema.model_validate(document)
    (model,) = document["applications"][0]["args"]["llm_configs"]
    assert model["deployment_config"]["num_replicas"] == deployment.replicas
    assert ("placement_group_config" in model) == (gpus == 0)


def hostile() -> Deployment:
    flags: dict[str, Value] = {"max_num_seqs": 64, "x": HOSTILE, "y": "-1 z", "enable_prefix_caching": False}
    return Deployment(
        "a-study",
        f"/models/{HOSTILE}",
        flags,
        (),
        {"PLAIN": HOSTILE},
        {"HF_TOKEN": "MY_TOKEN"},
        2,
        1,
        4.0,
        "i:v1",
        ["x"],
    )


def test_a_real_shell_runs_what_was_meant(tmp_path: Path) -> None:
    deployment = hostile()
    stub = tmp_path / "vllm"
    stub.write_text('#!/bin/sh\nprintf "%s\\0" "$@" "$PLAIN" "$HF_TOKEN"\n')
    stub.chmod(0o755)
    script = tmp_path / "serve.sh"
    script.write_text(FORMATS["command"].write(deployment))
    (tmp_path / "engine.env").write_text(FORMATS["env"].write(deployment))
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "MY_TOKEN": "s3cret"}
    done = subprocess.run(["sh", str(script)], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-1] == ["serve", deployment.model, *deployment.words, HOSTILE, "s3cret"]
    without = {name: value for name, value in environment.items() if name != "MY_TOKEN"}
    assert subprocess.run(["sh", str(script)], env=without, capture_output=True, check=False).returncode != 0
    use = 'set -a; . ./engine.env; eval exec vllm serve "$VLLM_ARGS"'
    done = subprocess.run(["sh", "-c", use], env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split("\0")[:-2] == ["serve", deployment.model, *deployment.words, HOSTILE]


def exported(**serving: object) -> tuple[dict[str, Any], Deployment]:
    _, result = confirmed_run()
    result["serving"].update(serving)
    return result, deployment_of(result, datetime(2026, 1, 2, tzinfo=UTC))


def test_no_secret_is_written_even_where_the_study_has_one() -> None:
    _, deployment = exported(
        env={"HF_TOKEN": "s3cret", "AWS_SECRET_ACCESS_KEY": "s3cret", "OTHER": {"from_env": "MINE"}, "PLAIN": "1"},
        args={"hf_token": "s3cret", "dtype": "half"},
    )
    assert deployment.env == {"PLAIN": "1"}
    assert deployment.secrets == {
        "HF_TOKEN": "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
        "OTHER": "MINE",
    }
    for form in FORMATS.values():
        text = form.write(deployment)
        assert "s3cret" not in text
        assert "MINE" in text
        assert "--hf-token is left out" in text


def test_the_header_says_what_it_was_proved_for() -> None:
    _, result = confirmed_run()
    result["serving"].update(gpus=2, accelerator="A100-80G")
    result.update(slos=["ttft:p99<500ms"], simulated=True)
    text = FORMATS["compose"].write(deployment_of(result, datetime(2026, 1, 2, tzinfo=UTC)))
    for said in ("date    2026-01-02", "trace   sha256 c0ffee", "engine  vLLM 1", "on      2 × A100-80G", "SIMULATED"):
        assert f"# {said}" in text
    assert "# slo     ttft:p99<500ms" in text
    assert re.search(r"# promise mean_tpot_ms: worst of \d+ runs [\d.]+, 95% bound for a further run [\d.]+", text)
    assert len(yaml.safe_load(text)["services"]) == 2


@pytest.mark.parametrize(("version", "warned"), [("0.4.2 (simulated)", True), ("0.6.6", False), (None, False)])
def test_an_engine_from_before_vllm_serve_is_told_of(version: str | None, warned: bool) -> None:
    _, result = confirmed_run()
    result["engine"]["engine_version"] = version
    assert any("no 'vllm serve'" in line for line in deployment_of(result, None).header) == warned


def test_another_trial_is_exported_and_said_not_to_be_what_is_recommended() -> None:
    result, _ = exported()
    other = next(one for one in result["observations"] if one["config"] != result["recommended"]["config"])
    deployment = deployment_of(result, None, other["trial"])
    assert {name: deployment.flags[name] for name in other["config"]} == other["config"]
    assert any("not what the run recommends" in line for line in deployment.header)
    with pytest.raises(NoSuchTrial, match="--trial: 999: the run has no such trial"):
        deployment_of(result, None, 999)


def test_a_run_without_a_recommendation_has_nothing_to_export() -> None:
    result, _ = exported()
    with pytest.raises(NoSuchTrial, match="nothing is recommended"):
        deployment_of({**result, "recommended": None}, None)


def test_the_difference_is_to_what_runs_today() -> None:
    result, deployment = exported()
    today = today_of(result)
    assert today is not None
    assert today[0] == "default"
    found = differences(deployment.flags, today[1])
    assert {name for name, _, _ in found} == {
        name for name, value in today[1].items() if deployment.flags.get(name) != value
    }
    assert differences({"a": 1}, {"b": 2}) == [("a", None, 1), ("b", 2, None)]


@pytest.mark.parametrize(("study", "label"), [("Chat_7B.v1", "chat-7b-v1"), ("7b", "vllm-7b"), ("x" * 64, "x" * 40)])
def test_names_are_such_as_kubernetes_takes(study: str, label: str) -> None:
    _, result = confirmed_run()
    assert deployment_of({**result, "study": study}, None).name == label


def test_an_engine_other_than_vllm_is_exported_as_its_own_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, result = confirmed_run()
    result["serving"] |= {"kind": "sglang", "args": {"tp_size": 1, "api_key": "s3cret"}}
    read = SimpleNamespace(result=result, at=None)
    monkeypatch.setattr(sys.modules["scoot_ray.cli.export"], "read_or_refuse", lambda _: read)
    done = CliRunner().invoke(main, ["export", "run", "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert [path.name for path in tmp_path.iterdir()] == ["serve.sh"]
    script = tmp_path.joinpath("serve.sh").read_text()
    assert "exec python -m sglang.launch_server --model-path" in script
    assert "s3cret" not in script
    refused = CliRunner().invoke(main, ["export", "run", "--format", "compose"])
    assert refused.exit_code == 2
    assert "--format: compose: is for vLLM, and this run is of SGLang; allowed: command" in refused.output


def test_what_is_secret_in_an_external_command_is_masked() -> None:
    _, result = confirmed_run()
    result["serving"] |= {
        "kind": "external",
        "program": ["serve", "{api_key}", "{port}"],
        "args": {"api_key": "s3cret"},
    }
    deployment = deployment_of(result, None)
    assert deployment.command == ["serve", "***", "8000"]
    assert "s3cret" not in serve_script(deployment)
