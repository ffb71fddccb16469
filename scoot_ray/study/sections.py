"""The sections of a study file: frozen, strict, unknown keys refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from scoot_ray.log import Log
from scoot_ray.search import TUNERS
from scoot_ray.simulator.hardware import find_accelerator
from scoot_ray.simulator.settings import Version

Scalar = bool | int | float | str
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


MAX_RATE = "max_rate_under_slo"


class StudyError(ValueError):
    """The study cannot be used; the message is one line for its author."""


class Section(BaseModel):
    """What all sections have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def _underscored(value: object) -> object:
    """Engine parameters may be written with - or _."""
    if isinstance(value, Mapping):
        return {str(key).lstrip("-").replace("-", "_"): entry for key, entry in value.items()}
    return value


def _tupled(value: object) -> object:
    """YAML has lists; frozen studies have tuples."""
    return tuple(value) if isinstance(value, list) else value


def _moment(value: object) -> object:
    """A time may be quoted, as a resolved study writes it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class FromEnvironment(Section):
    """A secret: only the name of the variable that holds it is ever written down."""

    from_env: str


class Hardware(Section):
    """What a simulated engine runs on: accelerators of the catalogue, or a machine that ``calibrate`` has measured."""

    accelerator: str | None = None
    count: PositiveInt = 1
    calibration: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.accelerator is None) == (self.calibration is None):
            raise ValueError("give accelerator (and count), or calibration")
        if self.accelerator is not None:
            find_accelerator(self.accelerator)
        elif self.count != 1:
            raise ValueError("count goes with accelerator")
        return self


_OF_SIMULATED = ("hardware", "version", "clock", "noise")
_OF_EXTERNAL = ("command", "ready_url", "base_url", "stop_command", "dialect", "api_key_variable")


class Engine(Section):
    """What serves the model, and how it is started.

    ``hardware`` to ``noise`` go with kind ``simulated`` alone, ``command`` and what follows with ``external`` alone.
    """

    kind: Literal["vllm", "sglang", "tensorrt-llm", "external", "simulated"] = "vllm"
    model: str = Field(min_length=1)
    python: str | None = None
    args: Annotated[dict[str, Scalar], BeforeValidator(_underscored)] = {}
    env: dict[str, str | FromEnvironment] = {}
    start_timeout_s: PositiveFloat = 600.0
    hardware: Hardware | None = None
    version: Version | None = None
    clock: Literal["virtual", "real"] | None = None
    noise: Annotated[float, Field(ge=0.0, le=0.5)] | None = None
    command: Annotated[tuple[str, ...] | None, BeforeValidator(_tupled)] = None
    ready_url: str | None = None
    base_url: str | None = None
    stop_command: Annotated[tuple[str, ...] | None, BeforeValidator(_tupled)] = None
    dialect: Literal["vllm", "sglang", "trtllm"] | None = None
    api_key_variable: str | None = None

    @model_validator(mode="after")
    def _external(self) -> Self:
        if self.kind != "external":
            for name in _OF_EXTERNAL:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with kind: external")
            return self
        if not self.command:
            raise ValueError("kind: external needs command, a list of words with {model}, {port} and the parameters")
        if self.python is not None:
            raise ValueError("python goes with other kinds; command says what an external engine is started with")
        if self.api_key_variable is not None and self.api_key_variable not in self.env:
            raise ValueError(f"api_key_variable: {self.api_key_variable!r} is not in env")
        for name in ("ready_url", "base_url"):
            url = getattr(self, name)
            if url is not None and not url.startswith(("http://", "https://")):
                raise ValueError(f"{name}: {url!r} is no URL; write http://{{host}}:{{port}} or where it serves")
        return self

    @model_validator(mode="after")
    def _of_kind(self) -> Self:
        if self.kind == "simulated":
            if self.hardware is None:
                raise ValueError("kind: simulated needs hardware, such as {accelerator: A100-80G, count: 2}")
            if self.python is not None:
                raise ValueError("python goes with a real engine; a simulated one needs none")
        else:
            for name in _OF_SIMULATED:
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} goes with kind: simulated")
        return self

    @property
    def simulated(self) -> bool:
        """Whether every figure of it is simulated."""
        return self.kind == "simulated"

    @property
    def in_virtual_time(self) -> bool:
        """Whether loads are computed rather than sent."""
        return self.simulated and self.clock != "real"

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """The engine's own variables with secrets filled in from ``inherited``.

        Raises:
            StudyError: a variable that should hold a secret is not set.
        """
        filled = {}
        for name, value in self.env.items():
            if isinstance(value, str):
                filled[name] = value
            elif value.from_env in inherited:
                filled[name] = inherited[value.from_env]
            else:
                raise StudyError(f"engine.env.{name}: from_env: {value.from_env}: this variable is not set; export it")
        return filled


class Resources(Section):
    """What Ray reserves for one evaluation, all replicas together."""

    gpus: Annotated[int, Field(ge=0)] = 0
    cpus: PositiveFloat = 1.0
    accelerator: str | None = None
    labels: dict[str, str] = {}


class Arrivals(Section):
    """When requests are sent."""

    process: Literal["poisson", "gamma", "constant", "recorded", "ramp"] = "poisson"
    rate: PositiveFloat | None = None
    end_rate: PositiveFloat | None = None
    burstiness: PositiveFloat = 1.0
    time_scale: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.rate is None) != (self.process == "recorded"):
            need = "takes no rate; use time_scale" if self.process == "recorded" else "needs rate (requests per second)"
            raise ValueError(f"process: {self.process} {need}")
        if (self.end_rate is None) == (self.process == "ramp"):
            raise ValueError("end_rate (requests per second) goes with process: ramp, which needs it")
        if self.burstiness != 1.0 and self.process != "gamma":
            raise ValueError("burstiness goes with process: gamma")
        if self.time_scale != 1.0 and self.process != "recorded":
            raise ValueError("time_scale goes with process: recorded")
        return self

    @property
    def mean_rate(self) -> float | None:
        """Requests per second over the whole load; None where the trace decides."""
        return self.rate if self.rate is None or self.end_rate is None else (self.rate + self.end_rate) / 2


class Workload(Section):
    """The service's own traffic."""

    trace: str
    skip_rows: Annotated[int, Field(ge=0)] = 0
    rows: PositiveInt | None = None
    arrivals: Arrivals
    duration_s: PositiveFloat = 100.0
    sessions: Literal["independent", "wait"] = "independent"
    think_s: Annotated[float, Field(ge=0)] = 0.0
    warmup: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"
    too_long: Literal["drop", "clip"] = "drop"
    request_timeout_s: PositiveFloat = 300.0


