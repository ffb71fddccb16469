"""What is compared beside the tuners that users have: the paper's ablation, and scoot without each of its mechanisms.

A variant's name is its tuner's, a stroke, and what is different.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from scoot_ray.search import Config, Observation, Problem, Suggestion, suggest
from scoot_ray.search.beliefs import Modelling
from scoot_ray.search.scoot import SCOOT, SCOOT_PAPER, Settings, propose
from scoot_ray.search.tuner import suggest_by

ABLATION: Mapping[str, Settings] = {
    "scoot-paper/no-forest": replace(SCOOT_PAPER, forest=False),
    "scoot-paper/fixed-threshold": replace(SCOOT_PAPER, threshold="fixed"),
    "scoot/no-forest": replace(SCOOT, forest=False),
    "scoot/fixed-threshold": replace(SCOOT, threshold="fixed"),
    "scoot/sobol": replace(SCOOT, design="sobol"),
    "scoot/covering": replace(SCOOT, design="covering"),
    "scoot/plain": replace(SCOOT, modelling=Modelling(one_objective="power", two_objectives="plain")),
    "scoot/log": replace(SCOOT, modelling=Modelling(one_objective="log")),
    "scoot/matern": replace(SCOOT, turns=("matern",)),
    "scoot/additive": replace(SCOOT, turns=("additive",)),
    "scoot/trusting": replace(SCOOT, modelling=Modelling(noisy=False)),
    "scoot/ensemble": replace(SCOOT, batch="ensemble"),
    "scoot/unweighted": replace(SCOOT, weighted=False),
    "scoot/blind": replace(SCOOT, expectant=False),
    "scoot/no-slos": replace(SCOOT, modelling=Modelling(slos=False)),
}
"""The mechanism each name speaks of is dropped. ``plain`` has the paper's targets, ``log`` no ranks, ``matern`` and
``additive`` have one kernel instead of both by turns, ``trusting`` believes what was measured, ``blind`` sees nothing
in flight."""


def base(tuner: str) -> str:
    """The tuner of which this is a variant, or itself."""
    return tuner.partition("/")[0]


def propose_next(
    tuner: str,
    problem: Problem,
    history: Sequence[Observation],
    pending: Sequence[Config],
    n: int,
    seed: int,
    submitted: int,
) -> tuple[Suggestion, ...]:
    """``scoot_ray.search.suggest``, which knows no variants, for these, too."""
    settings = ABLATION.get(tuner)
    if settings is None:
        return suggest(base(tuner), problem, history, pending, n, seed, submitted)
    return suggest_by(partial(propose, settings), problem, history, pending, n, seed, submitted)
