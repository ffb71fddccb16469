"""What a slot is doing, for those who watch."""

from __future__ import annotations

from dataclasses import dataclass

from scoot_ray.search import Trial


@dataclass(frozen=True, slots=True)
class Activity:
    """What one slot is doing: ``phase`` since ``since_s`` seconds, as last heard."""

    trial: Trial
    phase: str
    since_s: float
    where: str