class ObjectiveSpec(Section):
    """One metric and the way it should go."""

    metric: str
    direction: Literal["minimize", "maximize"]


class ParameterSpec(Section):
    """One parameter of the search space."""

    type: Literal["integer", "float", "choice", "boolean"]
    low: int | float | None = None
    high: int | float | None = None
    scale: Literal["linear", "log", "powers_of_two"] = "linear"
    values: tuple[Scalar, ...] | None = None
    default: Scalar | None = None

    @model_validator(mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        if isinstance(value, dict) and isinstance(value.get("values"), list):
            return {**value, "values": tuple(value["values"])}
        return value


class Patience(Section):
    """When the search ends early: after so many suggestions without an improvement, or by what is expected of the next.

    A number alone stands for ``observations``.
    """

    observations: PositiveInt | None = None
    expected_gain: Annotated[float | None, Field(gt=0.0, lt=1.0)] = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.observations is None and self.expected_gain is None:
            raise ValueError("give a number of observations, or expected_gain")
        return self


def _patience(value: object) -> object:
    return {"observations": value} if isinstance(value, int) else value


class Budget(Section):
    """How much may be spent. The default configuration counts; confirmation and failures of ours do not."""

    observations: PositiveInt = 30
    patience: Annotated[Patience | None, BeforeValidator(_patience)] = None
    gpu_hours: PositiveFloat | None = None
    deadline: Annotated[datetime | None, BeforeValidator(_moment)] = None

    def left(self, log: Log, gpus: int) -> int:
        """Search trials that may still be submitted; open ones count as spent."""
        if self.gpu_hours is not None and log.held_s * gpus / 3600 >= self.gpu_hours:
            return 0
        return max(0, self.observations - log.spent)


class Confirmation(Section):
    """How the winners are proved."""

    finalists: Annotated[int, Field(ge=0)] = 3
    arrival_orders: PositiveInt = 5


class Study(Section):
    """Everything that defines a study. Two equal studies with equal logs make the same suggestions."""

    schema_version: Literal[1] = 1
    name: str
    tuner: str = "scoot"
    engine: Engine
    resources: Resources = Resources()
    workload: Workload
    objectives: (
        Literal["throughput", "tail_latency", "interactive"]
        | Annotated[tuple[ObjectiveSpec, ...], Field(min_length=1, max_length=2), BeforeValidator(_tupled)]
    )
    slos: Annotated[tuple[str, ...], BeforeValidator(_tupled)] = ()
    baseline: str | None = None
    space: (
        Literal["vllm", "vllm-0.4.2", "sglang", "tensorrt-llm"]
        | Annotated[dict[str, ParameterSpec], BeforeValidator(_underscored)]
    )
    constraints: Annotated[tuple[str, ...], BeforeValidator(_tupled)] = ()
    budget: Budget = Budget()
    parallelism: PositiveInt = 1
    warm_start: Annotated[tuple[str, ...], BeforeValidator(_tupled)] = ()
    confirmation: Confirmation = Confirmation()
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    output: str = "runs"

    @property
    def gpus(self) -> int:
        """GPUs of the service: those reserved, or those simulated."""
        if self.engine.hardware is not None:
            return self.engine.hardware.count if self.engine.hardware.accelerator else 0
        return self.resources.gpus

    @model_validator(mode="after")
    def _reserves_no_gpu(self) -> Self:
        if self.engine.simulated and self.resources.gpus:
            raise ValueError("resources.gpus: a simulated engine reserves none; engine.hardware.count says how many")
        return self

    @property
    def searches_rate(self) -> bool:
        """Whether each evaluation looks for the highest rate that holds the SLOs, which takes many loads."""
        metrics = () if isinstance(self.objectives, str) else tuple(one.metric for one in self.objectives)
        return any(text.strip().startswith(MAX_RATE) for text in (*metrics, *self.slos))

    @model_validator(mode="after")
    def _names(self) -> Self:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r}: use up to 64 letters, digits, '.', '_' and '-'")
        if self.tuner not in TUNERS:
            raise ValueError(f"tuner: {self.tuner!r} is not available; choose one of {', '.join(TUNERS)}")
        return self
