"""The server's command line: its own ``--sim-*`` flags, and those of the simulated version of vLLM."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scoot_ray.engine.catalogue import Flag
from scoot_ray.engine.flags import FlagError, parse_command
from scoot_ray.search import Config, Value
from scoot_ray.simulator.boot import Machine
from scoot_ray.simulator.fitted import BadCalibration, Fitted, read_fitted
from scoot_ray.simulator.hardware import UnknownHardware, find_accelerator
from scoot_ray.simulator.models import UnknownModel, find_model
from scoot_ray.simulator.server.faults import BadFault, Fault, parse_fault
from scoot_ray.simulator.service import Service
from scoot_ray.simulator.settings import NEWEST, VERSIONS, Version, flags_of

PROGRAM = "api_server.py"  # as vLLM's module calls itself


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says. ``api_key`` is secret and stays out of ``repr``."""

    service: Service
    config: Config
    served_name: str
    model: str
    host: str
    port: int
    seed: int
    start_s: float
    fault: Fault | None
    api_key: str | None = field(repr=False)


def read_arguments(words: Sequence[str]) -> Options:
    """Read the words after the program's name.

    Raises:
        SystemExit: with code 2, after one line on standard error.
    """
    parser = _parser()
    own, others = parser.parse_known_args(words)
    try:
        flags = _engine_flags(others)
        served_name = str(flags.get("served_model_name", own.model))
        config = dict(_typed(own.sim_version, flags))
        service = Service(find_model(own.model), _machine(own), own.sim_version, noise=own.sim_noise)
    except (FlagError, UnknownModel, UnknownHardware, BadCalibration) as error:
        parser.error(str(error))
    fault = own.sim_fault
    delay_s = fault.seconds if fault is not None and fault.kind == "slow-start" else 0.0
    return Options(
        service,
        config,
        served_name,
        own.model,
        own.host,
        own.port,
        own.sim_seed,
        own.sim_start_s + delay_s,
        fault,
        own.api_key or os.environ.get("VLLM_API_KEY") or None,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        usage="python -m scoot_ray.simulator.server --model NAME --sim-accelerator NAME [--max-num-seqs 256 ...]",
        description="A simulated vLLM as an OpenAI-compatible server. Takes vLLM's flags, and:",
        allow_abbrev=False,
    )
    parser.add_argument("--model", required=True, help="a model of the catalogue, or a folder with a config.json")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--api-key", help="wanted as bearer token on /v1 (default: VLLM_API_KEY, if set)")
    parser.add_argument("--sim-version", choices=VERSIONS, default=NEWEST, help="vLLM's")
    machine = parser.add_mutually_exclusive_group(required=True)
    machine.add_argument("--sim-accelerator", help="a GPU of the catalogue")
    machine.add_argument("--sim-calibration", type=Path, metavar="FILE", help="a machine that was measured")
    parser.add_argument("--sim-gpus", type=_positive, default=1, help="accelerators of this server")
    parser.add_argument("--sim-noise", type=_not_negative, default=0.0, help="relative spread of the steps' times")
    parser.add_argument("--sim-seed", type=int, default=0)
    parser.add_argument("--sim-start-s", type=_not_negative, default=0.5, help="seconds until it is ready")
    parser.add_argument("--sim-fault", type=_fault, metavar="KIND[@SECONDS]", help="what goes wrong, and when")
    return parser


def _engine_flags(words: Sequence[str]) -> Config:
    command = parse_command(words)
    if command.model is not None:
        raise FlagError(f"unrecognized arguments: {command.model}")
    return command.flags


def _machine(own: argparse.Namespace) -> Machine | Fitted:
    if own.sim_calibration is not None:
        return read_fitted(own.sim_calibration)
    return Machine(find_accelerator(own.sim_accelerator), own.sim_gpus)


def _typed(version: Version, config: Config) -> Iterator[tuple[str, Value]]:
    """Check values as vLLM's parser does; names are checked where the engine starts."""
    flags = {flag.name: flag for flag in flags_of(version).flags}
    for name, value in config.items():
        flag = flags.get(name)
        yield name, value if flag is None else _value(flag, value)


def _value(flag: Flag, value: Value) -> Value:
    name = "--" + flag.name.replace("_", "-")
    if not flag.takes_value and not isinstance(value, bool):
        raise FlagError(f"argument {name}: takes no value, got {value!r}")
    if flag.type in {"int", "float"}:
        fits = isinstance(value, int if flag.type == "int" else int | float) and not isinstance(value, bool)
        if not fits:
            raise FlagError(f"argument {name}: invalid {flag.type} value: {str(value)!r}")
        if flag.type == "int" and value < (0 if flag.default == 0 else 1):  # type: ignore[operator]  # it is an int
            raise FlagError(f"argument {name}: invalid value: {value}")
    if flag.choices and value not in flag.choices:
        allowed = ", ".join(map(str, flag.choices))
        raise FlagError(f"argument {name}: invalid choice: {value} (choose from {allowed})")
    return value if flag.type is not None or not flag.takes_value else str(value)


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except BadFault as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError
    return value
