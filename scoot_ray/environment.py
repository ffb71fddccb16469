"""``environment.json``: what a run's figures were measured with."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib import metadata
from typing import Any

from scoot_ray import __version__
from scoot_ray.history import traffic_of
from scoot_ray.recall import to_remember
from scoot_ray.resolve import Resolved


def environment_of(resolved: Resolved) -> dict[str, Any]:
    """What the figures were measured with; each trial's result adds its engine's version."""
    packages = ("ray", "torch", "botorch", "gpytorch", "pymoo", "scikit-learn", "aiohttp", "numpy")
    return {
        "scoot_ray": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in packages},
        "trace_sha256": resolved.trace.sha256,
        "traffic": asdict(traffic_of(resolved.study, resolved.trace.requests)),
        "engine_version": resolved.engine_version,
        "engine_python": resolved.study.engine.python,
        **to_remember(resolved),
    }
