"""The journal: what has happened in a study, event by event, and the Log rebuilt from it."""

from scoot_ray.journal.encoding import (
    bounds_to_json,
    observation_from_json,
    observation_to_json,
    trial_from_json,
    trial_to_json,
)
from scoot_ray.journal.event import VERSION, Event, JournalError
from scoot_ray.journal.journal import Journal, applied

__all__ = [
    "VERSION",
    "Event",
    "Journal",
    "JournalError",
    "applied",
    "bounds_to_json",
    "observation_from_json",
    "observation_to_json",
    "trial_from_json",
    "trial_to_json",
]
