"""The sections of a study file: frozen, strict, unknown keys refused."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from scoot_ray.log import Log
from scoot_ray.search import TUNERS
from scoot_ray.study.base import Section, tupled
from scoot_ray.study.engine import Engine
from scoot_ray.study.parallelism import Parallelism, numbered
from scoot_ray.study.space import SpaceSection

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


MAX_RATE = "max_rate_under_slo"


def _moment(value: object) -> object:
    """A time may be quoted, as a resolved study writes it."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


class Resources(Section):
    """What Ray reserves for one evaluation, all replicas together."""

    gpus: Annotated[int, Field(ge=0)] = 0
    cpus: PositiveFloat = 1.0
    pin: bool = False
    accelerator: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)


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
    """How much may be spent. The default configuration counts; confirmation and failures of ours do not.

    Nor does the default measured again as a canary, after ``canary_every`` evaluations.
    """

    observations: PositiveInt = 30
    patience: Annotated[Patience | None, BeforeValidator(_patience)] = None
    gpu_hours: PositiveFloat | None = None
    deadline: Annotated[datetime | None, BeforeValidator(_moment)] = None
    end_hopeless: bool = True
    canary_every: PositiveInt | None = None

    def left(self, log: Log, gpus: int) -> int:
        """Search trials that may still be submitted; open ones count as spent."""
        if self.gpu_hours is not None and log.held_s * gpus / 3600 >= self.gpu_hours:
            return 0
        return max(0, self.observations - log.spent)


class Soak(Section):
    """The winner under the trace's longest requests for ``duration_s``, and how much may grow meanwhile (1.0: double).

    From the first third of the time to the last: the median latency, and the engine's memory on the host. null: any.
    """

    duration_s: PositiveFloat
    max_drift: PositiveFloat | None = 0.5
    max_memory_growth: PositiveFloat | None = 0.2


class Confirmation(Section):
    """How the winners are proved: every contestant under ``arrival_orders``, what is close under further ones."""

    finalists: Annotated[int, Field(ge=0)] = 3
    arrival_orders: PositiveInt = 5
    max_arrival_orders: PositiveInt | None = None
    soak: Soak | None = None

    @property
    def most_orders(self) -> int:
        """The most arrival orders of one contestant: twice ``arrival_orders`` where the study does not say."""
        return 2 * self.arrival_orders if self.max_arrival_orders is None else self.max_arrival_orders

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.most_orders < self.arrival_orders:
            raise ValueError(f"max_arrival_orders: {self.most_orders}; allowed: from arrival_orders on")
        return self


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
        | Annotated[tuple[ObjectiveSpec, ...], Field(min_length=1, max_length=2), BeforeValidator(tupled)]
    )
    slos: Annotated[tuple[str, ...], BeforeValidator(tupled)] = ()
    baseline: str | None = None
    space: SpaceSection
    constraints: Annotated[tuple[str, ...], BeforeValidator(tupled)] = ()
    engine_rules: Literal["auto", "none"] | Annotated[tuple[str, ...], BeforeValidator(tupled)] = "auto"
    budget: Budget = Budget()
    parallelism: Annotated[Parallelism, BeforeValidator(numbered)] = Parallelism(max=1, when="always")
    warm_start: Annotated[tuple[str, ...], BeforeValidator(tupled)] = ()
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
