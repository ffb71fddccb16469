"""How far a study is and how long it will go on."""

from __future__ import annotations

from datetime import UTC, datetime

from scoot_ray.confirm import starts
from scoot_ray.estimate import evaluation_s
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved


def expected_trials(resolved: Resolved) -> int:
    """Evaluations of the search and, at most, of the confirmation."""
    return resolved.study.budget.observations + starts(resolved.problem, resolved.study.confirmation)


def remaining_s(resolved: Resolved, log: Log, now: datetime | None = None) -> float:
    """Time left at most, from the mean evaluation so far; no longer than to ``budget.deadline``."""
    study = resolved.study
    virtual = study.engine.in_virtual_time  # whose seconds pass much faster
    spent = [seen.held_s for seen in log.observations if seen.timings and not virtual]
    mean_s = sum(spent) / len(spent) if spent else evaluation_s(study)
    searches = 0 if log.confirming else study.budget.left(log, study.gpus) + len(log.open_search)
    confirmations = max(0, starts(resolved.problem, study.confirmation) - len(log.confirmed))
    left_s = (searches + confirmations) * mean_s / study.parallelism.max
    if study.budget.deadline is None:
        return left_s
    to_deadline = study.budget.deadline.astimezone(UTC) - (now or datetime.now(UTC))
    return min(left_s, max(0.0, to_deadline.total_seconds()))
