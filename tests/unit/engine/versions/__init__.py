"""Recorded answers of five vLLMs; see README.md."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from scoot_ray.engine.catalogue import EngineFlags, flags_from_json
from scoot_ray.engine.help_text import flags_from_help

FOLDER = Path(__file__).parent
VERSIONS = ("0.4.2", "0.6.6.post1", "0.8.5", "0.11.2", "0.32.0")


@cache
def parsed(version: str) -> EngineFlags:
    """What the version's parser says."""
    return flags_from_json(json.loads((FOLDER / f"vllm-{version}.json").read_text()))


@cache
def printed(version: str) -> EngineFlags:
    """What its help text says."""
    return flags_from_help((FOLDER / f"vllm-{version}.txt").read_text())
