"""An application of Ray Serve LLM: ``serve deploy ray-serve.yaml``."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.text import commented, yaml_text
from scoot_ray.search import Value

_OF_RAY = ("distributed_executor_backend", "api_server_count")
"""What Ray Serve LLM decides itself, and refuses to be told."""


def serve_application(deployment: Deployment) -> str:
    """The flags as ``engine_kwargs``, which keep their types; what the command line writes as JSON is a mapping."""
    left_out = [name for name in _OF_RAY if name in deployment.flags]
    notes = [
        "use     serve deploy ray-serve.yaml (needs ray[serve,llm])",
        *(f"secret  {name} must be set on the cluster's nodes, from {key}" for name, key in deployment.secrets.items()),
        *(f"check   --{name.replace('_', '-')} is left out: Ray Serve LLM decides it" for name in left_out),
    ]
    flags = {name: value for name, value in deployment.flags.items() if name not in left_out}
    served = str(flags.pop("served_model_name", deployment.model))
    model: dict[str, Any] = {
        "model_loading_config": {"model_id": served, "model_source": deployment.model},
        "engine_kwargs": {name: _mapping(value) for name, value in flags.items()},
        "deployment_config": {"num_replicas": deployment.replicas},
    }
    if not deployment.gpus:  # Ray Serve LLM takes a GPU for each worker unless it is told
        model["placement_group_config"] = {"bundles": [{"CPU": deployment.cpus}]}
    if deployment.env:
        model["runtime_env"] = {"env_vars": dict(deployment.env)}
    application = {
        "name": deployment.name,
        "route_prefix": "/",
        "import_path": "ray.serve.llm:build_openai_app",
        "args": {"llm_configs": [model]},
    }
    return commented(deployment.header, notes) + yaml_text({"applications": [application]})


def _mapping(value: Value) -> Any:
    """What a text in braces says; anything else as it is."""
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            return json.loads(value)
    return value
