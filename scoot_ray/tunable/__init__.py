"""What a study's ``space`` stands for: parameters with their reasons, for its engine, model, hardware and trace."""

from scoot_ray.tunable.cautions import cautions
from scoot_ray.tunable.naming import Tunables, tunables

__all__ = ["Tunables", "cautions", "tunables"]
