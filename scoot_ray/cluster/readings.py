"""What a study tells while it runs, as named figures: functions of the log and of what the slots do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from scoot_ray.cluster.activity import Activity
from scoot_ray.cluster.optimizer import Thinking
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.search import Bounded, Failed, FailureKind, Measured, Observation, best_observed, threshold

OUTCOMES = ("measured", "bounded", "failed")


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure by name; ``tag`` tells its series apart, beside the study and the run that all have."""

    name: str
    description: str
    tag: str | None = None


OBSERVATIONS = Metric("scoot_ray_observations", "Evaluations of the search that have an outcome", "outcome")
BUDGET = Metric("scoot_ray_budget_observations", "Evaluations that the search may spend")
CONFIRMATIONS = Metric("scoot_ray_confirmations", "Confirmation trials that have an outcome")
FAILURES = Metric("scoot_ray_failures", "Failures; those of the machines since this driver began", "kind")
BEST = Metric("scoot_ray_best_objective", "Best measured value that keeps the SLOs, where any does", "objective")
DEFAULT = Metric("scoot_ray_default_objective", "What the default configuration measured", "objective")
IN_USE = Metric("scoot_ray_parallelism_in_use", "Evaluations on a node")
WAITING = Metric("scoot_ray_parallelism_waiting", "Evaluations that wait for resources")
WANTED = Metric("scoot_ray_parallelism_wanted", "Evaluations that the study would run at once")
PHASES = Metric("scoot_ray_phase_seconds", "Seconds of finished evaluations", "phase")
GPUS = Metric("scoot_ray_gpu_seconds", "GPU-seconds of finished evaluations, and of what came to nothing", "phase")
LAST_SUGGESTION = Metric("scoot_ray_suggestion_last_seconds", "Seconds that the last suggestion took")
ALL_SUGGESTIONS = Metric("scoot_ray_suggestion_spent_seconds", "Seconds that this driver's suggestions took")
POF = Metric("scoot_ray_pof_threshold", "Probability of feasibility that a suggestion must reach")

METRICS = (
    *(OBSERVATIONS, BUDGET, CONFIRMATIONS, FAILURES, BEST, DEFAULT, IN_USE, WAITING, WANTED, PHASES, GPUS),
    *(LAST_SUGGESTION, ALL_SUGGESTIONS, POF),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure now; ``of`` is the value of its metric's tag."""

    metric: Metric
    value: float
    of: str = ""


@dataclass(frozen=True, slots=True)
class Slots:
    """What the slots do, how many are wanted, and how long suggestions take."""

    activities: Sequence[Activity] = ()
    wanted: int = 0
    thinking: Thinking = field(default_factory=Thinking)


def readings(resolved: Resolved, log: Log, slots: Slots) -> Iterator[Reading]:
    """Every figure that there is by now; counts that are still zero are among them, unmeasured objectives are not."""
    yield Reading(BUDGET, resolved.study.budget.observations)
    yield Reading(CONFIRMATIONS, len(log.confirmed))
    yield from _outcomes(log)
    yield from _objectives(resolved, log)
    running = sum(bool(one.where) for one in slots.activities)
    yield Reading(IN_USE, running)
    yield Reading(WAITING, len(slots.activities) - running)
    yield Reading(WANTED, slots.wanted)
    yield Reading(LAST_SUGGESTION, slots.thinking.last_s)
    yield Reading(ALL_SUGGESTIONS, slots.thinking.spent_s)
    yield Reading(POF, threshold(log.searched))
    queue_s = sum(seen.timings.get("queue_s", 0.0) for seen in log.observations)
    for phase, seconds in log.held_phases_s.items():
        yield Reading(PHASES, seconds, phase.removesuffix("_s"))
        yield Reading(GPUS, seconds * resolved.study.gpus, phase.removesuffix("_s"))
    yield Reading(PHASES, queue_s, "queue")


def _outcomes(log: Log) -> Iterator[Reading]:
    seen = Counter(_outcome(one) for one in log.searched)
    failed = Counter(one.outcome.kind for one in (*log.observations, *log.setbacks) if isinstance(one.outcome, Failed))
    yield from (Reading(OBSERVATIONS, seen[name], name) for name in OUTCOMES)
    yield from (Reading(FAILURES, failed[kind], kind.value) for kind in FailureKind)


def _outcome(seen: Observation) -> str:
    match seen.outcome:
        case Measured():
            return "measured"
        case Bounded():
            return "bounded"
        case Failed():
            return "failed"


def _objectives(resolved: Resolved, log: Log) -> Iterator[Reading]:
    """The best value of each objective alone: with two of them, of different configurations."""
    front = best_observed(resolved.problem, log.searched)
    best = [seen.outcome.metrics for seen in front if isinstance(seen.outcome, Measured)]
    for objective in resolved.problem.objectives:
        found = [metrics[objective.metric] for metrics in best]
        if found:
            chosen = min(found) if objective.direction == "minimize" else max(found)
            yield Reading(BEST, chosen, objective.metric)
        if log.default is not None and objective.metric in log.default.metrics:
            yield Reading(DEFAULT, log.default.metrics[objective.metric], objective.metric)
