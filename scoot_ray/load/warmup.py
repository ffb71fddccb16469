"""The warm-up: requests of the load's own shapes, before and apart from the measured ones.

``auto`` sends the same few shapes, with new tokens each time, in rounds until a round's median latency is what the
last one's was: compilation, caches and lazy allocations are behind the engine then.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal, TypeAlias

import aiohttp

from scoot_ray.load.client.exchange import Exchange
from scoot_ray.load.client.loop import running_clock, task_group
from scoot_ray.load.client.target import Target
from scoot_ray.load.errors import LoadError
from scoot_ray.load.hooks import NO_HOOKS, TICK_S, Hooks
from scoot_ray.load.plan import CallMaker, ScheduledCall
from scoot_ray.load.prompts import warmup_stand_in
from scoot_ray.load.trace import Request, RequestRecord

Warmup: TypeAlias = int | Literal["auto"]

ROUND_CALLS = 8
"""Requests of one round for each replica, sent together."""

MAX_ROUNDS = 8
MAX_WARMUP_S = 60.0
STATIONARY_CHANGE = 0.1
"""Two rounds whose median latencies differ by at most this share are the same."""


@dataclass(frozen=True, slots=True)
class WarmupReport:
    """What the warm-up did. ``stationary`` is None where a number of requests was asked for instead."""

    sent: int = 0
    failed: int = 0
    duration_s: float = 0.0
    stationary: bool | None = None


async def warm_up(
    target: Target,
    session: aiohttp.ClientSession,
    requests: Sequence[Request],
    maker: CallMaker,
    *,
    warmup: Warmup,
    seed: int = 0,
    hooks: Hooks = NO_HOOKS,
) -> WarmupReport:
    """Send ``warmup`` requests, or rounds until latencies are stationary within ``MAX_ROUNDS`` and ``MAX_WARMUP_S``.

    ``maker`` must have a salt of its own, apart from the measurement's. Failures are counted, not raised: the load
    itself will show them. Ends early as the hooks say. Raises LoadError for a negative number.
    """
    if warmup != "auto" and warmup < 0:
        raise LoadError(f"warmup: {warmup}; allowed auto or a number from 0 on")
    start_s = time.monotonic()
    size = ROUND_CALLS * len(target.base_urls)
    most = MAX_ROUNDS * size if warmup == "auto" else warmup
    shapes = _spread(requests, size)
    records: list[RequestRecord] = []
    before_ms: float | None = None
    stationary = False
    answers = True  # a server that answers no request of a round will not be warm after another
    deadline_s = start_s + MAX_WARMUP_S if warmup == "auto" else math.inf
    while len(records) < most and answers and not stationary and _reason_to_end(deadline_s, hooks) is None:
        batch = _batch(shapes, maker, len(records), min(size, most - len(records)), seed)
        landed = await _send_together(target, session, batch, deadline_s, hooks)
        records += landed
        answers = any(record.error is None for record in landed)
        now_ms = _median_latency(landed)
        stationary = warmup == "auto" and _same(before_ms, now_ms)
        before_ms = now_ms
    return WarmupReport(
        sent=len(records),
        failed=sum(record.error is not None for record in records),
        duration_s=time.monotonic() - start_s,
        stationary=stationary if warmup == "auto" else None,
    )


def _reason_to_end(deadline_s: float, hooks: Hooks) -> str | None:
    return "timeout" if time.monotonic() > deadline_s else hooks.reason_to_end()


def _spread(requests: Sequence[Request], count: int) -> list[Request]:
    """``count`` requests evenly spread over all, by length: a round then looks like the load."""
    by_length = sorted(requests, key=lambda request: (request.input_tokens or 0) + request.output_tokens)
    return [by_length[(2 * i + 1) * len(by_length) // (2 * count)] for i in range(count)]


def _batch(shapes: Sequence[Request], maker: CallMaker, first: int, count: int, seed: int) -> list[ScheduledCall]:
    calls = []
    for number in range(first, first + count):
        stand_in = warmup_stand_in(shapes[number % len(shapes)], seed, maker.salt, number)
        shape = replace(stand_in, cancel_after_s=None)
        trace_pass = number // len(shapes)  # tokens anew in every round, or the second would only meet a warm cache
        calls.append(ScheduledCall(number, 0.0, maker.make(shape, number, f"warmup-{number}", trace_pass)))
    return calls


async def _send_together(
    target: Target, session: aiohttp.ClientSession, batch: Sequence[ScheduledCall], deadline_s: float, hooks: Hooks
) -> list[RequestRecord]:
    now_s, clock = time.monotonic(), running_clock()
    replicas = len(target.base_urls)
    exchanges = [Exchange(target, call, now_s, clock, call.index % replicas) for call in batch]
    async with task_group() as tasks:
        running = [tasks.create_task(exchange.run(session)) for exchange in exchanges]
        while (await asyncio.wait(running, timeout=TICK_S))[1]:
            reason = _reason_to_end(deadline_s, hooks)
            if reason is not None:
                for exchange in exchanges:
                    exchange.expire(reason)
    return [task.result() for task in running]


def _median_latency(records: Sequence[RequestRecord]) -> float | None:
    latencies_s = [record.done_s - record.scheduled_s for record in records if not record.error and record.done_s]
    return median(latencies_s) if latencies_s else None


def _same(before: float | None, now: float | None) -> bool:
    return before is not None and now is not None and abs(now - before) <= STATIONARY_CHANGE * before
