"""One measurement from end to end: vocabulary, schedule, prompts, warm-up, replay, metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from scoot_ray.load.arrivals import Arrivals, Schedule, schedule
from scoot_ray.load.client.dialect import Engine
from scoot_ray.load.client.loop import PreciseEventLoop
from scoot_ray.load.client.target import Target, open_session
from scoot_ray.load.figures.bottleneck import NO_ACCOUNT, ServerWindow
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.metrics import metrics_of
from scoot_ray.load.figures.prefixes import shareable_prefix
from scoot_ray.load.figures.server_metrics import ServerWatch
from scoot_ray.load.fleet import Processes, replay_together
from scoot_ray.load.hooks import NO_HOOKS, Hooks
from scoot_ray.load.plan import CallMaker, Endpoint, ScheduledCall, Sessions, make_plan
from scoot_ray.load.prompts import TokenPrompts
from scoot_ray.load.replay import DRAIN_S, ReplayResult
from scoot_ray.load.trace import Request
from scoot_ray.load.vocabulary import Vocabulary, learn_vocabulary
from scoot_ray.load.warmup import Warmup, WarmupReport, warm_up


@dataclass(frozen=True, slots=True)
class Load:
    """What is offered to a server: requests, when they arrive, and in which of the arrival orders.

    ``salt`` must differ between measurements of one engine, or the second meets the first's cached prefixes. With
    ``sessions`` wait, a turn is sent ``think_s`` after the answer before it has ended, but not before its own time.
    """

    requests: tuple[Request, ...]
    arrivals: Arrivals
    salt: str
    duration_s: float | None = None
    count: int | None = None
    seed: int = 0
    order: int = 0
    warmup: Warmup = "auto"
    endpoint: Endpoint = "auto"
    drain_s: float = DRAIN_S
    goodput: tuple[Limit, ...] = ()
    sessions: Sessions = "independent"
    think_s: float = 0.0
    engine: Engine = "vllm"
    stream: bool = True
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    processes: Processes = "auto"


@dataclass(frozen=True, slots=True)
class Measurement:
    """A replay with its metrics. ``reused`` arrivals repeat a request; ``notes`` are lines for the user.

    ``server`` is the engine's own account of the load.
    """

    metrics: dict[str, float]
    replay: ReplayResult
    warmup: WarmupReport
    reused: int = 0
    notes: tuple[str, ...] = ()
    server: ServerWindow = NO_ACCOUNT

    @property
    def delayed_turns(self) -> int:
        """Turns of sessions that were sent later than their time, because the answer before them was late."""
        return sum(record.waited_s > 0 for record in self.replay.records)


async def measure(target: Target, load: Load, hooks: Hooks = NO_HOOKS) -> Measurement:
    """Warm up, replay and compute. Raises LoadError for a load that cannot be sent; failed requests raise nothing."""
    timetable = schedule(
        load.arrivals,
        load.requests,
        duration_s=load.duration_s,
        count=load.count,
        seed=load.seed,
        order=load.order,
    )
    async with open_session(target) as session:
        vocabulary = await _vocabulary(session, target, load.requests)
        maker = _maker(target, load, vocabulary, load.salt)
        plan = make_plan(load.requests, timetable, maker, load.sessions, load.think_s)
        warmed = await warm_up(
            target,
            session,
            load.requests,
            _maker(target, load, vocabulary, f"{load.salt}/warmup"),
            warmup=load.warmup,
            seed=load.seed,
            hooks=hooks,
        )
        watch = ServerWatch(target)
        watch.start()
        try:
            result = await replay_together(
                target,
                plan,
                processes=load.processes,
                span_s=timetable.span_s,
                hooks=hooks,
                drain_s=load.drain_s,
                session=session,
            )
        finally:
            samples = watch.stop()
    return Measurement(
        metrics=metrics_of(result.records, offered_s=timetable.span_s, goodput=load.goodput),
        replay=result,
        warmup=warmed,
        reused=timetable.reused,
        notes=_notes(vocabulary, timetable, plan, warmed),
        server=ServerWindow(samples, _last_sent_s(result), shareable_prefix(load.requests, timetable)),
    )


def run_replay(target: Target, load: Load, hooks: Hooks = NO_HOOKS) -> Measurement:
    """``measure`` in an event loop of its own, in any thread that has none running."""
    with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
        return runner.run(measure(target, load, hooks))


def _last_sent_s(result: ReplayResult) -> float:
    return max((record.sent_s for record in result.records if record.sent_s is not None), default=0.0)


async def _vocabulary(
    session: aiohttp.ClientSession, target: Target, requests: tuple[Request, ...]
) -> Vocabulary | None:
    """Learn token ids where some request is made of them; None where all are text."""
    if all(request.prompt is not None or request.messages is not None for request in requests):
        return None
    return await learn_vocabulary(session, target.base_urls[0], target.model)


def _maker(target: Target, load: Load, vocabulary: Vocabulary | None, salt: str) -> CallMaker:
    token_ids = (0,) if vocabulary is None else vocabulary.token_ids
    return CallMaker(
        target.model,
        TokenPrompts(token_ids, load.seed, salt),
        salt,
        endpoint=load.endpoint,
        engine=load.engine,
        stream=load.stream,
        extra_body=load.extra_body,
    )


def _notes(
    vocabulary: Vocabulary | None, timetable: Schedule, plan: tuple[ScheduledCall, ...], warmed: WarmupReport
) -> tuple[str, ...]:
    notes = []
    if vocabulary is not None and vocabulary.note is not None:
        notes.append(vocabulary.note)
    if timetable.reused:
        notes.append(f"{timetable.reused} of {len(plan)} arrivals repeat a request: the trace is shorter than the load")
    if warmed.failed:
        notes.append(f"{warmed.failed} of {warmed.sent} warm-up requests failed")
    if warmed.stationary is False:
        notes.append(f"latencies were not stationary after {warmed.sent} warm-up requests ({warmed.duration_s:.0f} s)")
    return tuple(notes)
