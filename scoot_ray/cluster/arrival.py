"""Which evaluations have ended and whether their results can be had, without ever waiting for a node that is dying."""

from __future__ import annotations

import time
from collections.abc import Sequence

import ray

from scoot_ray.cluster.running import Running
from scoot_ray.search import Failed, FailureKind

HERE_WITHIN_S = 60.0  # a result of some megabytes, over a slow network


def arrived(running: Sequence[Running], timeout_s: float) -> tuple[list[Running], list[Running]]:
    """Those whose result is on this machine, after at most ``timeout_s``, and those whose result has gone astray.

    That is: it could have been had from some node for a minute, and has not come.
    """
    results = {one.result: one for one in running}
    if not results:
        return [], []
    ray.wait(list(results), num_returns=1, timeout=timeout_s)
    here, rest = ray.wait(list(results), num_returns=len(results), timeout=0)
    elsewhere = ray.wait(rest, num_returns=len(rest), timeout=0, fetch_local=False)[0] if rest else []
    now_s = time.monotonic()
    for ref in (*here, *elsewhere):
        results[ref].finished_s = results[ref].finished_s or now_s
    strayed = [one for one in results.values() if one.finished_s and now_s - one.finished_s > HERE_WITHIN_S]
    return [results[ref] for ref in here if results[ref] not in strayed], strayed


def astray(leaving: bool) -> Failed:
    """What is said of an evaluation whose result does not come: it is lost with its node, or the way to it."""
    kind = FailureKind.PREEMPTED if leaving else FailureKind.NODE_LOST
    return Failed(kind, f"its result did not come from its node within {HERE_WITHIN_S:.0f} s")
