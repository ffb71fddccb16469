"""Which configurations are measured again. Pure.

The search's own measurements choose the finalists and are not used again: what was selected for being the best looks
better than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from scoot_ray.log import Log
from scoot_ray.search import Config, Measured, Observation, Problem, ranked, reference
from scoot_ray.study import Confirmation

Role: TypeAlias = Literal["default", "baseline", "finalist"]
Key: TypeAlias = tuple[tuple[str, bool | int | float | str], ...]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A configuration to be measured again, and why."""

    role: Role
    config: Config


def contestants(problem: Problem, settings: Confirmation, log: Log) -> tuple[Contestant, ...]:
    """The default, the baseline and the finalists, those that failed in the search left out.

    The first finalist is the search's best: for two objectives the one with the largest hypervolume of its own
    (equation 11). The others are a spread of the front, then the best of what the front leaves.
    """
    failed = {key(seen.trial.config) for seen in log.searched if not isinstance(seen.outcome, Measured)}
    named: list[Contestant] = []
    if problem.space.default is not None:
        named.append(Contestant("default", problem.space.default))
    if problem.baseline is not None and problem.baseline != problem.space.default:
        named.append(Contestant("baseline", problem.baseline))
    taken = {key(contestant.config) for contestant in named}
    finalists = _finalists(problem, log.searched, taken, settings.finalists)
    if not finalists:
        return ()
    kept = [contestant for contestant in named if key(contestant.config) not in failed]
    return (*kept, *(Contestant("finalist", seen.trial.config) for seen in finalists))


def key(config: Config) -> Key:
    """A configuration as something that can be compared and counted."""
    return tuple(sorted(config.items()))


def _finalists(problem: Problem, history: Sequence[Observation], taken: set[Key], count: int) -> list[Observation]:
    """The best so far, then the best of the rest, …: for two objectives front by front, each spread out."""
    chosen: list[Observation] = []
    for best in ranked(problem, history):
        if len(chosen) >= count:
            break
        front = [seen for seen in _distinct(best) if key(seen.trial.config) not in taken]
        chosen += _spread(problem, history, front, count - len(chosen)) if front else []
    return chosen


def _distinct(front: Sequence[Observation]) -> list[Observation]:
    return list({key(seen.trial.config): seen for seen in reversed(front)}.values())[::-1]


def _spread(
    problem: Problem, history: Sequence[Observation], front: Sequence[Observation], count: int
) -> list[Observation]:
    """The first of ``front``, then each time the one farthest from those chosen, relative to the reference.

    What is better than the reference in every objective comes before what is not.
    """
    costs = np.array([_costs(problem, seen) for seen in front])
    standard = np.array(
        [o.sign * v for o, v in zip(problem.objectives, reference(problem, history) or (), strict=True)]
    )
    better = np.all(costs <= standard, axis=1)
    relative = costs / np.where(standard == 0, 1.0, np.abs(standard))
    chosen = [0]
    while len(chosen) < min(count, len(front)):
        nearest = np.min(np.linalg.norm(relative[:, None] - relative[chosen], axis=2), axis=1)
        left = [at for at in range(len(front)) if at not in chosen]
        chosen.append(max(left, key=lambda at: (bool(better[at]), float(nearest[at]))))
    return [front[at] for at in chosen[:count]]


def _costs(problem: Problem, seen: Observation) -> npt.NDArray[np.float64]:
    assert isinstance(seen.outcome, Measured)  # only such are recommended
    costs = problem.costs(seen.outcome.metrics)
    assert costs is not None  # the same
    return costs
