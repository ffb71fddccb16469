"""How long an evaluation may take at most, after which its worker is given up."""

from __future__ import annotations

from scoot_ray.engine.service import COMMANDS_S
from scoot_ray.load.capacity.probing import EVALUATION_PROBES
from scoot_ray.load.warmup import MAX_WARMUP_S
from scoot_ray.search import Origin, Trial
from scoot_ray.study import Study

STARTS = 3  # another engine's that is waited for, and two of our own where the first may be the cache's fault
STOP_S = 60.0  # more than a guardian takes to end an engine that resists


def deadline_s(study: Study, trial: Trial) -> float:
    """The longest that all phases of an evaluation together may take."""
    soak = study.confirmation.soak if trial.origin is Origin.SOAK else None
    duration_s = study.workload.duration_s if soak is None else soak.duration_s
    load_s = MAX_WARMUP_S + duration_s + study.workload.request_timeout_s + 30.0
    loads = len(trial.orders) * (EVALUATION_PROBES if study.searches_rate else 1)
    commands_s = COMMANDS_S if study.engine.stop_command else 0.0
    starts_s = STARTS * (study.engine.start_timeout_s + STOP_S + commands_s)
    return starts_s + loads * load_s + study.workload.request_timeout_s + STOP_S
