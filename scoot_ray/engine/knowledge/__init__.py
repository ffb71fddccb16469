"""What we know of engines' parameters, as tables: which change speed alone, and their sensible ranges."""

from scoot_ray.engine.knowledge.circumstances import (
    Circumstances,
    Lengths,
    Model,
    links_are_slow,
    memory_of,
    release_of,
)
from scoot_ray.engine.knowledge.renames import translated
from scoot_ray.engine.knowledge.table import (
    Excluded,
    Included,
    Knowledge,
    LeaveOut,
    Range,
    Space,
    choose,
    range_of,
)
from scoot_ray.engine.knowledge.vllm import VLLM
from scoot_ray.engine.knowledge.vllm_untouched import CHANGES_ANSWERS, MISLED_BY_SYNTHETIC_PROMPTS

__all__ = [
    "CHANGES_ANSWERS",
    "MISLED_BY_SYNTHETIC_PROMPTS",
    "VLLM",
    "Circumstances",
    "Excluded",
    "Included",
    "Knowledge",
    "LeaveOut",
    "Lengths",
    "Model",
    "Range",
    "Space",
    "choose",
    "links_are_slow",
    "memory_of",
    "range_of",
    "release_of",
    "translated",
]
