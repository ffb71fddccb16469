"""Runs to look at: a search whose truth is known, slots at work, and what is drawn of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console, Group
from rich.text import Text

from scoot_ray.load.trace import Trace
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.results.live import Activity, frame, scene_of
from scoot_ray.search import Objective, Observation, Origin, Problem, Trial, best_observed
from scoot_ray.study import Confirmation
from tests.fakes import problem, study

ONE = problem((Objective("mean_tpot_ms"),))
TWO = problem()


@dataclass(frozen=True)
class Busy:
    """A slot at work."""

    trial: Trial
    phase: str
    since_s: float = 34.0
    where: str = "gpu-7"


def plan(goal: Problem = TWO, **changes: object) -> Resolved:
    settled = study(confirmation=Confirmation(finalists=1, arrival_orders=4), **changes)
    return Resolved(settled, goal, Trace((), "trace.jsonl", "c0ffee"))


def busy(number: int, phase: str = "load") -> Busy:
    config = {"max_num_seqs": 8, "max_num_batched_tokens": 512, "enable_prefix_caching": True}
    return Busy(Trial(number, config, Origin.MODEL), phase)


def drawn(
    resolved: Resolved,
    log: Log,
    width: int,
    height: int,
    activities: Sequence[Activity] = (),
    best: Sequence[Observation] | None = None,
) -> list[str]:
    """The lines of a frame as a terminal of that size would show them."""
    found = best_observed(resolved.problem, log.searched) if best is None else best
    scene = scene_of(resolved, log, activities, found, 185.0)
    return rows(frame(scene, width, height), width)


def rows(lines: Sequence[Text], width: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=False, legacy_windows=False).print(Group(*lines))
    return out.getvalue().splitlines()


def with_failures_of_ours(log: Log, *seen: Observation) -> Log:
    return replace(log, setbacks=seen)
