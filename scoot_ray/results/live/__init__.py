"""What is shown while a study runs: a full screen in a terminal, plain lines elsewhere, JSON lines for machines.

``scene_of`` gathers what is to be seen, ``frame`` draws it into any width and height; both are pure. The displays are
Watchers of the loop; ``follow`` feeds the same displays from the journal of a run of another process.
"""

from __future__ import annotations

from scoot_ray.results.live.display import LiveDisplay
from scoot_ray.results.live.events import EventLines, EventSink, ending
from scoot_ray.results.live.follow import follow, plan_of
from scoot_ray.results.live.frame import frame
from scoot_ray.results.live.lines import PlainLines
from scoot_ray.results.live.progress import expected_trials, remaining_s
from scoot_ray.results.live.scene import Activity, Scene, scene_of

__all__ = [
    "Activity",
    "EventLines",
    "EventSink",
    "LiveDisplay",
    "PlainLines",
    "Scene",
    "ending",
    "expected_trials",
    "follow",
    "frame",
    "plan_of",
    "remaining_s",
    "scene_of",
]
