"""Other studies' runs, read for a warm start, and how far their services are like this one.

What was read is kept in the new run's folder, so that a resumed run suggests the same whatever becomes of the others.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scoot_ray.engine.kinds import KINDS, VLLM
from scoot_ray.engine.knowledge import translated
from scoot_ray.journal import (
    Journal,
    JournalError,
    observation_from_json,
    observation_to_json,
    trial_from_json,
    trial_to_json,
)
from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats import read_trace
from scoot_ray.load.selection import window
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.census import take_census
from scoot_ray.run_folder import KEPT, RunFolder
from scoot_ray.search import Earlier, Observation, SearchSpace, taken_in
from scoot_ray.storage import PlaceError
from scoot_ray.study import Study, StudyError, read_study

_MOST = 0.9  # even the same service may have changed since
_OTHER = 0.7  # factor of another model, of other hardware, of a workload nobody can compare


@dataclass(frozen=True, slots=True)
class Traffic:
    """A workload in four figures: mean tokens, blocks of the prompts seen before (a share), requests per second."""

    input_tokens: float
    output_tokens: float
    shared: float
    rate: float | None


@dataclass(frozen=True, slots=True)
class Past:
    """Another study's observations, with the flags that were fixed there as part of each configuration."""

    name: str
    observations: tuple[Observation, ...]
    similarity: float
    same_engine: bool

    def taken_in(self, space: SearchSpace) -> Earlier:
        """The same in another space."""
        return taken_in(space, self.name, self.observations, self.similarity, same_engine=self.same_engine)


def traffic_of(study: Study, requests: Sequence[Request]) -> Traffic:
    """The figures of a study's trace and its arrivals."""
    census = take_census(requests)
    arrivals = study.workload.arrivals
    recorded = census.arrivals.mean_rate * arrivals.time_scale if census.arrivals else None
    shared = census.sharing.blocks_seen_before if census.sharing else 0.0
    rate = recorded if arrivals.process == "recorded" else arrivals.rate
    return Traffic(census.inputs.mean, census.outputs.mean, shared, rate)


def read_pasts(study: Study, traffic: Traffic, where: Path) -> tuple[Past, ...]:
    """The runs that ``warm_start`` names; in a run's own folder (``where`` is its study) what was kept of them there.

    Raises:
        StudyError: one of them is no run, or cannot be read.
    """
    kept = where.parent / KEPT
    if study.warm_start and kept.is_file():
        return tuple(_past_from_json(entry) for entry in json.loads(kept.read_bytes()))
    return tuple(_read_past(study, traffic, path, where) for path in study.warm_start)


def pasts_to_json(pasts: Sequence[Past]) -> list[dict[str, Any]]:
    """What is kept of other studies."""
    return [
        {
            "name": past.name,
            "similarity": past.similarity,
            "same_engine": past.same_engine,
            "trials": [trial_to_json(seen.trial) for seen in past.observations],
            "observations": [observation_to_json(seen) for seen in past.observations],
        }
        for past in pasts
    ]


def _past_from_json(entry: Mapping[str, Any]) -> Past:
    trials = tuple(trial_from_json(trial) for trial in entry["trials"])
    observations = tuple(observation_from_json(seen, trials) for seen in entry["observations"])
    return Past(entry["name"], observations, entry["similarity"], entry["same_engine"])


def _read_past(study: Study, traffic: Traffic, path: str, where: Path) -> Past:
    try:
        folder = RunFolder(path)
        if not folder.is_run or not folder.has_events:
            raise StudyError(f"{where}: warm_start: {path}: not the folder of a run (it has no study.yaml and journal)")
        other, log = read_study(folder.study), Journal(folder.journal).replay()
    except (JournalError, PlaceError, OSError) as error:
        raise StudyError(f"{where}: warm_start: {error}") from error
    version = other.engine.version or folder.environment.get("engine_version")
    observations = tuple(_with_fixed_flags(other, seen, version) for seen in (*log.searched, *log.confirmed))
    likeness = similarity(study, traffic, other, _traffic_there(other, folder))
    return Past(other.name, observations, likeness, _same_engine(study, other))


def _with_fixed_flags(study: Study, seen: Observation, version: str | None) -> Observation:
    """The observation with all that was set there, under the names and defaults of any version of the engine."""
    config = {**study.engine.args, **seen.trial.config}
    if KINDS[study.engine.kind] is VLLM:
        config = translated(config, version)
    return replace(seen, trial=replace(seen.trial, config=config))


def _traffic_there(study: Study, folder: RunFolder) -> Traffic | None:
    """As the run noted it, or else from its trace; None where that is not here."""
    if figures := folder.environment.get("traffic"):
        return Traffic(**figures)
    try:
        trace = read_trace(study.workload.trace)
        return traffic_of(study, window(trace.requests, study.workload.skip_rows, study.workload.rows))
    except (LoadError, OSError):
        return None


def similarity(here: Study, traffic: Traffic, there: Study, other: Traffic | None) -> float:
    """How far another service is like this one by model, hardware and workload: from 0 to 0.9."""
    same_model, same_hardware = here.engine.model == there.engine.model, _hardware(here) == _hardware(there)
    return likeness(traffic, other, same_model=same_model, same_hardware=same_hardware)


def likeness(here: Traffic, there: Traffic | None, *, same_model: bool, same_hardware: bool) -> float:
    """``similarity`` from what it depends on."""
    model, hardware = (1.0 if same else _OTHER for same in (same_model, same_hardware))
    return _MOST * model * hardware * (_OTHER if there is None else _alike(here, there))


def _alike(one: Traffic, other: Traffic) -> float:
    """1 for equal traffic; e⁻¹ where lengths and rate differ by a factor of e on average."""
    pairs = [(one.input_tokens, other.input_tokens), (one.output_tokens, other.output_tokens)]
    if one.rate is not None and other.rate is not None:
        pairs.append((one.rate, other.rate))
    apart = [abs(math.log(max(a, 1e-9) / max(b, 1e-9))) for a, b in pairs]
    return math.exp(-sum(apart) / len(apart) - abs(one.shared - other.shared))


def _hardware(study: Study) -> tuple[object, ...]:
    return (study.engine.kind, study.engine.hardware, study.gpus, study.resources.accelerator)


def _same_engine(here: Study, there: Study) -> bool:
    """Whether what failed there must be expected to fail here."""
    same = [
        (study.engine.model, study.engine.version, study.engine.args, study.engine.command, _hardware(study))
        for study in (here, there)
    ]
    return same[0] == same[1]
