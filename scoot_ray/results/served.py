"""How a configuration of a run is served, in its engine's own words: read from ``serving`` of a result document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scoot_ray.engine.flags import merged
from scoot_ray.engine.kinds import KINDS, Kind, Start
from scoot_ray.search import Config

_HOST, _PORT = "127.0.0.1", 8000  # in the command of an external service, which has to name them


def kind_in(serving: Mapping[str, Any]) -> Kind:
    """Which engine it is; older documents do not say, and are of vLLM."""
    return KINDS[serving.get("kind", "vllm")]


def command_in(serving: Mapping[str, Any], config: Config) -> list[str]:
    """The command that serves ``config``."""
    return kind_in(serving).show(start_in(serving, config))


def files_in(serving: Mapping[str, Any], config: Config) -> dict[str, str]:
    """The files that belong to that command, by name: they lie in the folder it is started in."""
    return dict(kind_in(serving).files(start_in(serving, config)))


def start_in(serving: Mapping[str, Any], config: Config) -> Start:
    """One server of ``config``, to be started where it is wanted."""
    program = tuple(serving.get("program", ()))
    return started(str(serving["model"]), merged(serving["args"], config), tuple(serving["switches"]), program)


def started(model: str, flags: Config, switches: Sequence[str], program: Sequence[str]) -> Start:
    """The same of flags that are whole already."""
    return Start(model, flags, _HOST, _PORT, Path(), "python", switches, tuple(program))
