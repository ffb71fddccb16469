"""What a run offers to choose from: confirmed configurations, else the front of the search, with their figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from scoot_ray.inference import CONFIDENCE, ByOrder, mean, prediction_bound
from scoot_ray.search import SLO, Objective, pareto


@dataclass(frozen=True, slots=True)
class Candidate:
    """A configuration to choose. ``runs`` are the confirmation's metrics, or the search's single measurement.

    ``orders`` are the runs' arrival orders; ``compared`` is among how many finalists it was selected: bounds allow for
    that.
    """

    config: Mapping[str, Any]
    label: str
    confirmed: bool
    runs: Sequence[Mapping[str, float]]
    orders: Sequence[int] = (0,)
    compared: int = 1

    def mean(self, metric: str) -> float | None:
        """The mean over runs; None where it was not measured."""
        values = self._values(metric)
        return mean(values) if values else None

    def held(self, slo: SLO) -> float | None:
        """What can be promised of the SLO's metric: the bound for a further run, or what the search measured."""
        values = self._values(slo.metric)
        if not self.confirmed:
            return values[0] if values else None
        error = (1 - CONFIDENCE) / self.compared
        return prediction_bound(values, 1 if slo.is_ceiling else -1, error) if values else None

    def by_order(self, metric: str) -> ByOrder:
        """The metric under each arrival order."""
        pairs = zip(self.orders, self.runs, strict=True)
        return {order: run[metric] for order, run in pairs if metric in run}

    def _values(self, metric: str) -> list[float]:
        found = [run[metric] for run in self.runs if metric in run]
        return found if len(found) == len(self.runs) else []


@dataclass(frozen=True, slots=True)
class Offer:
    """The candidates of a run, and what they are measured against (what runs today, where it could be measured)."""

    objectives: Sequence[Objective]
    confirmed: Sequence[Candidate]
    searched: Sequence[Candidate]
    today: Candidate | None = field(default=None)

    @property
    def preferred(self) -> Sequence[Candidate]:
        """The confirmed ones, where there are any."""
        return self.confirmed or self.searched


def offer_of(result: Mapping[str, Any]) -> Offer:
    """Read a result document."""
    objectives = [Objective(one["metric"], one["direction"]) for one in result["objectives"]]
    finalists = sum(standing["role"] == "finalist" for standing in result["confirmation"])
    sound = [one for one in result["confirmation"] if one["failure"] is None and one["runs"]]
    confirmed = [_confirmed(one, finalists) for one in sound]
    known = {_key(one["config"]) for one in result["confirmation"]}
    searched = [_searched(one) for one in result["front"] if _key(one["config"]) not in known]
    by_role = {one["role"]: candidate for one, candidate in zip(sound, confirmed, strict=True)}
    measured = [one for one in (result["baseline"], result["default"]) if one is not None and "metrics" in one]
    today = by_role.get("baseline") or by_role.get("default") or (_searched(measured[0]) if measured else None)
    return Offer(objectives, confirmed, searched, today)


def front(candidates: Sequence[Candidate], objectives: Sequence[Objective]) -> list[Candidate]:
    """Those that no other is better than in every objective, by their means."""
    measured = [one for one in candidates if all(one.mean(objective.metric) is not None for objective in objectives)]
    if not measured:
        return []
    costs = np.array(
        [[objective.sign * (one.mean(objective.metric) or 0.0) for objective in objectives] for one in measured]
    )
    return [measured[at] for at in pareto(costs)]


def _confirmed(standing: Mapping[str, Any], finalists: int) -> Candidate:
    compared = finalists if standing["role"] == "finalist" else 1
    runs = [run["metrics"] for run in standing["runs"]]
    orders = [run["order"] for run in standing["runs"]]
    return Candidate(standing["config"], standing["role"], True, runs, orders, compared)


def _searched(seen: Mapping[str, Any]) -> Candidate:
    return Candidate(seen["config"], f"trial {seen['trial']}", confirmed=False, runs=[seen["metrics"]])


_key = partial(json.dumps, sort_keys=True)
