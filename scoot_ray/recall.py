"""A run's study as its folder remembers it: no trace, model, engine or other run is looked for.

So a run can be read on any machine, and goes on being readable when what it was measured with is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoot_ray.history import Traffic, read_pasts
from scoot_ray.load.trace import Trace
from scoot_ray.precheck import check
from scoot_ray.problem import build_problem
from scoot_ray.resolve import Resolved, resolve
from scoot_ray.run_folder import BrokenDocumentError, RunFolder
from scoot_ray.search import warm
from scoot_ray.study import Study, read_study

_KEY = "remembered"


@dataclass(frozen=True, slots=True)
class Recalled(Resolved):
    """A resolved study without its trace's requests, of which only the number is known."""

    remembered: int = 0

    @property
    def requests(self) -> int:
        """How many requests its trace has."""
        return self.remembered


def to_remember(resolved: Resolved) -> dict[str, Any]:
    """What of a resolved study its ``study.yaml`` does not say, as part of ``environment.json``."""
    found = {
        "source": resolved.trace.source,
        "requests": resolved.requests,
        "warnings": list(resolved.warnings),
        "switches": list(resolved.switches),
    }
    return {_KEY: found}


def recall(folder: RunFolder) -> Resolved:
    """The study of a run; of one that remembers too little (older runs) it is resolved anew.

    Raises:
        StudyError: the study cannot be read, or has to be resolved and cannot be.
        BrokenDocumentError: ``environment.json`` is damaged.
    """
    study, environment = read_study(folder.study), folder.environment
    noted: Mapping[str, Any] | None = environment.get(_KEY)
    if noted is None:
        return resolve(study, folder.study)
    try:
        return _recalled(folder, study, environment, noted)
    except (KeyError, TypeError) as error:
        raise BrokenDocumentError(f"{folder.named('environment.json')}: is damaged, at {error}") from error


def _recalled(folder: RunFolder, study: Study, environment: Mapping[str, Any], noted: Mapping[str, Any]) -> Recalled:
    problem = check(study, build_problem(study, None, folder.study), None, folder.study).problem
    pasts = read_pasts(study, Traffic(**environment["traffic"]), folder.study) if study.warm_start else ()
    return Recalled(
        study,
        warm(problem, [past.taken_in(problem.space) for past in pasts]),
        Trace((), noted["source"], environment["trace_sha256"]),
        tuple(noted["warnings"]),
        tuple(noted["switches"]),
        pasts,
        engine_version=environment["engine_version"],
        remembered=noted["requests"],
    )
