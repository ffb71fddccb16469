"""A configuration as files to deploy: each sets the same engine flags, headed by what they were proved for. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.compose import compose_file
from scoot_ray.results.export.kubernetes import helm_values, inference_service, manifests
from scoot_ray.results.export.ray_serve import serve_application
from scoot_ray.results.export.shell import environment_file, serve_script
from scoot_ray.results.export.vllm_config import config_file


@dataclass(frozen=True, slots=True)
class Format:
    """What one format is called on disk, and how it is written."""

    file: str
    write: Callable[[Deployment], str]


FORMATS: Mapping[str, Format] = {
    "command": Format("serve.sh", serve_script),
    "vllm": Format("vllm.yaml", config_file),
    "ray-serve": Format("ray-serve.yaml", serve_application),
    "kserve": Format("kserve.yaml", inference_service),
    "kubernetes": Format("kubernetes.yaml", manifests),
    "helm": Format("values.yaml", helm_values),
    "compose": Format("compose.yaml", compose_file),
    "env": Format("engine.env", environment_file),
}
