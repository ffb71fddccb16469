"""The optimizer: decides trials from the log."""

from __future__ import annotations

from scoot_ray import confirm
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.search import Trial, suggest, to_beat

_AT_ONCE = 32


class SearchOptimizer:
    """Suggestions and confirmation as functions of the log. It remembers nothing between calls."""

    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._study, self._problem = resolved.study, resolved.problem

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new search trials, with ids that continue the log's; none once the search is over.

        Nor ever more than 32: the first of many free slots shall not wait until there is something for the last.
        """
        if self._over(log):
            return ()
        suggestions = suggest(
            self._study.tuner,
            self._problem,
            log.searched,
            [trial.config for trial in log.open_search],
            min(count, _AT_ONCE),
            self._study.seed,
            log.spent,
        )
        known = to_beat(self._problem, log.searched) if self._study.budget.end_hopeless else ()
        return tuple(
            Trial(log.next_id + index, suggestion.config, suggestion.origin, to_beat=known)
            for index, suggestion in enumerate(suggestions)
        )

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new confirmation trials."""
        return confirm.next_trials(self._problem, self._study.confirmation, log, count)

    def _over(self, log: Log) -> bool:
        """Whether patience has run out; once confirmed, the search is not taken up again."""
        if self._study.budget.patience is None:
            return False
        return log.confirming or stopped_early(self._resolved, log) is not None


def stopped_early(resolved: Resolved, log: Log) -> str | None:
    """Why the search ended before its budget was spent, by ``budget.patience``; None where it did not."""
    wanted = resolved.study.budget.patience
    if wanted is None or len(log.searched) >= resolved.study.budget.observations:
        return None
    # Torch takes seconds to import, and a run without patience needs none of it here.
    from scoot_ray.search.patience import Patience, out_of_patience  # noqa: PLC0415  # see above

    patience = Patience(wanted.observations, wanted.expected_gain)
    return out_of_patience(resolved.problem, patience, log.searched, resolved.study.seed)
