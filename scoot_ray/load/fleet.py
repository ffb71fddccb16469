"""Replaying with as many processes as the load needs: one schedule, one clock, one list of records.

The monotonic clock is the machine's, so every process starts at the same moment of it and their times compare. The plan
is dealt out call by call; sessions whose turns wait stay together. A process is ``python -m scoot_ray.load.member`` and
talks pickle over its standard streams; it ends with them, so none outlives this one.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import struct
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, TypeAlias

import aiohttp

from scoot_ray.load.audit import audit
from scoot_ray.load.client.target import Target
from scoot_ray.load.errors import LoadError
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.standing import Standing, together
from scoot_ray.load.hooks import HOPELESS, NO_HOOKS, TICK_S, Hooks, Progress
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.replay import ReplayResult, replay

Processes: TypeAlias = int | Literal["auto"]

TOKENS_PER_S = 15_000
"""What one process is asked to carry. It carries more, but not on a slow or busy core."""

REQUESTS_PER_S = 400
READY_S = 60.0
_LEAD_S = 0.3  # between the word to start and the start, in which every process must have read it
_MARGIN_S = 30.0  # beyond the plan, its drain and a request's timeout
_HEAD = struct.Struct("!Q")


@dataclass(frozen=True, slots=True)
class Job:
    """What one member replays; where it is ``watched``, it also tells where it stands."""

    target: Target
    plan: tuple[ScheduledCall, ...]
    drain_s: float
    goodput: tuple[Limit, ...] = ()
    watched: bool = False


def processes_for(plan: Sequence[ScheduledCall], span_s: float, cores: int) -> int:
    """How many processes the load needs, by the tokens and requests it asks for, at most one a core."""
    span_s = max(span_s, 1.0)
    tokens_per_s = sum(item.call.output_tokens for item in plan if item.call.streamed) / span_s
    needed = tokens_per_s / TOKENS_PER_S + len(plan) / span_s / REQUESTS_PER_S
    return max(1, min(cores, len(plan), int(-(-needed // 1))))


def deal(plan: Sequence[ScheduledCall], hands: int) -> tuple[tuple[ScheduledCall, ...], ...]:
    """Deal the calls out in turn, each chain of waiting turns into the hand of its first."""
    dealt: list[list[ScheduledCall]] = [[] for _ in range(hands)]
    holder: dict[int, int] = {}
    for item in plan:
        hand = item.index % hands if item.after is None else holder[item.after]
        holder[item.index] = hand
        dealt[hand].append(item)
    return tuple(tuple(hand) for hand in dealt if hand)


async def replay_together(
    target: Target,
    plan: Sequence[ScheduledCall],
    *,
    processes: Processes = "auto",
    span_s: float,
    hooks: Hooks = NO_HOOKS,
    drain_s: float,
    session: aiohttp.ClientSession,
) -> ReplayResult:
    """``replay`` by as many processes as asked for or, with auto, as the load needs; one is this one.

    Raises LoadError for a number below 1, and RuntimeError where a process does not start or dies.
    """
    if processes != "auto" and processes < 1:
        raise LoadError(f"processes: {processes}; allowed auto or a number from 1 on")
    wanted = processes_for(plan, span_s, len(os.sched_getaffinity(0))) if processes == "auto" else processes
    hands = deal(plan, wanted)
    if len(hands) == 1:
        return await replay(target, plan, hooks=hooks, drain_s=drain_s, session=session)
    jobs = [Job(target, hand, drain_s, hooks.goodput, hooks.hopeless is not None) for hand in hands]
    last_s = max(item.at_s for item in plan)
    deadline_s = time.monotonic() + READY_S + last_s + drain_s + target.timeout_s + _MARGIN_S
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline_s - time.monotonic()):
        async with _members(jobs) as members:
            return await _conduct(members, plan, hooks)


class _Member:
    """One process, seen from here."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.progress = Progress(0, 0, 0, 0, 0.0)
        self.standing: Standing | None = None
        self.result: ReplayResult | None = None

    async def say(self, message: object) -> None:
        """Send a message. Raises RuntimeError where nobody is there."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(encoded(message))
            await self._process.stdin.drain()
        except OSError as error:
            raise RuntimeError("a client process died") from error

    async def hear(self) -> Any:
        """Wait for the next message. Raises RuntimeError where none will come."""
        assert self._process.stdout is not None
        try:
            (size,) = _HEAD.unpack(await self._process.stdout.readexactly(_HEAD.size))
            return pickle.loads(await self._process.stdout.readexactly(size))  # noqa: S301 - our own child's
        except asyncio.IncompleteReadError as error:
            raise RuntimeError(f"a client process died (exit code {await self._process.wait()})") from error

    async def follow(self) -> None:
        """Take its progress in until it has a result."""
        while self.result is None:
            message = await self.hear()
            if isinstance(message, Progress):
                self.progress = message
            elif isinstance(message, Standing):
                self.standing = message
            else:
                self.result = message


def encoded(message: object) -> bytes:
    """Frame a message between processes: its size, then its pickle."""
    body = pickle.dumps(message)
    return _HEAD.pack(len(body)) + body


@asynccontextmanager
async def _members(jobs: Sequence[Job]) -> AsyncIterator[list[_Member]]:
    """Start a process for each job and wait until all are ready; end them whatever happens."""
    async with AsyncExitStack() as stack:
        members = []
        for job in jobs:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "scoot_ray.load.member", stdin=-1, stdout=-1, limit=1 << 24
            )
            stack.push_async_callback(_end, process)
            members.append(_Member(process))
            await members[-1].say(job)
        async with asyncio.timeout(READY_S):
            for member in members:
                await member.hear()
        yield members


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _conduct(members: Sequence[_Member], plan: Sequence[ScheduledCall], hooks: Hooks) -> ReplayResult:
    """Start all at one moment, pass on what the hooks say, and put the results together."""
    start_s = time.monotonic() + _LEAD_S
    for member in members:
        await member.say(start_s)
    told = False
    following = [asyncio.create_task(member.follow()) for member in members]
    try:
        while (await asyncio.wait(following, timeout=TICK_S, return_when=asyncio.FIRST_EXCEPTION))[1]:
            for task in following:
                if task.done():
                    task.result()
            reason = hooks.reason_to_end() or _hopeless(members, hooks)
            if reason is not None and not told:
                told = True
                for member in members:
                    await member.say(reason)
            _tell(members, len(plan), start_s, hooks)
        for task in following:
            task.result()
    finally:
        for task in following:
            task.cancel()
    _tell(members, len(plan), start_s, hooks)
    return _merged([member.result for member in members if member.result is not None])


def _hopeless(members: Sequence[_Member], hooks: Hooks) -> str | None:
    """Ask once each time that all members have told anew where they stand."""
    standings = [member.standing for member in members if member.standing is not None]
    if hooks.hopeless is None or len(standings) < len(members):
        return None
    for member in members:
        member.standing = None
    return HOPELESS if hooks.hopeless(together(standings)) else None


def _tell(members: Sequence[_Member], planned: int, start_s: float, hooks: Hooks) -> None:
    if hooks.on_progress is not None:
        seen = [member.progress for member in members]
        hooks.on_progress(
            Progress(
                planned,
                sum(one.sent for one in seen),
                sum(one.completed for one in seen),
                sum(one.failed for one in seen),
                time.monotonic() - start_s,
                _middle([one.ttft_ms for one in seen]),
                _middle([one.tpot_ms for one in seen]),
            )
        )


def _middle(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def _merged(results: Sequence[ReplayResult]) -> ReplayResult:
    records = tuple(sorted((one for result in results for one in result.records), key=lambda record: record.index))
    vitals = tuple(one for result in results for one in result.vitals)
    load_s = max(result.load_s for result in results)
    return ReplayResult(
        records=records,
        audit=audit(records, vitals),
        vitals=vitals,
        load_s=load_s,
        drain_s=max(result.load_s + result.drain_s for result in results) - load_s,
        ended_early=next((result.ended_early for result in results if result.ended_early is not None), None),
    )
