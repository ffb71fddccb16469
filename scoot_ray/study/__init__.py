"""study.yaml -> frozen Study. The only place that reads configuration; everything wrong with it is found here.

A mistake raises StudyError with one line: file, key, value, what is allowed.
"""

from scoot_ray.study.base import StudyError
from scoot_ray.study.engine import Engine, FromEnvironment
from scoot_ray.study.parallelism import Parallelism
from scoot_ray.study.reading import parse_study, read_study
from scoot_ray.study.sections import MAX_RATE, Budget, Confirmation, Patience, Resources, Soak, Study
from scoot_ray.study.space import ParameterChange, ParameterSpec, SpaceFrom

__all__ = [
    "MAX_RATE",
    "Budget",
    "Confirmation",
    "Engine",
    "FromEnvironment",
    "Parallelism",
    "ParameterChange",
    "ParameterSpec",
    "Patience",
    "Resources",
    "Soak",
    "SpaceFrom",
    "Study",
    "StudyError",
    "parse_study",
    "read_study",
]
