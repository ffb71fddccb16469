"""vLLM's own configuration file: ``vllm serve --config vllm.yaml``."""

from __future__ import annotations

from collections.abc import Collection

from scoot_ray.results.deployment import Deployment
from scoot_ray.results.export.text import commented, yaml_text
from scoot_ray.search import Value


def config_file(deployment: Deployment) -> str:
    """Flags by name, such that every version makes the same words of them.

    All make ``--name value`` of an entry and ``--name`` of true. What they make of false differs: older ones drop it,
    so none is written.
    """
    notes = [
        "use     vllm serve --config vllm.yaml (older versions: vllm serve MODEL --config vllm.yaml)",
        *(f"setting {name}={value} is not of this file; export it" for name, value in deployment.env.items()),
        *(f"secret  {name} is not in here; set it from {source}" for name, source in deployment.secrets.items()),
    ]
    flags = [_entry(name, value, deployment.switches) for name, value in deployment.flags.items()]
    return commented(deployment.header, notes) + yaml_text({"model": deployment.model, **dict(filter(None, flags))})


def _entry(name: str, value: Value, switches: Collection[str]) -> tuple[str, Value] | None:
    """One entry; None for a false switch, which is false when it is not named."""
    flag = name.replace("_", "-")
    if value is False:
        if f"{name}=" in switches:
            return flag, "False"
        return None if name in switches else (f"no-{flag}", True)
    if value is not True and (str(value).startswith("-") or not str(value)):
        return f"{flag}={value}", True  # as a word of its own it would be taken for the next flag
    return flag, value
