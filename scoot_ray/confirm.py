"""What is measured again next, and when it is decided (paper section IV-H). Pure decisions.

Every run is an engine start of its own under one arrival order: what one start does to a run must not pass for the
configuration's doing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scoot_ray.finalists import Contestant, Key, contestants, key
from scoot_ray.log import Log
from scoot_ray.looks import looks
from scoot_ray.search import Failed, Origin, Problem, Trial
from scoot_ray.standing import promised_metrics, slos_open, standings
from scoot_ray.study import Confirmation
from scoot_ray.verdict import INDIFFERENT, Change, Verdict, to_use, verdict

_PROOF = frozenset({Origin.CONFIRMATION, Origin.SOAK})


def next_trials(problem: Problem, settings: Confirmation, log: Log, count: int) -> tuple[Trial, ...]:
    """At most ``count`` confirmation trials not yet submitted; none while a look waits for its runs, or at the end.

    At last comes the soak of the winner, where the study wants one, and of the next one where that is not survived.

    Contestants are interleaved, in another order in every round, so that drift of the machine favours none.
    """
    everyone = contestants(problem, settings, log)
    done, line_up = 0, everyone
    for look in looks(settings):
        if not line_up:
            break
        missing = _missing(log, line_up, range(done + 1, look.orders + 1))
        if missing:
            return tuple(
                Trial(log.next_id + at, one.config, Origin.CONFIRMATION, (order,))
                for at, (one, order) in enumerate(missing[:count])
            )
        if any(trial.origin is Origin.CONFIRMATION for trial in log.open):
            return ()
        done, line_up = look.orders, undecided(problem, settings, _up_to(log, look.orders))
    return _soak(problem, settings, log)


def undecided(problem: Problem, settings: Confirmation, log: Log) -> tuple[Contestant, ...]:
    """Who is to be measured further: what runs today, the winner so far and its rivals; empty once it is decided."""
    found = verdict(problem, settings, log)
    if found is None or _decided(problem, found):
        return ()
    return tuple(one.contestant for one in (found.reference, found.winner, *found.rivals))


def _soak(problem: Problem, settings: Confirmation, log: Log) -> tuple[Trial, ...]:
    """The soak of what is to be recommended; none while one runs, after it, or for what runs today."""
    if settings.soak is None or any(trial.origin in _PROOF for trial in log.open):
        return ()
    winner = to_use(verdict(problem, settings, log), standings(problem, settings, log))
    if winner is None or winner.contestant.role != "finalist" or winner.soak is not None:
        return ()
    return (Trial(log.next_id, winner.contestant.config, Origin.SOAK),)


def starts(problem: Problem, settings: Confirmation) -> int:
    """The most engine starts that confirmation can take."""
    if settings.finalists == 0:
        return 0
    everyone = settings.finalists + 1 + (problem.baseline is not None)
    further = settings.most_orders - settings.arrival_orders
    soaks = settings.finalists if settings.soak is not None else 0
    return everyone * settings.arrival_orders + (settings.finalists + 1) * further + soaks


def _decided(problem: Problem, found: Verdict) -> bool:
    """Whether more runs would change nothing: no rival is left, the SLOs are clear, and so is the difference."""
    if found.rivals or slos_open(problem, found.winner) or slos_open(problem, found.reference):
        return False
    if found.kind != "none" or found.winner.meets_slos != found.reference.meets_slos:
        return True
    signs = promised_metrics(problem)
    return not any(_may_gain(change, signs[change.metric]) for change in found.changes)


def _may_gain(change: Change, worse: int) -> bool:
    """Whether the interval leaves room for an improvement that anybody would want."""
    if change.low is None or change.high is None:
        return True
    return (-change.low if worse > 0 else change.high) >= INDIFFERENT


def _missing(log: Log, line_up: Sequence[Contestant], orders: range) -> list[tuple[Contestant, int]]:
    """Runs of these orders not yet submitted, round by round; a contestant that has failed has none."""
    submitted: set[tuple[Key, int]] = {
        (key(trial.config), order)
        for trial in log.trials
        if trial.origin is Origin.CONFIRMATION
        for order in trial.orders
    }
    failed = {key(seen.trial.config) for seen in log.confirmed if isinstance(seen.outcome, Failed)}
    return [
        (one, order)
        for order in orders
        for one in _turned(line_up, order)
        if (key(one.config), order) not in submitted and key(one.config) not in failed
    ]


def _turned(line_up: Sequence[Contestant], order: int) -> Sequence[Contestant]:
    """Forwards and backwards by turns, each time begun one further along."""
    if not line_up:
        return ()
    first = (order - 1) // 2 % len(line_up)
    turned = [*line_up[first:], *line_up[:first]]
    return turned if order % 2 else turned[::-1]


def _up_to(log: Log, orders: int) -> Log:
    """The log as it was when that many arrival orders were measured."""
    kept = [
        seen
        for seen in log.observations
        if seen.trial.origin is not Origin.CONFIRMATION or max(seen.trial.orders) <= orders
    ]
    return replace(log, observations=tuple(kept))
