"""Trials and observations as JSON, there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite
from typing import Any

from scoot_ray.journal.event import JournalError
from scoot_ray.search.trial import Bounded, Failed, FailureKind, Measured, Observation, Origin, Outcome, Trial


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """A trial as JSON."""
    document: dict[str, Any] = {
        "id": trial.id,
        "config": dict(trial.config),
        "origin": trial.origin.value,
        "orders": list(trial.orders),
    }
    return {**document, "to_beat": [list(one) for one in trial.to_beat]} if trial.to_beat else document


def trial_from_json(data: Mapping[str, Any]) -> Trial:
    """Read back what trial_to_json wrote."""
    beaten = tuple(tuple(one) for one in data.get("to_beat", ()))
    return Trial(data["id"], data["config"], Origin(data["origin"]), tuple(data["orders"]), beaten)


def observation_to_json(observation: Observation) -> dict[str, Any]:
    """An observation as JSON, its trial by id alone."""
    return {
        "trial": observation.trial.id,
        "outcome": _outcome_to_json(observation.outcome),
        "where": observation.where,
        "timings": dict(observation.timings),
    }


def observation_from_json(data: Mapping[str, Any], trials: tuple[Trial, ...]) -> Observation:
    """Read back what observation_to_json wrote.

    Raises:
        JournalError: the trial is not among ``trials``.
    """
    trial = next((trial for trial in trials if trial.id == data["trial"]), None)
    if trial is None:
        raise JournalError(f"an outcome names trial {data['trial']}, which was never submitted")
    return Observation(trial, _outcome(data["outcome"]), data["where"], data["timings"])


def bounds_to_json(bounds: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """Bounds as JSON, which has no infinity: an end that is not bounded is null."""
    return {name: [end if isfinite(end) else None for end in pair] for name, pair in bounds.items()}


def _bounds(data: Mapping[str, Sequence[float | None]]) -> dict[str, tuple[float, float]]:
    return {name: (-inf if low is None else low, inf if high is None else high) for name, (low, high) in data.items()}


def _outcome_to_json(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Measured():
            return {"measured": dict(outcome.metrics), "runs": [dict(run) for run in outcome.runs]}
        case Bounded():
            return {"bounded": bounds_to_json(outcome.bounds), "reason": outcome.reason}
        case Failed():
            return {
                "failed": outcome.kind.value,
                "detail": outcome.detail,
                "of_configuration": outcome.kind.of_configuration,
                "ambiguous": outcome.ambiguous,
            }


def _outcome(data: Mapping[str, Any]) -> Outcome:
    if "measured" in data:
        return Measured(data["measured"], tuple(data["runs"]))
    if "bounded" in data:
        return Bounded(_bounds(data["bounded"]), data["reason"])
    return _failed(data)


def _failed(data: Mapping[str, Any]) -> Failed:
    """Read a failure; of a kind that a newer version knows, it still says whose fault it was."""
    kind, detail, ambiguous = data["failed"], data["detail"], data.get("ambiguous", False)
    if kind in set(FailureKind):
        return Failed(FailureKind(kind), detail, ambiguous)
    nearest = FailureKind.CRASHED if data.get("of_configuration") else FailureKind.INTERNAL
    return Failed(nearest, f"{kind}: {detail}", ambiguous)
