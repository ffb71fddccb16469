"""Stopping early: where each rule would have ended the runs there are, what that saves and what it loses.

A run's first n trials are the run with that budget, so that a stop is read off: nothing is run again, but the models
are fitted anew after every observation. ``stops/SERVICE/TUNER/pdP-seedS.json`` keeps what came of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.search.best_known import metrics_of
from benchmarks.search.cell import Cell, Step, finished, read_steps
from benchmarks.search.evaluation import Evaluator
from benchmarks.search.files import read_json, write_json
from benchmarks.search.markdown import span, table
from benchmarks.search.pool import Progress, Task, locked, run_tasks
from benchmarks.search.relatives import find_scenario
from benchmarks.search.score import Yardstick
from benchmarks.search.statistics import Pair, difference
from scoot_ray.search import Metrics, Problem, recommend
from scoot_ray.search.patience import Patience, expected_gain, out_of_patience

_FRUITLESS = (5, 8, 10, 12)
_GAINS = (0.05, 0.02, 0.01, 0.005)
_TUNER = "scoot"  # whose models say what is to be expected


class NoRuns(ValueError):  # noqa: N818 - says what is wrong
    """The folder has no run that is long enough."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a rule ends a run, at the budget if never, and the noise-free metrics of what is recommended there."""

    rule: str
    observations: int
    ended_s: float
    recommended: tuple[Metrics | None, ...]


@dataclass(frozen=True, slots=True)
class Stops:
    """One run's: where each rule ends it, and its own end."""

    cell: Cell
    whole: Stop
    early: tuple[Stop, ...]


def study_stops(folder: Path, services: Sequence[str], seeds: int, budget: int, jobs: int) -> Iterator[Progress]:
    """Read off the first seeds' runs, PD 1, what has not been yet; yield as they are done.

    Raises:
        NoRuns: of these services and seeds.
        FolderInUse: by another run.
    """
    cells = [Cell(seed, 1, name, _TUNER) for seed in range(seeds) for name in services]
    there = [cell for cell in cells if len(read_steps(cell.path(folder / "cells", ".jsonl"))) >= budget]
    if not there:
        raise NoRuns(f"{folder}: no run of {_TUNER}, PD 1, has {budget} observations; run the benchmark into it first")
    with locked(folder):
        yield from run_tasks(folder, [Task(f"{cell}  stops", _study, (folder, cell, budget)) for cell in there], jobs)


def read_stops(folder: Path) -> tuple[Stops, ...]:
    """All that was read off in a folder."""
    found = []
    for path in sorted((folder / "stops").rglob("*.json")):
        document = read_json(path)
        whole, *early = (Stop(**{**one, "recommended": tuple(one["recommended"])}) for one in document["stops"])
        found.append(Stops(Cell.of(path, folder / "stops"), whole, tuple(early)))
    return tuple(found)


def _study(folder: Path, cell: Cell, budget: int) -> str:
    path = cell.path(folder / "stops", ".json")
    known = read_json(path)
    if known is None or known["budget"] != budget:
        evaluator = Evaluator(find_scenario(cell.scenario))
        steps = read_steps(cell.path(folder / "cells", ".jsonl"))[:budget]
        ends = {"": budget, **rule_ends(evaluator.problem, steps, cell.seed)}
        stops = [_stop(evaluator, steps, rule, n) for rule, n in ends.items()]
        write_json(path, {"simulated": True, "budget": budget, "stops": stops})
    return f"of {budget} observations"


def rule_ends(problem: Problem, steps: Sequence[Step], seed: int) -> dict[str, int]:
    """After how many of the observations each rule stops; all where it never does."""
    histories = [finished(steps[:n]) for n in range(1, len(steps))]
    ends = {}
    for most in _FRUITLESS:
        patience = Patience(observations=most)
        stopped = (len(h) for h in histories if out_of_patience(problem, patience, h, seed) is not None)
        ends[f"patience: {most}"] = next(stopped, len(steps))
    # The models' own expectation takes a suggestion each: until the least of the shares is undercut.
    for history in histories:
        gain = expected_gain(problem, history, seed)
        for share in _GAINS:
            if gain is not None and gain < share:
                ends.setdefault(_named(share), len(history))
        if _named(min(_GAINS)) in ends:
            break
    return {**ends, **{_named(share): ends.get(_named(share), len(steps)) for share in _GAINS}}


def _named(share: float) -> str:
    return f"expected_gain: {share:g}"


def _stop(evaluator: Evaluator, steps: Sequence[Step], rule: str, n: int) -> Mapping[str, object]:
    chosen = [observation.trial.config for observation in recommend(evaluator.problem, finished(steps[:n]))]
    recommended = [metrics_of(evaluator.evaluate(config, None).outcome) for config in chosen]
    ended_s = max(step.ended_s for step in steps[:n])
    return {"rule": rule, "observations": n, "ended_s": ended_s, "recommended": recommended}


def stops_table(stops: Sequence[Stops], sticks: Mapping[str, Yardstick]) -> list[str]:
    """Rule by rule: how many runs it ended, after how many observations, and the regret of that beside the whole's."""
    found = [one for one in stops if one.cell.scenario in sticks]
    rules = dict.fromkeys(stop.rule for one in found for stop in one.early)
    rows = [_rule_row(rule, found, sticks) for rule in rules]
    header = ["rule", "runs", "ended", "observations", "virtual hours saved", "regret", "not stopped", "lost"]
    return table([*header, "95% over seeds", "worst"], rows)


def _rule_row(rule: str, found: Sequence[Stops], sticks: Mapping[str, Yardstick]) -> list[str]:
    stopped: dict[Pair, float] = {}
    whole: dict[Pair, float] = {}
    counts: list[int] = []
    saved_s: list[float] = []
    for one in found:
        pair, stick = (one.cell.scenario, one.cell.seed), sticks[one.cell.scenario]
        stop = next(stop for stop in one.early if stop.rule == rule)
        stopped[pair], whole[pair] = stick.regret(stop.recommended), stick.regret(one.whole.recommended)
        counts.append(stop.observations)
        saved_s.append(one.whole.ended_s - stop.ended_s)
    early = sum(count < one.whole.observations for count, one in zip(counts, found, strict=True))
    lost = difference(stopped, whole)
    assert lost is not None  # there is a pair for each run
    means = [f"{np.mean(counts):.1f}", f"{np.mean(saved_s) / 3600:.2f}", f"{lost.subject_mean:.3f}"]
    worst = max(stopped[pair] - whole[pair] for pair in whole)
    figures = [f"{lost.other_mean:.3f}", f"{lost.mean:+.3f}", span(lost.over_seeds), f"{worst:+.3f}"]
    return [rule, str(len(found)), str(early), *means, *figures]
