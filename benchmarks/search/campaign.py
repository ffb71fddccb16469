"""All cells on all cores: what is there already is taken up, whatever fails is said and tried again next time.

A folder has ``services.json`` (what the services were), ``kinds/SERVICE.json`` (how much of the space cannot be used),
``best_known/SERVICE.json`` (what a long search found without noise), ``cells/SERVICE/TUNER/pdP-seedS.jsonl`` (the
trials) and ``judged/SERVICE/TUNER/pdP-seedS.json`` (what was recommended after how many of them, without noise);
``failed`` has tracebacks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

from benchmarks.search.best_known import Point, Survey, survey
from benchmarks.search.cell import Cell, play, read_steps
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.feasible import POINTS, Kind, kind_of
from benchmarks.search.files import read_json, write_json
from benchmarks.search.judgement import judge, read_judgement, write_judgement
from benchmarks.search.pool import Progress, Task, locked, run_tasks
from benchmarks.search.relatives import SOURCE_BUDGET, find_scenario, sources, told
from benchmarks.search.services import Scenario
from scoot_ray.search import Failed


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

    def sources(self) -> list[Cell]:
        """The searches of other services that warm starts are told of."""
        return sorted({source for cell in self.cells() for source in sources(cell)})


def run(campaign: Campaign, jobs: int) -> Iterator[Progress]:
    """Run what is missing, ``jobs`` processes at a time; yield as tasks end.

    Raises:
        FolderInUse: by another run.
        OtherServices: the folder was made with services that are different by now.
    """
    with locked(campaign.folder):
        _claim(campaign)
        for tasks in _stages(campaign):
            yield from run_tasks(campaign.folder, tasks, jobs)


def _stages(campaign: Campaign) -> tuple[list[Task], ...]:
    """Warm starts need the histories of others, and so come second."""
    folder = campaign.folder
    surveys = [Task(f"{one.name}  kind", _kind, (folder, one.name, campaign.survey)) for one in campaign.scenarios]
    surveys += [
        Task(f"{one.name}  best known", _survey, (folder, one.name, campaign.survey)) for one in campaign.scenarios
    ]
    before = [Task(f"{cell}  (a history)", _run_source, (folder, cell)) for cell in campaign.sources()]
    cells = [(Task(str(cell), _run_cell, (folder, cell, campaign.budget)), sources(cell)) for cell in campaign.cells()]
    cold = [task for task, needed in cells if not needed]
    warm = [task for task, needed in cells if needed]
    return ([*surveys, *before, *cold], warm) if warm else ([*surveys, *cold],)


def read_survey(folder: Path, name: str) -> Survey | None:
    """What is known of a service; None if nothing is."""
    document = read_json(folder / "best_known" / f"{name}.json")
    if document is None:
        return None
    return Survey(
        Point(**document["default"]), tuple(Point(**one) for one in document["best"]), document["evaluations"]
    )


def read_kind(folder: Path, name: str) -> Kind | None:
    """What was counted of a service; None if nothing was."""
    document = read_json(folder / "kinds" / f"{name}.json")
    return None if document is None else Kind(**document)


def _claim(campaign: Campaign) -> None:
    """Write down what the services are; refuse a folder in which they were others."""
    path = campaign.folder / "services.json"
    before = read_json(path) or {}
    others = [find_scenario(cell.scenario) for cell in campaign.sources()]
    now = json.loads(json.dumps({one.name: asdict(one) for one in (*campaign.scenarios, *others)}))
    if changed := [name for name in now if before.get(name, now[name]) != now[name]]:
        raise OtherServices(f"{path}: {changed[0]} is another service by now; choose a new folder")
    write_json(path, {**before, **now})


@lru_cache(maxsize=4)
def _evaluator(name: str) -> Evaluator:
    return Evaluator(find_scenario(name))


def _kind(folder: Path, name: str, most: int) -> str:
    """What kind of service one is, unless it is known."""
    if read_kind(folder, name) is None:
        write_json(folder / "kinds" / f"{name}.json", asdict(kind_of(_evaluator(name), min(POINTS, most))))
    return "counted"


def _survey(folder: Path, name: str, evaluations: int) -> str:
    """One service's long search; one that is there is kept if it was as long."""
    known = read_survey(folder, name)
    if known is None or known.evaluations < evaluations:
        known = survey(_evaluator(name), evaluations)
        write_json(folder / "best_known" / f"{name}.json", {"simulated": True, **asdict(known)})
    return f"{known.evaluations} evaluations"


def _run_source(folder: Path, cell: Cell) -> str:
    """A search that nothing but its history is wanted of."""
    began_s = time.monotonic()
    steps = play(cell, _evaluator(cell.scenario), SOURCE_BUDGET, cell.path(folder / "cells", ".jsonl"))
    return f"{len(steps)} observations, {time.monotonic() - began_s:.0f} s"


def _run_cell(folder: Path, cell: Cell, budget: int) -> str:
    """One cell and its judgement."""
    began_s = time.monotonic()
    journal, judged = cell.path(folder / "cells", ".jsonl"), cell.path(folder / "judged", ".json")
    known = read_judgement(judged)
    if known is not None and budget in known.recommended:
        steps = read_steps(journal)[:budget]
    else:
        evaluator = _evaluator(cell.scenario)
        steps = play(cell, evaluator, budget, journal, told(evaluator.problem, cell, folder / "cells"))
        write_judgement(judge(cell.tuner, evaluator, steps, budget), judged)
    failures = sum(isinstance(step.outcome, Failed) for step in steps)
    return f"{len(steps)} observations, {failures} failed, {time.monotonic() - began_s:.0f} s"
