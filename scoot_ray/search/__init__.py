"""The search: pure functions from a problem and what was observed to what to evaluate next.

No clock, no files, no Ray; randomness comes from explicit seeds. ``suggest`` is the whole of it; ``make_tuner`` wraps
it for other people's loops::

    space = SearchSpace([Integer("max_num_seqs", 64, 8192, log=True), Boolean("enable_chunked_prefill")], default={...})
    tuner = make_tuner("scoot", space, [Objective("mean_ttft_ms"), Objective("mean_tpot_ms")], slos=["ttft:p99<500ms"])
    for config in tuner.ask(4):
        tuner.tell(config, measure(config))
    tuner.recommend()
"""

from __future__ import annotations

from scoot_ray.search.constraints import Constraint
from scoot_ray.search.errors import ConstraintError, ObjectiveError, SearchError, SpaceError, TunerError
from scoot_ray.search.feasibility import threshold
from scoot_ray.search.metrics import METRICS, is_metric
from scoot_ray.search.objectives import PRESETS, SLO, Objective, hypervolume, pareto, preset
from scoot_ray.search.parameters import Boolean, Choice, Float, Integer, Parameter
from scoot_ray.search.problem import Earlier, Problem, Suggestion, best_observed, reference, to_beat, usable
from scoot_ray.search.recommendation import ranked, recommend
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.transfer import taken_in, warm
from scoot_ray.search.trial import (
    Bounded,
    Config,
    Failed,
    FailureKind,
    Measured,
    Metrics,
    Observation,
    Origin,
    Outcome,
    Trial,
    Value,
)
from scoot_ray.search.tuner import TUNERS, Tuner, make_tuner, require_tuner, suggest

__all__ = [
    "METRICS",
    "PRESETS",
    "SLO",
    "TUNERS",
    "Boolean",
    "Bounded",
    "Choice",
    "Config",
    "Constraint",
    "ConstraintError",
    "Earlier",
    "Failed",
    "FailureKind",
    "Float",
    "Integer",
    "Measured",
    "Metrics",
    "Objective",
    "ObjectiveError",
    "Observation",
    "Origin",
    "Outcome",
    "Parameter",
    "Problem",
    "SearchError",
    "SearchSpace",
    "SpaceError",
    "Suggestion",
    "Trial",
    "Tuner",
    "TunerError",
    "Value",
    "best_observed",
    "hypervolume",
    "is_metric",
    "make_tuner",
    "pareto",
    "preset",
    "ranked",
    "recommend",
    "reference",
    "require_tuner",
    "suggest",
    "taken_in",
    "threshold",
    "to_beat",
    "usable",
    "warm",
]
