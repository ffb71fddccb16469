"""Every export of what can be tuned, parsed by the engine's own argument parser; nothing is started."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from scoot_ray.engine.catalogue import available_flags
from scoot_ray.engine.knowledge import VLLM, Circumstances, choose, release_of
from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export import FORMATS
from scoot_ray.search import SearchSpace, Value
from tests.exported import READERS

PYTHON = os.environ.get("SCOOT_RAY_ENGINE_PYTHON")
MODEL = "/models/it's $(x) é"
TEXTS: Mapping[str, Value] = {"chat_template": "--{{ '\"' }} $HOME\n# x", "hf_overrides": '{"a": "b c"}', "seed": -1}

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not PYTHON, reason="SCOOT_RAY_ENGINE_PYTHON is not set"),
]


def configurations(count: int) -> tuple[list[Mapping[str, Value]], Sequence[str]]:
    """Points of the whole space that the installed engine offers, and its switches."""
    engine = available_flags(PYTHON)
    chosen = choose(VLLM, engine, Circumstances(release_of(engine.version), 4, max_model_len=4096), {})
    space = SearchSpace([one.parameter for one in chosen.included], (), chosen.default)
    points = np.random.default_rng(0).random((count, space.dimension))
    return [space.decode(point) for point in points], sorted(engine.switches)


def parsed(commands: Sequence[Sequence[str]], folder: Path) -> dict[str, Any]:
    """What the engine makes of each command line."""
    assert PYTHON is not None
    answer = folder / "answer.json"
    done = subprocess.run(
        [PYTHON, str(Path(__file__).with_name("parse.py")), str(answer)],
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document: dict[str, Any] = json.loads(answer.read_text())
    return document


def test_vllm_s_own_parser_reads_every_export_alike(tmp_path: Path) -> None:
    configs, switches = configurations(6)
    written: list[tuple[str, Mapping[str, Value]]] = []
    commands: list[list[str]] = []
    for at, config in enumerate(configs):
        flags: Mapping[str, Value] = {**config, **(TEXTS if at % 2 else {})}
        deployment = Deployment("s", MODEL, flags, switches, {}, {}, 1, 4, 4.0, "i:v1", ["x"])
        for name, form in FORMATS.items():
            if name == "ray-serve":
                continue
            file = tmp_path / f"{at}.yaml"
            if name == "vllm":
                file.write_text(form.write(deployment))
                commands.append(["serve", "--config", str(file)])
            else:
                model, words = READERS[name](form.write(deployment))
                commands.append(["serve", model, *words])
            written.append((name, flags))
    answer = parsed(commands, tmp_path)
    for (name, flags), found in zip(written, answer["parsed"], strict=True):
        assert (found["model_tag"] or found["model"]) == MODEL, name
        told = {key: value for key, value in flags.items() if key != "hf_overrides"}
        assert {key: found[key] for key in told} == told, name
        assert ("hf_overrides" in flags) == ("b c" in str(found["hf_overrides"])), name


def test_ray_serve_llm_s_keywords_are_the_engine_s(tmp_path: Path) -> None:
    configs, switches = configurations(3)
    keywords = set(parsed([], tmp_path)["keywords"])
    for config in configs:
        deployment = Deployment("s", MODEL, {**config, **TEXTS}, switches, {}, {}, 1, 4, 4.0, "i:v1", ["x"])
        (application,) = yaml.safe_load(FORMATS["ray-serve"].write(deployment))["applications"]
        given = application["args"]["llm_configs"][0]["engine_kwargs"]
        assert set(given) <= keywords | {"chat_template"}  # the last is of its server
        assert given["hf_overrides"] == {"a": "b c"}
