"""Kinds of services that are looked at apart."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from benchmarks.search.campaign import read_kind
from benchmarks.search.relatives import find_scenario

EVERY = "all"


def groups(folder: Path, names: Collection[str]) -> dict[str, frozenset[str]]:
    """Services by kind: their objectives, their SLOs, and how hard they are as far as that was counted.

    Hard: at most a tenth of the space beats the default. Crashing: three tenths or more of it fail. Groups without
    members, and such as have all, are left out.
    """
    scenarios = {name: find_scenario(name) for name in names}
    kinds = {name: kind for name in names if (kind := read_kind(folder, name)) is not None}
    two = {name for name, one in scenarios.items() if one.objectives == "interactive"}
    bound = {name for name, one in scenarios.items() if one.slos}
    hard = {name for name, kind in kinds.items() if kind.hard}
    found = {
        "one objective": scenarios.keys() - two,
        "two objectives": two,
        "without SLOs": scenarios.keys() - bound,
        "with SLOs": bound,
        "easy": kinds.keys() - hard,
        "hard": hard,
        "crashing": {name for name, kind in kinds.items() if kind.crashing},
    }
    kept = {title: frozenset(members) for title, members in found.items() if 0 < len(members) < len(scenarios)}
    return {EVERY: frozenset(scenarios), **kept}
