"""Hidden constraints: a random forest's probability of feasibility (POF) and its threshold (paper, section IV-G).

x: (n, c) features of the space. Only the configuration's own failures teach: see FailureKind.of_configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoot_ray.search.space import FloatArray, SearchSpace
from scoot_ray.search.trial import Bounded, Failed, Observation, Origin

START = 0.5
STEP = 0.05
LOWEST = 0.25
HIGHEST = 0.75
STREAK = 5
_TREES = 100
_SUGGESTED = frozenset({Origin.MODEL, Origin.TOP_UP})


def feasible(observation: Observation) -> bool | None:
    """Whether the engine survived the configuration; None where a failure of ours leaves that open."""
    if not isinstance(observation.outcome, Failed):
        return True
    return False if observation.outcome.kind.of_configuration else None


def threshold(history: Sequence[Observation]) -> float:
    """The POF that a suggestion must reach, folded over the suggestions after the initial sample in their order.

    From 0.5; each failure adds 0.05, to at least 0.5 and at most 0.75; every five feasible ones in a row take 0.05
    off, to at least 0.25. A function of the history alone, so a resumed run has the threshold of the live one.
    """
    steps, streak = round(START / STEP), 0  # whole steps: floats would drift
    for observation in history:
        label = feasible(observation)
        if label is None or observation.trial.origin not in _SUGGESTED:
            continue
        if not label:
            steps, streak = min(max(steps + 1, round(START / STEP)), round(HIGHEST / STEP)), 0
        else:
            streak += 1
            if streak == STREAK:
                steps, streak = max(steps - 1, round(LOWEST / STEP)), 0
    return round(steps * STEP, 2)


@dataclass(frozen=True, slots=True)
class Forest:
    """The probability of feasibility; ``regressor`` is None while all outcomes were alike, and ``prior`` holds then."""

    regressor: Any  # sklearn's RandomForestRegressor, which ships no types
    prior: float

    def pof(self, x: FloatArray) -> FloatArray:
        """The probability of feasibility (n,) of features x (n, c)."""
        if self.regressor is None:
            return np.full(len(x), self.prior)
        return np.clip(np.asarray(self.regressor.predict(x), dtype=np.float64), 0.0, 1.0)


def fit_forest(space: SearchSpace, history: Sequence[Observation], seed: int) -> Forest:
    """Regress 1 (survived) and 0 (failed by the configuration) on the features of the configurations.

    What was ended early does not teach: it was not seen to survive its load.
    """
    ended = [o for o in history if not isinstance(o.outcome, Bounded)]
    labelled = [(o.trial.config, label) for o in ended if (label := feasible(o)) is not None]
    labels = [label for _, label in labelled]
    if len(set(labels)) < 2:
        return Forest(None, 1.0 if all(labels) else 0.0)
    from sklearn.ensemble import RandomForestRegressor  # noqa: PLC0415  # a second to import; not for --help

    x = space.features(space.encode_all([config for config, _ in labelled]))
    regressor = RandomForestRegressor(n_estimators=_TREES, random_state=seed % 2**32, n_jobs=1)
    return Forest(regressor.fit(x, np.array(labels, dtype=np.float64)), 0.0)
