"""What SCOOT is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from scoot_ray.search.problem import Problem, Suggestion
from scoot_ray.search.sampling import unseen
from scoot_ray.search.trial import Config, Observation, Origin


def random(
    problem: Problem, history: Sequence[Observation], pending: Sequence[Config], n: int, seed: int
) -> tuple[Suggestion, ...]:
    """Random sampling (paper, section V-A): the next n points of the Sobol stream that keep the known constraints."""
    space = problem.space
    seen = {space.key(c) for c in (*(o.trial.config for o in history), *pending)}
    return tuple(Suggestion(config, Origin.INITIAL) for config in islice(unseen(space, seen, seed), n))
