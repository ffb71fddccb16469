"""The paper's rule for its baselines: what violates a constraint gets a penalty objective value (section V-A3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scoot_ray.search.problem import Problem, usable, worse_than_all
from scoot_ray.search.space import FloatArray
from scoot_ray.search.trial import Config, Observation


@dataclass(frozen=True, slots=True)
class Judged:
    """An observation with its costs (m,), measured or the penalty."""

    observation: Observation
    costs: FloatArray

    @property
    def config(self) -> Config:
        """What was tried."""
        return self.observation.trial.config


def judged(problem: Problem, history: Sequence[Observation]) -> list[Judged]:
    """All observations, those without usable figures at a penalty a tenth worse than the worst measured.

    What broke an SLO gets the penalty too, once anything kept them all. Empty while nothing usable was measured:
    there is no scale for a penalty then. Configurations that break the known constraints never come here; they are
    not evaluated.
    """
    ran = usable(problem, history)
    if not ran:
        return []
    penalty = worse_than_all(ran)
    keeping = [one for one in ran if problem.meets_slos(one.metrics)] or ran
    measured = {id(one.observation): one.costs for one in keeping}
    return [Judged(observation, measured.get(id(observation), penalty)) for observation in history]
