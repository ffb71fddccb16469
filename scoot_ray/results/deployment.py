"""A configuration of a run as something to deploy: flags, environment, replicas, and what it was proved for. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scoot_ray.engine.flags import canonical, merged, to_flags
from scoot_ray.engine.kinds import EXTERNAL, VLLM, Kind, Start
from scoot_ray.engine.kinds.vllm import MODULE
from scoot_ray.engine.knowledge import release_of
from scoot_ray.engine.launch import gpus_per_replica, replicas
from scoot_ray.results.served import command_in, kind_in, started
from scoot_ray.search import Config, Value

SECRET_FLAGS = frozenset({"api_key", "hf_token"})
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|ACCESS_?KEY", re.IGNORECASE)
_VERSION = re.compile(r"\d+\.\d+(\.\d+)?")
_NOT_IN_LABELS = re.compile(r"[^a-z0-9]+")
_SERVES = (0, 6)  # ``vllm serve`` is of 0.5.3, its ``--config`` of 0.6.0
GPU_IMAGE, CPU_IMAGE = "vllm/vllm-openai", "vllm-cpu-env"


class NoSuchTrial(ValueError):  # noqa: N818 - says what is wrong
    """The run has no such configuration; the message says what it has."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One service: ``replicas`` servers of ``gpus`` GPUs each, every one started with the same flags.

    ``env`` has the plain variables, ``secrets`` maps a variable to the one that holds its value where it is deployed:
    no secret itself is ever in here. ``header`` are lines that say what it was proved for. ``kind`` is the engine's;
    ``program`` is what starts an external one.
    """

    name: str
    model: str
    flags: Mapping[str, Value]
    switches: Sequence[str]
    env: Mapping[str, str]
    secrets: Mapping[str, str]
    replicas: int
    gpus: int
    cpus: float
    image: str
    header: Sequence[str]
    kind: Kind = VLLM
    program: Sequence[str] = ()

    @property
    def command(self) -> list[str]:
        """The command that starts one server."""
        return self.kind.show(self._start)

    @property
    def files(self) -> list[tuple[str, str]]:
        """Names and texts of the files that belong to the command, in the folder that it is started in."""
        return list(self.kind.files(self._start).items())

    @property
    def _start(self) -> Start:
        return started(self.model, self.flags, self.switches, self.program)

    @property
    def words(self) -> list[str]:
        """The flags as words of a command line."""
        return list(to_flags(self.flags, self.switches))


def deployment_of(
    result: Mapping[str, Any], at: datetime | None, trial: int | None = None, image: str | None = None
) -> Deployment:
    """What is recommended, or the configuration of one trial, read from a result document; ``at`` dates the proof.

    Raises:
        NoSuchTrial: there is no such trial, or nothing is recommended.
    """
    serving, config = result["serving"], config_of(result, trial)
    flags = merged(serving["args"], config)
    plain, secrets = _environment(serving["env"])
    version = _VERSION.search(str(result["engine"]["engine_version"] or ""))
    default_image = f"{GPU_IMAGE if serving['gpus'] else CPU_IMAGE}:{f'v{version[0]}' if version else 'latest'}"
    left_out, kind = sorted(SECRET_FLAGS & flags.keys()), kind_in(serving)
    return Deployment(
        name=_label(str(result["study"])),
        model=str(serving["model"]),
        flags=_without_secrets(flags, kind),
        switches=tuple(serving["switches"]),
        env=plain,
        secrets=secrets,
        replicas=replicas(serving["gpus"], flags, kind),
        gpus=_gpus_of_one(serving, flags),
        cpus=float(serving["cpus"]),
        image=image or default_image,
        header=[
            *_header(result, config, at),
            *(f"secret  --{name.replace('_', '-')} is left out" for name in left_out),
        ],
        kind=kind,
        program=tuple(serving.get("program", ())),
    )


def config_of(result: Mapping[str, Any], trial: int | None) -> Config:
    """The configuration of a trial, or the recommended one.

    Raises:
        NoSuchTrial: as deployment_of.
    """
    if trial is None:
        if result["recommended"] is None:
            raise NoSuchTrial("nothing is recommended: no configuration could be measured; name one with --trial")
        recommended: Config = result["recommended"]["config"]
        return recommended
    known: dict[int, Config] = {one["trial"]: one["config"] for one in result["observations"]}
    known |= {run["trial"]: one["config"] for one in result["confirmation"] for run in one["runs"]}
    if trial not in known:
        allowed = f"0 to {max(known)}" if known else "none yet"
        raise NoSuchTrial(f"--trial: {trial}: the run has no such trial that ended; allowed: {allowed}")
    return known[trial]


def today_of(result: Mapping[str, Any]) -> tuple[str, Config] | None:
    """What runs today and its flags: the baseline, else the default; None where the run has neither."""
    for role in ("baseline", "default"):
        if result[role] is not None:
            return role, merged(result["serving"]["args"], result[role]["config"])
    return None


def differences(flags: Config, today: Config) -> list[tuple[str, Value | None, Value | None]]:
    """Name, today's value and the new one of every flag that differs; None where it is not set."""
    names = [*flags, *(name for name in today if name not in flags)]
    return [
        (name, today.get(name), flags.get(name))
        for name in names
        if (name in today, today.get(name)) != (name in flags, flags.get(name))
    ]


