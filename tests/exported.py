"""Every exported format read back, as whoever it is written for reads it: the model, and the words that set flags."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from scoot_ray.engine.flags import to_flags


def read_script(text: str) -> tuple[str, list[str]]:
    words = shlex.split(text, comments=True)
    model, *flags = words[words.index("exec") + 3 :]
    return model, flags


def read_environment(text: str) -> tuple[str, list[str]]:
    (found,) = [word for word in shlex.split(text, comments=True) if word.startswith("VLLM_ARGS=")]
    model, *flags = shlex.split(found.removeprefix("VLLM_ARGS="))
    return model, flags


def read_config(text: str) -> tuple[str, list[str]]:
    """As every vLLM reads its configuration file: what versions read differently must not be in there."""
    words: list[str] = []
    for key, value in yaml.safe_load(text).items():
        assert value is not False
        assert isinstance(value, str | int | float)
        words += [f"--{key}"] if value is True else [f"--{key}", str(value)]
    at = words.index("--model")
    return words[at + 1], words[:at] + words[at + 2 :]


def read_ray(text: str, switches: Sequence[str]) -> tuple[str, list[str]]:
    """The engine's keywords as the words that would say the same; what is a mapping was JSON."""
    (application,) = yaml.safe_load(text)["applications"]
    (model,) = application["args"]["llm_configs"]
    loading, keywords = model["model_loading_config"], model["engine_kwargs"]
    if loading["model_id"] != loading["model_source"]:
        keywords["served_model_name"] = loading["model_id"]
    flags = {name: json.dumps(value) if isinstance(value, dict) else value for name, value in keywords.items()}
    return loading["model_source"], list(to_flags(flags, switches))


def read_containers(containers: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    (container,) = containers
    assert container["command"] == ["vllm", "serve"]
    model, *flags = (word.replace("$$", "$") for word in container["args"])
    return model, flags


def read_kubernetes(text: str) -> tuple[str, list[str]]:
    service, _ = yaml.safe_load_all(text)
    return read_containers(service["spec"]["template"]["spec"]["containers"])


def read_kserve(text: str) -> tuple[str, list[str]]:
    return read_containers(yaml.safe_load(text)["spec"]["predictor"]["containers"])


def read_helm(text: str) -> tuple[str, list[str]]:
    """As the chart's template makes the command."""
    (model,) = yaml.safe_load(text)["servingEngineSpec"]["modelSpec"]
    config = model["vllmConfig"]
    words = ["--enable-prefix-caching" if config["enablePrefixCaching"] else "--no-enable-prefix-caching"]
    if "tensorParallelSize" in config:
        words += ["--tensor-parallel-size", str(config["tensorParallelSize"])]
    return model["modelURL"].replace("$$", "$"), [*words, *(word.replace("$$", "$") for word in config["extraArgs"])]


def read_compose(text: str) -> tuple[str, list[str]]:
    services = yaml.safe_load(text)["services"]
    commands = [[word.replace("$$", "$") for word in one["command"]] for one in services.values()]
    assert all(command == commands[0] for command in commands)
    model, *flags = commands[0]
    return model, flags


READERS: Mapping[str, Callable[[str], tuple[str, list[str]]]] = {
    "command": read_script,
    "env": read_environment,
    "vllm": read_config,
    "kubernetes": read_kubernetes,
    "kserve": read_kserve,
    "helm": read_helm,
    "compose": read_compose,
}
