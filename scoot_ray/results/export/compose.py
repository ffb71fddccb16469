"""docker compose: a service for each replica, each on GPUs of its own."""

from __future__ import annotations

from typing import Any

from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.text import commented, yaml_text

_PORT = 8000


def compose_file(deployment: Deployment) -> str:
    """A Compose file; its ``$`` are doubled, since compose would fill in variables otherwise."""
    notes = ["use     docker compose up"]
    names = [
        deployment.name if deployment.replicas == 1 else f"{deployment.name}-{at}" for at in range(deployment.replicas)
    ]
    services = {name: _service(deployment, at) for at, name in enumerate(names)}
    return commented(deployment.header, notes) + yaml_text({"services": services})


def _service(deployment: Deployment, replica: int) -> dict[str, Any]:
    service: dict[str, Any] = {
        "image": deployment.image,
        "entrypoint": ["vllm", "serve"],
        "command": [_literal(word) for word in (deployment.model, *deployment.words)],
        "environment": {
            **{name: _literal(value) for name, value in deployment.env.items()},
            **{name: f"${{{source}:?}}" for name, source in deployment.secrets.items()},
        },
        "ports": [f"{_PORT + replica}:{_PORT}"],
        "ipc": "host",
    }
    if deployment.gpus:
        first = replica * deployment.gpus
        ids = [str(number) for number in range(first, first + deployment.gpus)]
        device = {"driver": "nvidia", "device_ids": ids, "capabilities": ["gpu"]}
        service["deploy"] = {"resources": {"reservations": {"devices": [device]}}}
    return service


def _literal(text: str) -> str:
    return text.replace("$", "$$")
