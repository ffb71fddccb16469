"""``scoot-ray doctor``: what this machine can do, and each problem with the command that mends it.

Every check is a small function that returns findings and takes what it reads as an argument. None takes longer than
its own deadline, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from scoot_ray.doctor.cluster import cluster
from scoot_ray.doctor.engines import candidates, engines
from scoot_ray.doctor.finding import Finding, problem
from scoot_ray.doctor.gpus import gpus
from scoot_ray.doctor.hub import hub
from scoot_ray.doctor.machine import clock, disks, open_files, ports, processor

__all__ = ["Finding", "examine"]


def examine(pythons: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Return what all checks find, in a fixed order; ``pythons`` are looked into for engines besides the usual ones."""
    cards = tuple(gpus())
    on_gpus = any(one.about.startswith("GPU ") for one in cards)
    checks: list[Callable[[], Iterable[Finding]]] = [
        partial(engines, candidates(pythons), on_gpus),
        lambda: cards,
        lambda: (processor(),),
        cluster,
        disks,
        ports,
        lambda: (open_files(),),
        hub,
        clock,
    ]
    with ThreadPoolExecutor(len(checks)) as pool:
        return tuple(one for found in pool.map(_safely, checks) for one in found)


def _safely(check: Callable[[], Iterable[Finding]]) -> tuple[Finding, ...]:
    """A check that fails is a finding, too: the others are worth having."""
    try:
        return tuple(check())
    except Exception as error:
        return (problem("doctor", f"a check failed: {type(error).__name__}: {error}", "scoot-ray doctor --json"),)
