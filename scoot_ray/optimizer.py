"""The optimizer: decides trials from the log."""

from __future__ import annotations

from scoot_ray import confirm
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.search import Trial, suggest


class SearchOptimizer:
    """Suggestions and confirmation as functions of the log. It remembers nothing between calls."""

    def __init__(self, resolved: Resolved) -> None:
        self._study, self._problem = resolved.study, resolved.problem

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new search trials, with ids that continue the log's."""
        suggestions = suggest(
            self._study.tuner,
            self._problem,
            log.searched,
            [trial.config for trial in log.open_search],
            count,
            self._study.seed,
            log.spent,
        )
        return tuple(
            Trial(log.next_id + index, suggestion.config, suggestion.origin)
            for index, suggestion in enumerate(suggestions)
        )

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:
        """At most ``count`` new confirmation trials."""
        return confirm.next_trials(self._problem, self._study.confirmation, log, count)
