"""What to use, of what was measured: by what the models believe of it, and not by a measurement that was lucky."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from scoot_ray.search.objectives import pareto
from scoot_ray.search.problem import Problem, Usable, best_observed, usable
from scoot_ray.search.space import FloatArray
from scoot_ray.search.trial import Observation

if TYPE_CHECKING:
    from scoot_ray.search.beliefs import Beliefs

_FEWEST = 3  # below, models know no more than the measurements
_LIKELY = 0.5


def recommend(problem: Problem, history: Sequence[Observation]) -> tuple[Observation, ...]:
    """The configurations to use, best first, among those measured; empty while nothing usable was.

    One objective: the largest gain over the default that is expected, times the probability that the SLOs hold. Two:
    the Pareto front of the believed costs, ordered by the hypervolume of each alone (equation 11), of what more likely
    than not keeps the SLOs, where anything does. Of the ten best of a search with 3% noise the one measured best is
    more likely lucky than best.
    """
    return next(ranked(problem, history), ())


def ranked(problem: Problem, history: Sequence[Observation]) -> Iterator[tuple[Observation, ...]]:
    """What ``recommend`` gives, then what it would give without that, and so on, with the models fitted once."""
    from scoot_ray.search.beliefs import OURS, believe  # noqa: PLC0415  # SciPy takes half a second; not for --help

    left = usable(problem, history)
    beliefs = believe(problem, history, OURS) if len(left) >= _FEWEST else None
    while left:
        best = _best(problem, beliefs, left) if beliefs is not None else best_observed(problem, _seen(left))
        yield best
        left = tuple(one for one in left if all(one.observation is not taken for taken in best))


def _seen(ran: Sequence[Usable]) -> list[Observation]:
    return [one.observation for one in ran]


def _best(problem: Problem, beliefs: Beliefs, ran: Sequence[Usable]) -> tuple[Observation, ...]:
    u = problem.space.encode_all([one.observation.trial.config for one in ran])
    likely = np.exp(beliefs.log_probability_of_slos(problem.space.features(u)))
    best = _single(beliefs, u, likely) if len(problem.objectives) == 1 else _front(beliefs, u, likely)
    return tuple(ran[i].observation for i in best)


def _single(beliefs: Beliefs, u: FloatArray, likely: FloatArray) -> list[int]:
    from scoot_ray.search import acquisition  # noqa: PLC0415  # as above

    mean, std = beliefs.predict(u)
    gain = acquisition.log_expected_improvement(mean[:, 0], std[:, 0], float(beliefs.reference[0]))
    return [int(np.argmax(gain + np.log(np.maximum(likely, np.finfo(float).tiny))))]


def _front(beliefs: Beliefs, u: FloatArray, likely: FloatArray) -> list[int]:
    mean, _ = beliefs.predict(u)
    kept = np.flatnonzero(likely >= min(_LIKELY, float(np.max(likely))))
    gains = np.prod(np.maximum(beliefs.reference - mean, 0.0), axis=1)
    front = [int(kept[i]) for i in pareto(mean[kept])]
    return sorted(front, key=lambda i: (-gains[i], float(np.sum(mean[i]))))
