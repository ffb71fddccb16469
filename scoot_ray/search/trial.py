"""What is tried and what comes of it: Trial, Outcome, Observation.

Frozen values; everything else in the search is a function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

Value: TypeAlias = bool | int | float | str
Config: TypeAlias = Mapping[str, Value]
Metrics: TypeAlias = Mapping[str, float]


class FailureKind(StrEnum):
    """Why an evaluation has no measurement, and so whose fault that is.

    ENVIRONMENT is what somebody must mend: disk, driver, network, the engine's installation, the model's files.
    """

    REJECTED = "rejected"
    OUT_OF_MEMORY = "out_of_memory"
    START_TIMEOUT = "start_timeout"
    CRASHED = "crashed"
    STALLED = "stalled"
    NODE_LOST = "node_lost"
    PREEMPTED = "preempted"
    PORT_TAKEN = "port_taken"
    CLIENT_LAGGED = "client_lagged"
    CANCELLED = "cancelled"
    ENVIRONMENT = "environment"
    INTERNAL = "internal"

    @property
    def of_configuration(self) -> bool:
        """True where the configuration is to blame: only these teach the forest and count in the budget."""
        return self in _OF_CONFIGURATION


_OF_CONFIGURATION = frozenset(
    {
        FailureKind.REJECTED,
        FailureKind.OUT_OF_MEMORY,
        FailureKind.START_TIMEOUT,
        FailureKind.CRASHED,
        FailureKind.STALLED,
    }
)


class Origin(StrEnum):
    """Who asked for a trial.

    A PROBE asks whether a node is healthy, with a configuration known to be good; a SOAK whether the winner survives
    the longest requests (:mod:`scoot_ray.soak`).
    """

    DEFAULT = "default"
    BASELINE = "baseline"
    WARM_START = "warm_start"
    INITIAL = "initial"
    MODEL = "model"
    TOP_UP = "top_up"
    CONFIRMATION = "confirmation"
    PROBE = "probe"
    SOAK = "soak"


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration to evaluate.

    ``orders`` are the arrival orders (offsets to the study's seed) replayed within one engine start;
    a search trial has the single order 0. ``to_beat`` are the objectives of what it must improve on, known when it was
    suggested; an evaluation that cannot any more may end early. Empty: it runs to its end.
    """

    id: int
    config: Config
    origin: Origin
    orders: tuple[int, ...] = (0,)
    to_beat: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Measured:
    """The engine survived. ``metrics`` are means over ``runs``; ``runs`` holds one mapping per arrival order."""

    metrics: Metrics
    runs: tuple[Metrics, ...] = ()


@dataclass(frozen=True, slots=True)
class Bounded:
    """Ended early because it could not win: each metric is known to lie within (low, high), either may be infinite.

    Metrics not named are not known at all.
    """

    bounds: Mapping[str, tuple[float, float]]
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """No measurement, with the reason.

    ``ambiguous``: of the kind that the configuration is blamed for, though the machine may have done it. It is tried
    once more (:mod:`scoot_ray.log`).
    """

    kind: FailureKind
    detail: str
    ambiguous: bool = False


Outcome: TypeAlias = Measured | Bounded | Failed


@dataclass(frozen=True, slots=True)
class Observation:
    """A trial with its outcome.

    ``timings`` are seconds per phase: queue_s stage_s start_s warmup_s load_s drain_s stop_s idle_s. In stage_s another
    engine was waited for, which was the first to load the model on that node; idle_s is the rest of the worker's time.
    lost_s stands for all of them where the worker did not live to tell.
    """

    trial: Trial
    outcome: Outcome
    where: str = ""
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def held_s(self) -> float:
        """Seconds that the evaluation held its resources: all phases but the queue."""
        return sum(seconds for phase, seconds in self.timings.items() if phase != "queue_s")
