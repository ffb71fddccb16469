"""One vLLM server's command and environment, and how the GPUs of an evaluation are shared out among its replicas."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scoot_ray.engine.flags import merged, to_flags
from scoot_ray.engine.process import EngineSpec
from scoot_ray.search.trial import Config

_MODULE = "vllm.entrypoints.openai.api_server"
_HOST = "127.0.0.1"
_GPUS_PER_REPLICA = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")
# Ray gives its workers one OpenMP thread and a debugger; our Python path and home would make the engine import ours.
_OURS = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "OMP_NUM_THREADS", "PYTHONBREAKPOINT", "VLLM_API_KEY", "VLLM_PORT")


class TooFewGpus(ValueError):  # noqa: N818 - says what is wrong
    """A configuration needs more GPUs than one evaluation has."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What all evaluations of a study share: model, engine's Python (None: this one), fixed arguments, environment.

    ``switches`` are the engine's flags without a ``--no-`` form (:class:`scoot_ray.engine.catalogue.EngineFlags`).
    ``program`` is what to run instead of vLLM's server: another that takes its flags and answers as it does.
    """

    model: str
    python: str | None = None
    args: Config = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    switches: Collection[str] = ()
    program: tuple[str, ...] = ()


def engine_spec(
    options: EngineOptions,
    config: Config,
    folder: Path,
    port: int,
    gpus: Sequence[str] = (),
    api_key: str | None = None,
    cores: Sequence[int] = (),
) -> EngineSpec:
    """Return how to start one server for ``config``, listening on loopback only, with a fresh API key.

    ``folder`` receives ``engine.log`` and is the working directory; ``gpus`` are the device ids it may use, ``cores``
    the CPU cores (none: as this process). Replicas of one service share one ``api_key``.
    """
    api_key = api_key or secrets.token_urlsafe(24)
    return EngineSpec(
        argv=tuple(server_command(options, config, port)),
        env=engine_environment(options.env, gpus, api_key),
        cwd=folder,
        log_path=folder / "engine.log",
        port=port,
        host=_HOST,
        api_key=api_key,
        cores=tuple(cores),
    )


def server_command(options: EngineOptions, config: Config, port: int) -> list[str]:
    """Return the command of one server; ``config`` wins over the fixed arguments.

    The module is run rather than ``vllm serve``, which needs package metadata that builds for the CPU lack.
    """
    flags = merged(options.args, config)
    if _product(flags, "tensor_parallel_size", "pipeline_parallel_size") > 1:
        # Started from a Ray worker, vLLM would otherwise look for a Ray cluster to spread over.
        flags.setdefault("distributed_executor_backend", "mp")
    own = ["--model", options.model, "--host", _HOST, "--port", str(port)]
    program = options.program or (options.python or sys.executable, "-m", _MODULE)
    return [*program, *own, *to_flags(flags, options.switches)]


def engine_environment(
    extra: Mapping[str, str],
    gpus: Sequence[str] = (),
    api_key: str | None = None,
    inherited: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole environment of an engine: ``inherited`` (None: ours) without Ray's and our own, and ``extra``.

    Development mode serves ``/reset_prefix_cache``; it is safe since the server listens on loopback.
    """
    base = os.environ if inherited is None else inherited
    kept = {name: value for name, value in base.items() if not name.startswith("RAY_") and name not in _OURS}
    fixed = {
        "CUDA_VISIBLE_DEVICES": ",".join(gpus),
        "VLLM_HOST_IP": _HOST,
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_SERVER_DEV_MODE": "1",
    }
    key = {} if api_key is None else {"VLLM_API_KEY": api_key}
    return kept | fixed | dict(extra) | key


def replicas(gpus: int, config: Config) -> int:
    """Return how many servers share ``gpus``: gpus ÷ (tensor × pipeline × data parallel). One without GPUs.

    Raises:
        TooFewGpus: where one server needs more than there are.
    """
    if gpus == 0:
        return 1
    size = gpus_per_replica(config)
    if size > gpus:
        sizes = ", ".join(f"{name}={config[name]}" for name in _GPUS_PER_REPLICA if name in config)
        raise TooFewGpus(f"{sizes} needs {size} GPUs, an evaluation has {gpus}: allowed is a product up to {gpus}")
    return gpus // size


def device_slices(devices: Sequence[str], config: Config) -> tuple[tuple[str, ...], ...]:
    """Return each replica's device ids; left-over devices go unused. Without devices, one replica without any."""
    count, size = replicas(len(devices), config), gpus_per_replica(config)
    return tuple(tuple(devices[at * size : (at + 1) * size]) for at in range(count))


def gpus_per_replica(config: Config) -> int:
    """Return tensor × pipeline × data parallel size; an absent one counts 1."""
    return _product(config, *_GPUS_PER_REPLICA)


def _product(config: Config, *names: str) -> int:
    product = 1
    for name in names:
        product *= int(config.get(name, 1))
    return product
