"""One tuner on one service from one seed: trials in virtual time, in as many slots as there are, journalled.

The journal has a JSON line for each trial in the order submitted, so that its first n lines are the run with a budget
of n. A run is taken up, or made longer, by going through its journal again: suggestions depend on nothing else.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.search.evaluation import Evaluator
from benchmarks.search.variants import base, propose_next
from scoot_ray.search import (
    Failed,
    FailureKind,
    Integer,
    Measured,
    Objective,
    Observation,
    Origin,
    Outcome,
    Problem,
    SearchSpace,
    Trial,
    make_tuner,
)


@dataclass(frozen=True, slots=True, order=True)
class Cell:
    """What is run: ``parallel`` trials at a time (the paper's PD)."""

    seed: int
    parallel: int
    scenario: str
    tuner: str

    def path(self, folder: Path, suffix: str) -> Path:
        """Where a document about it stands."""
        return folder / self.scenario / self.tuner / f"pd{self.parallel}-seed{self.seed}{suffix}"

    @classmethod
    def of(cls, path: Path, folder: Path) -> Cell:
        """The cell that a document in a folder is about."""
        parallel, seed = path.name.partition(".")[0].removeprefix("pd").split("-seed")
        scenario, *tuner = path.parent.relative_to(folder).parts
        return cls(int(seed), int(parallel), scenario, "/".join(tuner))

    def __str__(self) -> str:
        return f"{self.scenario}  {self.tuner}  seed {self.seed}  pd {self.parallel}"


@dataclass(frozen=True, slots=True)
class Step:
    """One trial with its outcome: virtual seconds of its beginning and end, CPU seconds spent on suggesting it."""

    trial: Trial
    outcome: Outcome
    began_s: float
    ended_s: float
    suggested_s: float

    @property
    def observation(self) -> Observation:
        """As the search sees it."""
        return Observation(self.trial, self.outcome, "simulated")

    def to_json(self) -> str:
        """One line."""
        outcome: Mapping[str, Any]
        match self.outcome:
            case Failed(kind=kind, detail=detail):
                outcome = {"failed": kind.value, "detail": detail}
            case Measured(metrics=metrics):
                outcome = {"metrics": dict(metrics)}
            case _:
                raise TypeError(f"{self.outcome}: no outcome of a simulation")
        head = {"simulated": True, "trial": self.trial.id, "origin": self.trial.origin.value}
        times = {"began_s": self.began_s, "ended_s": self.ended_s, "suggested_s": self.suggested_s}
        return json.dumps({**head, "config": dict(self.trial.config), **outcome, **times})

    @classmethod
    def from_json(cls, line: str) -> Step:
        """The inverse of ``to_json``."""
        data = json.loads(line)
        trial = Trial(data["trial"], data["config"], Origin(data["origin"]))
        outcome = Failed(FailureKind(data["failed"]), data["detail"]) if "failed" in data else Measured(data["metrics"])
        return cls(trial, outcome, data["began_s"], data["ended_s"], data["suggested_s"])


def read_steps(path: Path) -> tuple[Step, ...]:
    """The trials journalled so far; a last line that was cut off is left out."""
    if not path.exists():
        return ()
    lines = path.read_text(encoding="utf-8").split("\n")
    return tuple(Step.from_json(line) for line in lines[:-1])


def finished(steps: Sequence[Step], now_s: float = float("inf")) -> tuple[Observation, ...]:
    """The observations made by a virtual time, in the order they ended."""
    done = sorted((step for step in steps if step.ended_s <= now_s), key=lambda step: (step.ended_s, step.trial.id))
    return tuple(step.observation for step in done)


def play(
    cell: Cell, evaluator: Evaluator, budget: int, journal: Path, problem: Problem | None = None
) -> tuple[Step, ...]:
    """Run a cell to its budget, or take it up; return its trials. Fewer than the budget where the space is exhausted.

    Whenever a slot is free in virtual time, the tuner is asked, and told what is still running. ``problem`` is as the
    tuner is told it, the service's own unless given.
    """
    warm_up(base(cell.tuner))
    problem = evaluator.problem if problem is None else problem
    _mend(journal)
    known = read_steps(journal)
    steps: tuple[Step, ...] = ()
    now_s = 0.0
    with journal.open("a", encoding="utf-8") as file:
        while len(steps) < budget:
            free = cell.parallel - sum(step.ended_s > now_s for step in steps)
            wanted = min(free, budget - len(steps))
            taken = known[len(steps) : len(steps) + wanted]
            fresh = _submit(cell, evaluator, problem, steps + taken, wanted - len(taken), now_s)
            file.write("".join(step.to_json() + "\n" for step in fresh))
            file.flush()
            if not taken and not fresh:
                break
            steps += taken + fresh
            now_s = min((step.ended_s for step in steps if step.ended_s > now_s), default=now_s)
    return steps


def _mend(journal: Path) -> None:
    """A line that was cut off would spoil the next one."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    if journal.exists():
        whole = journal.read_bytes()
        os.truncate(journal, whole.rfind(b"\n") + 1)


def _submit(
    cell: Cell, evaluator: Evaluator, problem: Problem, steps: Sequence[Step], n: int, now_s: float
) -> tuple[Step, ...]:
    """Ask for n suggestions and evaluate them."""
    if n == 0:
        return ()
    pending = [step.trial.config for step in steps if step.ended_s > now_s]
    before_s = time.process_time()
    found = propose_next(cell.tuner, problem, finished(steps, now_s), pending, n, cell.seed, len(steps))
    suggested_s = (time.process_time() - before_s) / max(len(found), 1)
    fresh = []
    for number, suggestion in enumerate(found, start=len(steps)):
        trial = Trial(number, suggestion.config, suggestion.origin)
        evaluated = evaluator.evaluate(trial.config, (cell.seed, trial.id))
        fresh.append(Step(trial, evaluated.outcome, now_s, now_s + evaluated.took_s, suggested_s))
    return tuple(fresh)


@cache
def warm_up(tuner: str) -> None:
    """Import what the tuner needs, which takes seconds and is no part of a suggestion."""
    space = SearchSpace([Integer("a", 1, 64), Integer("b", 1, 64)], default={"a": 1, "b": 1})
    trial = make_tuner(tuner, space, [Objective("mean_ttft_ms")])
    for _ in range(5):
        for config in trial.ask():
            trial.tell(config, {"mean_ttft_ms": float(config["a"])})
