"""One server's command, files and environment, and how the GPUs of an evaluation are shared out among its replicas."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

from scoot_ray.engine.flags import merged
from scoot_ray.engine.kinds import EXTERNAL, KINDS, VLLM, Kind, Start
from scoot_ray.engine.kinds.external import INSIDE, Outside, placed
from scoot_ray.engine.process import EngineSpec
from scoot_ray.search.trial import Config

_HOST = "127.0.0.1"
# Ray gives its workers one OpenMP thread and a debugger; our Python path and home would make the engine import ours.
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OMP_NUM_THREADS", "PYTHONBREAKPOINT", "VLLM_API_KEY", "VLLM_PORT")


class TooFewGpus(ValueError):  # noqa: N818 - says what is wrong
    """A configuration needs more GPUs than one evaluation has."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What all evaluations of a study share: model, engine's Python (None: this one), fixed arguments, environment.

    ``switches`` are the engine's flags without a ``--no-`` form (:class:`scoot_ray.engine.catalogue.EngineFlags`).
    ``program`` is what to run instead of the engine's server: another that takes its flags and answers as it does. Of
    an external one it is the template, and ``outside`` says where that serves.
    """

    model: str
    python: str | None = None
    args: Config = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    switches: Collection[str] = ()
    program: tuple[str, ...] = ()
    kind: str = "vllm"
    outside: Outside = INSIDE


def engine_spec(
    options: EngineOptions,
    config: Config,
    folder: Path,
    port: int,
    gpus: Sequence[str] = (),
    api_key: str | None = None,
    cores: Sequence[int] = (),
) -> EngineSpec:
    """Return how to start one server for ``config``, listening on loopback only, with a fresh API key if it takes one.

    ``folder`` receives ``engine.log`` and is the working directory; ``gpus`` are the device ids it may use, ``cores``
    the CPU cores (none: as this process). Replicas of one service share one ``api_key``. Files that belong to the
    command are written.
    """
    kind, outside = KINDS[options.kind], options.outside
    started = start_of(options, config, port, folder)
    key = None if kind.key_variable is None else api_key or secrets.token_urlsafe(24)
    for name, text in kind.files(started).items():
        folder.joinpath(name).write_text(text)
    return EngineSpec(
        argv=tuple(kind.command(started)),
        env=engine_environment(options.env, gpus, key, kind=kind),
        cwd=folder,
        log_path=folder / "engine.log",
        port=port,
        host=_HOST,
        api_key=key if outside.key_variable is None else options.env.get(outside.key_variable),
        health=kind.health,
        served_at=placed(outside.base_url, started),
        ready_url=placed(outside.ready_url, started),
        stop_argv=tuple(kind.command(replace(started, program=outside.stop_command))) if outside.stop_command else (),
        external=kind is EXTERNAL,
        cores=tuple(cores),
    )


def start_of(options: EngineOptions, config: Config, port: int, folder: Path) -> Start:
    """Return what is asked of one server; ``config`` wins over the fixed arguments."""
    return Start(
        model=options.model,
        flags=merged(options.args, config),
        host=_HOST,
        port=port,
        folder=folder,
        python=options.python or sys.executable,
        switches=options.switches,
        program=options.program,
    )


def server_command(options: EngineOptions, config: Config, port: int) -> list[str]:
    """Return the command of one server; ``config`` wins over the fixed arguments."""
    return KINDS[options.kind].command(start_of(options, config, port, Path()))


def engine_environment(
    extra: Mapping[str, str],
    gpus: Sequence[str] = (),
    api_key: str | None = None,
    inherited: Mapping[str, str] | None = None,
    kind: Kind = VLLM,
) -> dict[str, str]:
    """Return an engine's whole environment: ``inherited`` (None: ours) without Ray's and our own, and ``extra``."""
    base = os.environ if inherited is None else inherited
    kept = {name: value for name, value in base.items() if not name.startswith("RAY_") and name not in _OURS}
    fixed = {"CUDA_VISIBLE_DEVICES": ",".join(gpus), **kind.variables}
    key = {} if api_key is None or kind.key_variable is None else {kind.key_variable: api_key}
    return kept | fixed | dict(extra) | key


def replicas(gpus: int, config: Config, kind: Kind = VLLM) -> int:
    """Return how many servers share ``gpus``: gpus ÷ (tensor × pipeline × data parallel). One without GPUs.

    A service of the user's own is one, on all of them.

    Raises:
        TooFewGpus: where one server needs more than there are.
    """
    if gpus == 0 or not kind.replicated:
        return 1
    size = gpus_per_replica(config, kind)
    if size > gpus:
        sizes = ", ".join(f"{name}={config[name]}" for name in kind.parallel if name in config)
        raise TooFewGpus(f"{sizes} needs {size} GPUs, an evaluation has {gpus}: allowed is a product up to {gpus}")
    return gpus // size


def device_slices(devices: Sequence[str], config: Config, kind: Kind = VLLM) -> tuple[tuple[str, ...], ...]:
    """Return each replica's device ids; left-over devices go unused. Without devices, one replica without any."""
    if not kind.replicated:
        return (tuple(devices),)
    count, size = replicas(len(devices), config, kind), gpus_per_replica(config, kind)
    return tuple(tuple(devices[at * size : (at + 1) * size]) for at in range(count))


def gpus_per_replica(config: Config, kind: Kind = VLLM) -> int:
    """Return tensor × pipeline × data parallel size; an absent one counts 1."""
    return prod(int(config.get(name, 1)) for name in kind.parallel)
