"""Warm starts: what was searched before, on services like this one, and the same history made misleading."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy.stats import rankdata

from benchmarks.search.cell import Cell, read_steps
from benchmarks.search.services import SERVICES, Scenario
from scoot_ray.history import Traffic, likeness
from scoot_ray.load.formats import read_trace
from scoot_ray.load.traces.census import take_census
from scoot_ray.search import Earlier, Measured, Observation, Problem, taken_in, warm
from scoot_ray.search.space import FloatArray

SOURCE_BUDGET = 30  # observations of each history
_BEFORE = "scoot"  # what searched there, one trial at a time
_LOAD = 0.75  # of today's rate
_OTHER_MODEL: Mapping[str, tuple[str, float, bool]] = {
    "Llama-2-7b-hf": ("Llama-2-13b-hf", 0.6, True),
    "Llama-2-13b-hf": ("Llama-2-7b-hf", 1.6, False),
    "Meta-Llama-3-8B": ("Llama-2-7b-hf", 0.7, False),
    "Meta-Llama-3-70B": ("Mixtral-8x7B-v0.1", 1.5, False),
    "Mixtral-8x7B-v0.1": ("Llama-2-13b-hf", 0.8, False),
}
"""By model: the one that served the application before, its share of today's rate, whether it needs all the GPUs."""

Distortion: TypeAlias = Callable[[Problem, Sequence[Observation], int], Sequence[Observation]]
"""From a problem, a history and a seed to what is told of the history."""


def relatives(scenario: Scenario) -> tuple[Scenario, Scenario]:
    """What was tuned before: the same service at three quarters of its rate, and the application on another model."""
    model, share, large = _OTHER_MODEL[scenario.model]
    other = replace(scenario, name=f"{scenario.name}~model", model=model, rate=round(scenario.rate * share, 2))
    if large:
        other = replace(other, tensor_parallel=scenario.gpus)
    return replace(scenario, name=f"{scenario.name}~rate", rate=round(scenario.rate * _LOAD, 2)), other


def find_scenario(name: str) -> Scenario:
    """A service or a relative of one by its name."""
    service = next(one for one in SERVICES if one.name == name.partition("~")[0])
    return next(one for one in (service, *relatives(service)) if one.name == name)


def sources(cell: Cell) -> tuple[Cell, ...]:
    """The searches whose histories a warm start is told, of another seed; none for any other cell."""
    if cell.tuner not in WARM:
        return ()
    return tuple(Cell(cell.seed + 1, 1, one.name, _BEFORE) for one in relatives(find_scenario(cell.scenario)))


def told(problem: Problem, cell: Cell, journals: Path) -> Problem:
    """The problem as the tuner is told it: with other services' histories in a warm start."""
    found = sources(cell)
    return warm(problem, [_earlier(problem, cell, one, journals) for one in found]) if found else problem


def _earlier(problem: Problem, cell: Cell, source: Cell, journals: Path) -> Earlier:
    here, there = find_scenario(cell.scenario), find_scenario(source.scenario)
    same = here.model == there.model
    alike = likeness(_traffic(here), _traffic(there), same_model=same, same_hardware=True)
    history = [step.observation for step in read_steps(source.path(journals, ".jsonl"))[:SOURCE_BUDGET]]
    if len(history) < SOURCE_BUDGET:
        raise ValueError(f"{source}: its history has {len(history)} of {SOURCE_BUDGET} observations")
    distorted = WARM[cell.tuner](problem, history, cell.seed)
    return taken_in(problem.space, there.name, distorted, alike, same_engine=same)


@cache
def _traffic(scenario: Scenario) -> Traffic:
    census = take_census(read_trace(scenario.trace).requests)
    shared = census.sharing.blocks_seen_before if census.sharing else 0.0
    return Traffic(census.inputs.mean, census.outputs.mean, shared, scenario.rate)


def as_it_was(_problem: Problem, history: Sequence[Observation], _seed: int) -> Sequence[Observation]:
    """Nothing is distorted."""
    return history


def opposite(problem: Problem, history: Sequence[Observation], _seed: int) -> Sequence[Observation]:
    """What was best is told to have been worst, and so on, by the mean rank over the objectives."""
    ran = [(i, costs) for i, o in enumerate(history) if (costs := _costs(problem, o)) is not None]
    if not ran:
        return history
    order = np.argsort(np.mean(rankdata([costs for _, costs in ran], axis=0), axis=1), kind="stable")
    ranked = [ran[place][0] for place in order]
    return _told_of(history, ranked, ranked[::-1])


def shuffled(problem: Problem, history: Sequence[Observation], seed: int) -> Sequence[Observation]:
    """What was measured is told of other configurations among those that ran."""
    ran = [index for index, o in enumerate(history) if _costs(problem, o) is not None]
    return _told_of(history, ran, np.random.default_rng(seed).permutation(ran).tolist())


def _costs(problem: Problem, observation: Observation) -> FloatArray | None:
    outcome = observation.outcome
    return problem.costs(outcome.metrics) if isinstance(outcome, Measured) else None


def _told_of(history: Sequence[Observation], to: Sequence[int], of: Sequence[int]) -> Sequence[Observation]:
    """Outcomes changed about; failures stay where they were, since they are told of the same engine."""
    turned = list(history)
    for index, other in zip(to, of, strict=True):
        turned[index] = replace(history[index], outcome=history[other].outcome)
    return turned


WARM: Mapping[str, Distortion] = {"scoot/related": as_it_was, "scoot/opposite": opposite, "scoot/shuffled": shuffled}
"""``scoot`` with the histories of two relatives: as they were, and as they would mislead most or say nothing."""
