"""What there is to see of a run at one moment: values for ``frame``, gathered from the log and the slots. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from scoot_ray.confirm import starts
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.results.live.picture import Picture, picture_of
from scoot_ray.results.live.progress import remaining_s
from scoot_ray.results.report.text import config_text, named, percent
from scoot_ray.search import Bounded, Failed, Measured, Metrics, Observation, Trial, threshold

LATEST = 12  # evaluations that have ended, at most


class Activity(Protocol):
    """What one slot is doing."""

    @property
    def trial(self) -> Trial:
        """The trial in the slot."""

    @property
    def phase(self) -> str:
        """What is being done with it."""

    @property
    def since_s(self) -> float:
        """For how long."""

    @property
    def where(self) -> str:
        """On which host."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot at work. ``config`` is what differs from the default."""

    trial: int
    origin: str
    phase: str
    since_s: float
    where: str
    config: str


@dataclass(frozen=True, slots=True)
class Figure:
    """One objective of the best: its value, and its change against what was measured of another configuration."""

    label: str
    value: str
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Best:
    """The search's recommendation: not confirmed, and so optimistic. ``keeps_slos`` is None where there are none."""

    trial: int
    front: int
    figures: tuple[Figure, ...]
    config: str
    keeps_slos: bool | None


@dataclass(frozen=True, slots=True)
class Tally:
    """Failures of one kind, with the last one's line. ``ours``: the machines', which are tried again."""

    kind: str
    count: int
    last: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """All of it. ``note`` says what the state alone does not, such as how long nothing was heard."""

    study: str
    simulated: bool
    tuner: str
    state: str
    note: str
    observations: int
    budget: int
    outcomes: str
    confirmed: int
    confirmations: int
    running_s: float
    left_s: float
    gpu_hours: float | None
    threshold: float
    parallelism: int
    slots: tuple[Slot, ...]
    best: Best | None
    failures: tuple[Tally, ...]
    picture: Picture | None
    warnings: tuple[str, ...]
    latest: tuple[str, ...]


def scene_of(
    resolved: Resolved,
    log: Log,
    activities: Sequence[Activity],
    recommended: Sequence[Observation],
    running_s: float,
    note: str = "",
) -> Scene:
    """What there is to see. ``recommended`` is what ``recommend`` gave for this log or an earlier one."""
    study, searched = resolved.study, log.searched
    return Scene(
        study.name,
        study.engine.simulated,
        study.tuner,
        _state(log),
        note,
        len(searched),
        study.budget.observations,
        _outcomes(searched),
        len(log.confirmed),
        starts(resolved.problem, study.confirmation),
        running_s,
        remaining_s(resolved, log),
        log.held_s * study.gpus / 3600 if study.gpus else None,
        threshold(searched),
        study.parallelism.max,
        tuple(_slot(one, resolved) for one in activities),
        _best(resolved, log, recommended),
        _failures(log),
        picture_of(resolved.problem, searched, recommended),
        resolved.warnings,
        tuple(_briefly(seen, resolved) for seen in log.observations[-LATEST:]),
    )


def _state(log: Log) -> str:
    if log.confirming:
        return "confirming"
    return "searching" if log.trials else "starting"


def _outcomes(searched: Sequence[Observation]) -> str:
    kinds = Counter(type(seen.outcome) for seen in searched)
    told = {Measured: "measured", Bounded: "ended early", Failed: "failed"}
    return ", ".join(f"{kinds[kind]} {word}" for kind, word in told.items() if kinds[kind])


def _slot(one: Activity, resolved: Resolved) -> Slot:
    config = config_text(one.trial.config, resolved.problem.space.default) or "as the default"
    return Slot(one.trial.id, one.trial.origin.value, one.phase, one.since_s, one.where, config)


def _best(resolved: Resolved, log: Log, recommended: Sequence[Observation]) -> Best | None:
    if not recommended or not isinstance(recommended[0].outcome, Measured):
        return None
    best, problem = recommended[0], resolved.problem
    metrics = recommended[0].outcome.metrics
    return Best(
        best.trial.id,
        len(recommended),
        tuple(_figure(objective.metric, metrics, _others(resolved, log, best)) for objective in problem.objectives),
        config_text(best.trial.config, problem.space.default) or "as the default",
        problem.meets_slos(metrics) if problem.slos else None,
    )


def _others(resolved: Resolved, log: Log, best: Observation) -> dict[str, Metrics]:
    """What the best is set against, by name: the default and the baseline, where they were measured."""
    configs = {"default": resolved.problem.space.default, "baseline": resolved.problem.baseline}
    return {
        name: seen.outcome.metrics
        for name, config in configs.items()
        for seen in log.searched
        if config is not None
        and seen.trial.config == config != best.trial.config
        and isinstance(seen.outcome, Measured)
    }


def _figure(metric: str, metrics: Metrics, others: dict[str, Metrics]) -> Figure:
    name = named(metric)
    changes = tuple(
        f"{percent(metrics[metric] / was - 1, signed=True)} vs {other}"
        for other, before in others.items()
        if metric in metrics and (was := before.get(metric))
    )
    return Figure(name.label, name.quantity(metrics.get(metric)), changes)


def _failures(log: Log) -> tuple[Tally, ...]:
    """Kinds in the order of their last appearance, those that count first."""
    counted = _tallies([seen.outcome for seen in log.observations if isinstance(seen.outcome, Failed)], ours=False)
    ours = _tallies([seen.outcome for seen in log.setbacks if isinstance(seen.outcome, Failed)], ours=True)
    return (*counted, *ours)


def _tallies(failures: Sequence[Failed], *, ours: bool) -> list[Tally]:
    counts = Counter(one.kind for one in failures)
    last = {one.kind: one.detail for one in failures}
    return [Tally(kind.value, count, last[kind], ours) for kind, count in counts.most_common()]


def _briefly(seen: Observation, resolved: Resolved) -> str:
    """An evaluation that has ended, its outcome first."""
    return f"{seen.trial.id} {seen.trial.origin.value}: {_told(seen, resolved)}"


def _told(seen: Observation, resolved: Resolved) -> str:
    match seen.outcome:
        case Measured(metrics=metrics):
            names = [objective.metric for objective in resolved.problem.objectives]
            return ", ".join(f"{named(name).label} {named(name).quantity(metrics.get(name))}" for name in names)
        case Bounded(reason=reason):
            return f"ended early: {reason}"
        case Failed(kind=kind, detail=detail):
            return f"{kind.value}: {detail}"
