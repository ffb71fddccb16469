"""Whether a search has found what it will find, from the problem and what was observed: a resumed run agrees.

Costs are compared as the GPs see them, on a log scale where all values are positive; the noise is the GPs' own, or 2%.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from scoot_ray.search.beliefs import LOGARITHMIC, Beliefs, Model, believe, standardised
from scoot_ray.search.errors import TunerError
from scoot_ray.search.objectives import hypervolume
from scoot_ray.search.problem import Problem, Usable, settled, usable
from scoot_ray.search.space import FloatArray
from scoot_ray.search.trial import Observation, Origin
from scoot_ray.search.tuner import suggest

_LUCK = 1.645 * sqrt(2)  # noise standard deviations by which two runs of one configuration differ in 1 of 20 cases
_SUGGESTED = frozenset({Origin.MODEL, Origin.TOP_UP})
_LEAST_NOISE = 0.02  # relative: what a quiet machine's runs differ by, where few measurements let the GPs see none
_TENTH = 0.1


@dataclass(frozen=True, slots=True)
class Patience:
    """When to stop early; whichever is given and comes first.

    ``observations``: after so many suggestions in a row, of those made after the initial sample, none of which
    improved beyond the noise. ``expected_gain``: once the model expects less than this share from the best
    configuration it knows of.

    Raises:
        TunerError: neither or no positive number.
    """

    observations: int | None = None
    expected_gain: float | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.observations, self.expected_gain) if value is not None]
        if not given or min(given) <= 0:
            raise TunerError("patience: needs a positive number of observations or a positive expected gain")


def out_of_patience(problem: Problem, patience: Patience, history: Sequence[Observation], seed: int) -> str | None:
    """Why the search should stop, in words; None while it should go on, and always within the initial sample."""
    counted = settled(history)
    if patience.observations is not None:
        fruitless = _fruitless(problem, counted, patience.observations)
        if fruitless >= patience.observations:
            return f"no improvement beyond the noise in {fruitless} suggestions"
    if patience.expected_gain is not None and any(o.trial.origin in _SUGGESTED for o in counted):
        gain = expected_gain(problem, counted, seed)
        if gain is not None and gain < patience.expected_gain:
            return f"the best suggestion left is expected to gain {gain:.1%}, less than {patience.expected_gain:.1%}"
    return None


def _fruitless(problem: Problem, history: Sequence[Observation], most: int) -> int:
    """How many of the last suggestions, up to ``most``, came after the last one that improved anything."""
    suggested = [index for index, o in enumerate(history) if o.trial.origin in _SUGGESTED]
    if len(suggested) < most:
        return len(suggested)
    recent = {history[index].trial.id for index in suggested[-most:]}
    ran = usable(problem, history)
    before = [one for one in ran if one.observation.trial.id not in recent]
    after = [one for one in ran if one.observation.trial.id in recent]
    return 0 if _improved(problem, history, before, after) else most


def _improved(
    problem: Problem, history: Sequence[Observation], before: Sequence[Usable], after: Sequence[Usable]
) -> bool:
    """Whether any of ``after``, made worse by the noise, is still dominated by none of ``before``.

    What keeps the SLOs beats whatever does not.
    """
    if any(problem.meets_slos(one.metrics) for one in (*before, *after)):
        before, after = ([one for one in part if problem.meets_slos(one.metrics)] for part in (before, after))
    beliefs = believe(problem, history, replace(LOGARITHMIC, noisy=False, slos=False))
    if not before or not after or beliefs is None:
        return bool(after)
    noise = np.maximum([model.surrogate.noise for model in beliefs.objectives], _changes(beliefs, _LEAST_NOISE))
    old = standardised(problem, beliefs.objectives, [one.costs for one in before])
    new = standardised(problem, beliefs.objectives, [one.costs for one in after]) + _LUCK * noise
    dominated = np.any(np.all(old[None] <= new[:, None], axis=2), axis=1)
    return not bool(np.all(dominated))


def expected_gain(problem: Problem, history: Sequence[Observation], seed: int) -> float | None:
    """What the model expects of its best suggestion, relative to the best so far.

    Of two objectives it is the hypervolume expected to be added, relative to that reached or, where that is less, to
    a gain of 10% in both. None while no model suggests anything, or nothing keeps the SLOs.
    """
    suggested = suggest("scoot", problem, history, (), 1, seed, len(history))
    beliefs = believe(problem, history, LOGARITHMIC)
    if beliefs is None or not len(beliefs.incumbents) or not suggested or suggested[0].origin is not Origin.MODEL:
        return None
    improvement = float(np.exp(beliefs.improvement(problem.space.encode_all([suggested[0].config]))[0]))
    tenths = _changes(beliefs, _TENTH)
    if len(tenths) == 1:
        return improvement * _TENTH / float(tenths[0])
    return improvement / max(hypervolume(beliefs.incumbents, beliefs.reference), float(np.prod(tenths)))


def _changes(beliefs: Beliefs, share: float) -> FloatArray:
    """What a change of each objective by a share of its best is in standardised costs (m,)."""
    best = np.min(beliefs.incumbents, axis=0)
    return np.array([_change(model, z, share) for model, z in zip(beliefs.objectives, best, strict=True)])


def _change(model: Model, z: float, share: float) -> float:
    if model.target.unit == "log":
        return float(np.log1p(share)) / model.target.spread
    return share * abs(float(model.target.metric(np.array(z)))) / model.target.spread or share
