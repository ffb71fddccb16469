"""What a suggestion depends on, and the stages all tuners go through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np

from scoot_ray.search.problem import Problem, Suggestion
from scoot_ray.search.sampling import unseen
from scoot_ray.search.space import Key
from scoot_ray.search.trial import Config, Observation, Origin


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a suggestion depends on.

    ``history`` has no failures of ours; ``submitted`` counts every search trial so far, the default and the baseline
    included.
    """

    problem: Problem
    history: Sequence[Observation]
    pending: tuple[Config, ...]
    seed: int
    submitted: int

    @property
    def tried(self) -> tuple[Config, ...]:
        """Every configuration finished or in flight."""
        return (*(o.trial.config for o in self.history), *self.pending)

    @property
    def seen(self) -> frozenset[Key]:
        """The keys of those."""
        return frozenset(self.problem.space.key(c) for c in self.tried)

    @property
    def known(self) -> int:
        """How many were submitted here or came from other studies."""
        return max(self.submitted, len(self.tried))

    def after(self, configs: Sequence[Config]) -> Situation:
        """The situation once these configurations are in flight."""
        return Situation(
            self.problem, self.history, (*self.pending, *configs), self.seed, self.submitted + len(configs)
        )

    def stream(self) -> int:
        """A seed of this suggestion's own."""
        return int(np.random.SeedSequence([self.seed, self.submitted]).generate_state(1)[0])


Source: TypeAlias = Callable[[Situation, int], Sequence[Config]]
"""Up to so many new configurations that keep the known constraints."""


def staged(situation: Situation, n: int, sample: int, modelled: Source, drawn: Source) -> tuple[Suggestion, ...]:
    """Up to n suggestions beyond the default and the baseline; fewer only where the space is exhausted.

    First a ``sample`` drawn without a model, the default and the baseline counted in it, then what the model
    proposes, then drawn points where those are too few. Observations of other studies shorten the sample.
    """
    chosen: tuple[Suggestion, ...] = ()
    in_sample = max(sample - situation.known, 0)
    for source, most, origin in (
        (drawn, in_sample, Origin.INITIAL),
        (modelled, n, Origin.MODEL),
        (drawn, n, Origin.TOP_UP),
    ):
        wanted = min(n - len(chosen), most)
        if wanted > 0:
            now = situation.after([s.config for s in chosen])
            chosen += tuple(Suggestion(config, origin) for config in source(now, wanted))
    return chosen


def sobol_points(situation: Situation, n: int) -> Sequence[Config]:
    """The next n points of the seed's Sobol stream that keep the known constraints; fewer where the space ends."""
    return list(islice(unseen(situation.problem.space, situation.seen, situation.seed), n))