def command_of(result: Mapping[str, Any], config: Config) -> list[str]:
    """The command that serves one configuration of the run."""
    serving = result["serving"]
    return command_in({**serving, "args": _without_secrets(serving["args"], kind_in(serving))}, config)


def _without_secrets(flags: Config, kind: Kind) -> dict[str, Value]:
    """Flags without what is secret; a command of the user's own has a place for each, so there it is masked."""
    kept = {name: value for name, value in flags.items() if canonical(name) not in SECRET_FLAGS}
    return {**dict.fromkeys(flags, "***"), **kept} if kind is EXTERNAL else kept


def _gpus_of_one(serving: Mapping[str, Any], flags: Config) -> int:
    kind = kind_in(serving)
    if not serving["gpus"] or not kind.replicated:
        return int(serving["gpus"])
    return gpus_per_replica(flags, kind)


def _environment(env: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """Plain variables and secrets. What is named like a secret is one, even where the study wrote it down."""
    plain, secrets = {}, {}
    for name, value in env.items():
        if not isinstance(value, str):
            secrets[name] = str(value["from_env"])
        elif _SECRET_NAME.search(name):
            secrets[name] = name
        else:
            plain[name] = value
    return plain, secrets


def _header(result: Mapping[str, Any], config: Config, at: datetime | None) -> list[str]:
    serving, engine = result["serving"], result["engine"]
    hardware = f"{serving['gpus']} × {serving['accelerator'] or 'GPU'}" if serving["gpus"] else "no GPU"
    kind = kind_in(serving)
    count = replicas(serving["gpus"], merged(serving["args"], config), kind)
    lines = [
        f"study   {result['study']}",
        f"date    {at.date().isoformat() if at else 'unknown'}",
        f"trace   sha256 {result['trace']['sha256']}",
        f"load    {' '.join(f'{name}={value}' for name, value in result['load'].items())}",
        f"engine  {kind.title} {engine['engine_version'] or 'of unknown version'}",
        f"on      {hardware}",
        *(["SIMULATED: proved for a model of the engine, never measured on hardware"] if result["simulated"] else []),
        *(f"slo     {text}" for text in result["slos"]),
        *_proof(result, config),
        *_cautions(str(engine["engine_version"] or ""), kind),
    ]
    return lines + ([f"serve   {count} replicas of this on GPUs of their own, behind a balancer"] if count > 1 else [])


def _cautions(version: str, kind: Kind) -> list[str]:
    """What the engine that was proved does not have of what is written here."""
    if kind is not VLLM or release_of(version) >= _SERVES:
        return []
    return [f"check   this vLLM has no 'vllm serve' and no --config: python -m {MODULE} --model MODEL takes the flags"]


def _proof(result: Mapping[str, Any], config: Config) -> list[str]:
    """The promise of the configuration, a line per metric; or that there is none."""
    standing = next((one for one in result["confirmation"] if one["config"] == config), None)
    recommended = result["recommended"] is not None and result["recommended"]["config"] == config
    verdict = [f"verdict {result['sentence']}"] if recommended else ["verdict not what the run recommends"]
    if standing is None or not standing["promises"]:
        return [*verdict, "promise none: never measured again"]
    if standing["failure"]:
        return [*verdict, f"promise none: {standing['failure']}"]
    kept = ["slo     kept by what is promised" if standing["meets_slos"] else "slo     NOT kept by what is promised"]
    soak = standing.get("soak")  # older results lack it
    survived = [f"soak    survived {soak['duration_s']:.0f} s of the longest requests"] if soak else []
    return [*verdict, *(kept if result["slos"] else []), *map(_promise, standing["promises"]), *survived]


def _promise(promise: Mapping[str, Any]) -> str:
    line = f"promise {promise['metric']}: worst of {len(promise['runs'])} runs {promise['worst']:.4g}"
    return line + (f", 95% bound for a further run {promise['bound']:.4g}" if promise["bound"] is not None else "")


def _label(text: str) -> str:
    """A name as Kubernetes takes it: at most 40 of a to z, 0 to 9 and -, a letter first."""
    found = _NOT_IN_LABELS.sub("-", text.lower())[:40].strip("-")
    return found if found[:1].isalpha() else f"vllm-{found}".rstrip("-")
