"""Exports for five real vLLMs: read back by a parser with that version's recorded flags, every format says the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from io import StringIO
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.engine.knowledge import VLLM, Circumstances, choose, release_of
from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export import FORMATS
from scoot_ray.search import SearchSpace, Value
from tests.exported import READERS, read_ray
from tests.unit.engine.test_versions import parser_of
from tests.unit.engine.versions import VERSIONS, parsed

HOSTILE = (
    "a'b\"c $(id) ${X} `id` \\ # : - {} []\né",
    *("--x", "-1", "1e5", "on", "null", "", "!!python/object:x", "{no}"),
)
_TEXTS = ("chat_template", "served_model_name", "tokenizer", "lora_modules")  # as the engine leaves them


@st.composite
def configurations(draw: st.DrawFn) -> tuple[str, Deployment, Mapping[str, Value]]:
    """A version, and a service of it: a point of its own space, and texts that mean harm."""
    version = draw(st.sampled_from(VERSIONS))
    engine, gpus = parsed(version), draw(st.integers(0, 4))
    chosen = choose(VLLM, engine, Circumstances(release_of(version), gpus, max_model_len=4096), {})
    space = SearchSpace([one.parameter for one in chosen.included], (), chosen.default)
    u = draw(st.lists(st.floats(0, 1), min_size=space.dimension, max_size=space.dimension))
    texts = draw(st.dictionaries(st.sampled_from([name for name in _TEXTS if engine.accepts(name)]), bad(), max_size=2))
    flags = {**space.decode(np.array(u)), **texts}
    return version, service(flags, sorted(engine.switches), gpus), flags


def bad() -> st.SearchStrategy[str]:
    return st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


def service(flags: Mapping[str, Value], switches: Sequence[str] = (), gpus: int = 1) -> Deployment:
    env = {"PLAIN": HOSTILE[0]}
    return Deployment("a-study", "org/model", flags, switches, env, {"HF_TOKEN": "MINE"}, 2, gpus, 4.0, "i:v1", ["x"])


@settings(max_examples=30)
@given(configurations())
def test_every_format_gives_that_version_the_same_configuration(
    drawn: tuple[str, Deployment, Mapping[str, Value]],
) -> None:
    version, deployment, flags = drawn
    for name, form in FORMATS.items():
        text = form.write(deployment)
        ray = name == "ray-serve"
        model, words = read_ray(text, deployment.switches) if ray else READERS[name](text)
        understood = vars(parser_of(version).parse_args(words))
        wanted = {key: value for key, value in flags.items() if not (ray and key == "api_server_count")}
        assert model == "org/model"
        assert {key: _plain(understood[key]) for key in wanted} == {k: _plain(v) for k, v in wanted.items()}, name


def _plain(value: Value | None) -> Value | None:
    """Numbers of a text flag are texts on a command line."""
    return value if isinstance(value, bool | None) else str(value)


def test_json_becomes_a_mapping_for_ray_and_what_ray_decides_is_left_out() -> None:
    flags: dict[str, Value] = {"compilation_config": '{"mode": 3}', "api_server_count": 2, "tokenizer": "{odd"}
    text = FORMATS["ray-serve"].write(service({**flags, "distributed_executor_backend": "mp"}))
    (model,) = yaml.safe_load(text)["applications"][0]["args"]["llm_configs"]
    assert model["engine_kwargs"] == {"compilation_config": {"mode": 3}, "tokenizer": "{odd"}
    assert "# check   --api-server-count is left out" in text
    assert "# check   --distributed-executor-backend is left out" in text


def documents(name: str, gpus: int) -> list[Any]:
    flags: dict[str, Value] = {"max_num_seqs": 64, "tensor_parallel_size": max(1, gpus), "chat_template": HOSTILE[0]}
    return list(yaml.safe_load_all(FORMATS[name].write(service(flags, gpus=gpus))))


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_kubernetes_own_schema_takes_the_manifests(gpus: int) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="comes with scoot-ray[dev]")
    for document in documents("kubernetes", gpus):
        kubernetes.validate(document, "1.29", strict=True)


@pytest.mark.parametrize("gpus", [0, 1, 4])
def test_the_compose_specification_takes_the_services(gpus: int) -> None:
    schemas = pytest.importorskip("check_jsonschema.builtin_schemas", reason="comes with scoot-ray[dev]")
    schema = yaml.safe_load(files(schemas).joinpath("vendor", "compose-spec.json").read_text())
    for document in documents("compose", gpus):
        jsonschema.validate(document, schema)


@pytest.mark.parametrize("gpus", [0, 4])
def test_ray_serve_llm_takes_its_models(gpus: int) -> None:
    """Ray's public name for it wants an engine installed; the model behind it wants pyarrow alone."""
    pytest.importorskip("pyarrow", reason="comes with scoot-ray[dev]")
    configs = pytest.importorskip("ray.llm._internal.serve.core.configs.llm_config")
    (document,) = documents("ray-serve", gpus)
    (model,) = document["applications"][0]["args"]["llm_configs"]
    read = configs.LLMConfig.model_validate(model)
    assert read.engine_kwargs == model["engine_kwargs"]
    assert read.model_loading_config.model_source == "org/model"
    assert read.runtime_env == {"env_vars": {"PLAIN": HOSTILE[0]}}


def test_a_dotenv_reader_finds_the_plain_variables() -> None:
    dotenv = pytest.importorskip("dotenv", reason="comes with ray")
    deployment = replace(service({"max_num_seqs": 64, "dtype": "half"}), env={"PLAIN": "a # b", "OTHER": "x=y"})
    found = dotenv.dotenv_values(stream=StringIO(FORMATS["env"].write(deployment)), interpolate=False)
    assert found == {"PLAIN": "a # b", "OTHER": "x=y", "VLLM_ARGS": "org/model --max-num-seqs 64 --dtype half"}
