"""All cells on all cores: what is there already is taken up, whatever fails is said and tried again next time.

A folder has ``services.json`` (what the services were), ``best_known/SERVICE.json`` (what a long search found without
noise), ``cells/SERVICE/TUNER/pdP-seedS.jsonl`` (the trials) and ``judged/SERVICE/TUNER/pdP-seedS.json`` (what was
recommended after how many of them, without noise); ``failed`` has tracebacks.
"""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

from benchmarks.search.best_known import Point, Survey, survey
from benchmarks.search.cell import Cell, play, read_steps
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.files import write_json
from benchmarks.search.judgement import judge, read_judgement, write_judgement
from benchmarks.search.services import SERVICES, Scenario
from scoot_ray.search import Failed
from scoot_ray.sweep import begin_worker

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class FolderInUse(RuntimeError):  # noqa: N818 - says what is wrong
    """Another process runs cells into the same folder."""


class OtherServices(ValueError):  # noqa: N818 - says what is wrong
    """The folder holds results of services that have changed since."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """What is run, and into which folder; ``survey`` counts the evaluations of each service's long search."""

    folder: Path
    scenarios: Sequence[Scenario]
    tuners: Sequence[str]
    seeds: int
    parallels: Sequence[int]
    budget: int
    survey: int

    def cells(self) -> list[Cell]:
        """Every cell, the first seeds of all first."""
        names = [scenario.name for scenario in self.scenarios]
        return sorted(Cell(*one) for one in product(range(self.seeds), self.parallels, names, self.tuners))


@dataclass(frozen=True, slots=True)
class Progress:
    """A task that ended: a line about it, and whether it failed."""

    line: str
    failed: bool


def run(campaign: Campaign, jobs: int) -> Iterator[Progress]:
    """Run what is missing, ``jobs`` processes at a time; yield as tasks end.

    Raises:
        FolderInUse: by another run.
        OtherServices: the folder was made with services that are different by now.
    """
    with _locked(campaign.folder):
        _claim(campaign)
        yield from _run_all(campaign, jobs)


def _run_all(campaign: Campaign, jobs: int) -> Iterator[Progress]:
    for name in _ONE_THREAD:  # of the processes started from here
        os.environ[name] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=begin_worker, initargs=(os.getpid(),)) as pool:
        running = {
            pool.submit(_survey, campaign.folder, one.name, campaign.survey): f"{one.name}  best known"
            for one in campaign.scenarios
        }
        running |= {
            pool.submit(_run_cell, campaign.folder, cell, campaign.budget): str(cell) for cell in campaign.cells()
        }
        try:
            for number, done in enumerate(as_completed(running), start=1):
                error, name = done.exception(), running[done]
                said = done.result() if error is None else _noted(campaign.folder, name, error)
                yield Progress(f"{number:>5} of {len(running)}  {name}  {said}", error is not None)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _noted(folder: Path, name: str, error: BaseException) -> str:
    """What went wrong, in a line; all of it goes to a file."""
    path = folder / "failed" / f"{name.replace('  ', ' ').replace(' ', '-')}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"failed: {type(error).__name__}, see {path}"


def read_survey(folder: Path, name: str) -> Survey | None:
    """What is known of a service; None if nothing is."""
    path = folder / "best_known" / f"{name}.json"
    if not path.exists():
        return None
    document = json.loads(path.read_text(encoding="utf-8"))
    return Survey(
        Point(**document["default"]), tuple(Point(**one) for one in document["best"]), document["evaluations"]
    )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two writers would spoil each other's journals."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"{folder}: another run is at work there; wait for it or choose another folder") from None
        yield


def _claim(campaign: Campaign) -> None:
    """Write down what the services are; refuse a folder in which they were others."""
    path = campaign.folder / "services.json"
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    now = json.loads(json.dumps({one.name: asdict(one) for one in campaign.scenarios}))
    if changed := [name for name in now if before.get(name, now[name]) != now[name]]:
        raise OtherServices(f"{path}: {changed[0]} is another service by now; choose a new folder")
    write_json(path, {**before, **now})


@lru_cache(maxsize=4)
def _evaluator(name: str) -> Evaluator:
    return Evaluator(next(one for one in SERVICES if one.name == name))


def _survey(folder: Path, name: str, evaluations: int) -> str:
    """One service's long search; one that is there is kept if it was as long."""
    known = read_survey(folder, name)
    if known is None or known.evaluations < evaluations:
        known = survey(_evaluator(name), evaluations)
        write_json(folder / "best_known" / f"{name}.json", {"simulated": True, **asdict(known)})
    return f"{known.evaluations} evaluations"


def _run_cell(folder: Path, cell: Cell, budget: int) -> str:
    """One cell and its judgement."""
    began_s = time.monotonic()
    journal, judged = cell.path(folder / "cells", ".jsonl"), cell.path(folder / "judged", ".json")
    known = read_judgement(judged)
    if known is not None and budget in known.recommended:
        steps = read_steps(journal)[:budget]
    else:
        steps = play(cell, _evaluator(cell.scenario), budget, journal)
        write_judgement(judge(_evaluator(cell.scenario), steps, budget), judged)
    failures = sum(isinstance(step.outcome, Failed) for step in steps)
    return f"{len(steps)} observations, {failures} failed, {time.monotonic() - began_s:.0f} s"
