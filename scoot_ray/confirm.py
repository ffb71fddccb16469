"""Which configurations are measured again, and in what order (paper section IV-H).

Pure decisions. The search's own measurements choose the finalists and are not used again: what was selected for being
the best looks better than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from scoot_ray.log import Log
from scoot_ray.search import Config, Measured, Observation, Origin, Problem, Trial, recommend
from scoot_ray.study import Confirmation

STARTS = 2  # engine starts per contestant: what one start does to a run must not pass for the configuration's doing

Role: TypeAlias = Literal["default", "baseline", "finalist"]
Key: TypeAlias = tuple[tuple[str, bool | int | float | str], ...]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A configuration to be measured again, and why."""

    role: Role
    config: Config


def contestants(problem: Problem, settings: Confirmation, log: Log) -> tuple[Contestant, ...]:
    """The default, the baseline and the finalists, those that failed in the search left out."""
    failed = {key(seen.trial.config) for seen in log.searched if not isinstance(seen.outcome, Measured)}
    named: list[Contestant] = []
    if problem.space.default is not None:
        named.append(Contestant("default", problem.space.default))
    if problem.baseline is not None and problem.baseline != problem.space.default:
        named.append(Contestant("baseline", problem.baseline))
    taken = {key(contestant.config) for contestant in named}
    finalists = [
        seen
        for seen in _ranked(problem, log.searched, settings.finalists + len(named))
        if key(seen.trial.config) not in taken
    ][: settings.finalists]
    if not finalists:
        return ()
    kept = [contestant for contestant in named if key(contestant.config) not in failed]
    return (*kept, *(Contestant("finalist", seen.trial.config) for seen in finalists))


def next_trials(problem: Problem, settings: Confirmation, log: Log, count: int) -> tuple[Trial, ...]:
    """At most ``count`` confirmation trials not yet submitted.

    Contestants are interleaved, and every second round runs backwards, so that drift of the machine favours none.
    """
    submitted = Counter(
        (key(trial.config), trial.orders) for trial in log.trials if trial.origin is Origin.CONFIRMATION
    )
    remaining = []
    for config, orders in _schedule(contestants(problem, settings, log), settings.arrival_orders):
        if submitted[key(config), orders] > 0:
            submitted[key(config), orders] -= 1
        else:
            remaining.append((config, orders))
    return tuple(
        Trial(log.next_id + index, config, Origin.CONFIRMATION, orders)
        for index, (config, orders) in enumerate(remaining[:count])
    )


def starts(problem: Problem, settings: Confirmation) -> int:
    """The most engine starts that confirmation can take."""
    if settings.finalists == 0:
        return 0
    return STARTS * (settings.finalists + 1 + (problem.baseline is not None))


def _ranked(problem: Problem, history: Sequence[Observation], count: int) -> list[Observation]:
    """The best so far, then the best of the rest, …: for two objectives front by front."""
    ranked: list[Observation] = []
    left = list(history)
    while len(ranked) < count and (best := recommend(problem, left)):
        ranked += best
        chosen = {key(seen.trial.config) for seen in best}
        left = [seen for seen in left if key(seen.trial.config) not in chosen]
    return ranked


def _schedule(everyone: Sequence[Contestant], orders: int) -> list[tuple[Config, tuple[int, ...]]]:
    rounds = []
    for start in range(STARTS):
        share = tuple(range(1 + start, orders + 1, STARTS)) or (1,)
        line_up = everyone if start % 2 == 0 else everyone[::-1]
        rounds += [(contestant.config, share) for contestant in line_up]
    return rounds


def key(config: Config) -> Key:
    """A configuration as something that can be compared and counted."""
    return tuple(sorted(config.items()))
