"""``random``: the Sobol stream of the seed, without a model (paper, section V-A3)."""

from __future__ import annotations

from scoot_ray.search.problem import Suggestion
from scoot_ray.search.situation import Situation, sobol_points
from scoot_ray.search.trial import Origin


def propose(situation: Situation, n: int) -> tuple[Suggestion, ...]:
    """The next n points of the stream; fewer only where the space is exhausted."""
    return tuple(Suggestion(config, Origin.INITIAL) for config in sobol_points(situation, n))
