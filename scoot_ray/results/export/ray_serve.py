"""An application of Ray Serve LLM: ``serve deploy ray-serve.yaml``."""

from __future__ import annotations

from typing import Any

from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.text import commented, yaml_text


def serve_application(deployment: Deployment) -> str:
    """The flags as ``engine_kwargs``, which keep their types."""
    notes = [
        "use     serve deploy ray-serve.yaml (needs ray[serve,llm])",
        *(f"secret  {name} must be set on the cluster's nodes, from {key}" for name, key in deployment.secrets.items()),
    ]
    flags = dict(deployment.flags)
    served = str(flags.pop("served_model_name", deployment.model))
    model: dict[str, Any] = {
        "model_loading_config": {"model_id": served, "model_source": deployment.model},
        "engine_kwargs": flags,
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
