"""CPU seconds of a suggestion on one core, after 30 and 200 observations, for 1 and 8 trials at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.search.best_known import changed
from benchmarks.search.cell import warm_up
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.files import read_json, write_json
from benchmarks.search.markdown import table
from benchmarks.search.pool import Progress, Task, locked, run_tasks
from benchmarks.search.relatives import find_scenario
from scoot_ray.search import Config, Observation, Origin, Problem, Trial, recommend, suggest
from scoot_ray.search.sampling import unseen

SERVICES = ("bot-13b-2a10", "sql-8b-2l4", "rec-70b-4h100", "bot-7b-2a10")
"""Two objectives on 9 parameters and on 11, one objective on 11, and one with an SLO on 9."""
_OBSERVATIONS = (30, 200)
_DRAWN = 0.3  # of the observations; the others are near the best, as a search's are
_FOLDER = "speed"


@dataclass(frozen=True, slots=True)
class Case:
    """A call: so many suggestions while so many others run."""

    name: str
    wanted: int
    running: int


_CASES = (Case("PD 1", 1, 0), Case("PD 8, one slot free", 1, 7), Case("PD 8, all slots free", 8, 0))


def measure_speed(folder: Path, tuner: str, seeds: int) -> Iterator[Progress]:
    """Time what has not been timed, one after the other.

    Raises:
        FolderInUse: by another run.
    """
    cases = product(SERVICES, _OBSERVATIONS, range(seeds))
    tasks = [Task(f"{name}  {n}  seed {seed}", _time, (folder, tuner, name, n, seed)) for name, n, seed in cases]
    with locked(folder):
        yield from run_tasks(folder, tasks, jobs=1)


def _time(folder: Path, tuner: str, name: str, count: int, seed: int) -> str:
    path = folder / _FOLDER / tuner / f"{name}-{count}-seed{seed}.json"
    if path.exists():
        return "known"
    evaluator = Evaluator(find_scenario(name))
    history = searched(evaluator, count, seed)
    warm_up(tuner)
    took_s = {case.name: _one(tuner, evaluator.problem, history, case, seed) for case in _CASES}
    write_json(path, {"simulated": True, "observations": count, "seconds": took_s})
    return ", ".join(f"{case}: {seconds:.2f} s" for case, seconds in took_s.items())


def _one(tuner: str, problem: Problem, history: Sequence[Observation], case: Case, seed: int) -> float:
    """CPU seconds of a call."""
    running = suggest("random", problem, history, (), case.running, seed, len(history))
    pending = [one.config for one in running]
    began_s = time.process_time()
    suggest(tuner, problem, history, pending, case.wanted, seed, len(history) + len(pending))
    return time.process_time() - began_s


def searched(evaluator: Evaluator, count: int, seed: int) -> list[Observation]:
    """A history as a search leaves it: the default, points everywhere, then points near the best so far."""
    problem = evaluator.problem
    space, rng = problem.space, np.random.default_rng(seed)
    points = unseen(space, (), seed)
    history: list[Observation] = []

    def look(config: Config, origin: Origin) -> None:
        known = {space.key(o.trial.config) for o in history}
        if space.allows(config) and space.key(config) not in known:
            outcome = evaluator.evaluate(config, (seed, len(history))).outcome
            history.append(Observation(Trial(len(history), config, origin), outcome, "simulated"))

    look(space.default or {}, Origin.DEFAULT)
    while len(history) < _DRAWN * count:
        look(next(points), Origin.INITIAL)
    while len(history) < count:
        best = [o.trial.config for o in recommend(problem, history)]
        look(changed(space, best, rng), Origin.MODEL)
    return history


def speed_table(folder: Path) -> list[str]:
    """Median and longest CPU seconds by tuner, observations and case, over the services and seeds."""
    found: dict[tuple[str, int, str], list[float]] = {}
    for path in sorted((folder / _FOLDER).rglob("*.json")):
        document = read_json(path)
        for case, seconds in document["seconds"].items():
            found.setdefault((path.parent.name, document["observations"], case), []).append(seconds)
    rows = [
        [tuner, str(count), case, str(len(took_s)), f"{np.median(took_s):.2f}", f"{max(took_s):.2f}"]
        for (tuner, count, case), took_s in sorted(found.items())
    ]
    return table(["tuner", "observations", "a call", "calls", "median CPU s", "longest"], rows)
