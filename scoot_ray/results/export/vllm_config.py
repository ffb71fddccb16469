"""vLLM's own configuration file: ``vllm serve --config vllm.yaml``."""

from __future__ import annotations

from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.text import commented, yaml_text
from scoot_ray.search import Value


def config_file(deployment: Deployment) -> str:
    """Flags by name; the engine makes ``--name value`` of each, ``--name`` of true and ``--no-name`` of false."""
    notes = [
        "use     vllm serve --config vllm.yaml",
        *(f"setting {name}={value} is not of this file; export it" for name, value in deployment.env.items()),
        *(f"secret  {name} is not in here; set it from {source}" for name, source in deployment.secrets.items()),
    ]
    flags = dict(
        _entry(name.replace("_", "-"), value)
        for name, value in deployment.flags.items()
        if value is not False or name not in deployment.switches
    )
    return commented(deployment.header, notes) + yaml_text({"model": deployment.model, **flags})


def _entry(flag: str, value: Value) -> tuple[str, Value]:
    """A text that begins with a dash would be taken for a flag: it becomes part of the name of one that is set."""
    if isinstance(value, str) and (value.startswith("-") or not value):
        return f"{flag}={value}", True
    return flag, value
