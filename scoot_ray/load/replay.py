"""Open-loop replay: every request is sent at its own time, whatever became of those before it.

Only a session's turn may be told to wait for the answer before it (``ScheduledCall.after``); it is then due when that
answer has ended, and what it waited is in its record.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
import numpy as np

from scoot_ray.load.audit import Audit, Vitals, audit
from scoot_ray.load.client.exchange import Exchange
from scoot_ray.load.client.loop import (
    quiet_collector,
    running_clock,
    running_selector,
    sample_lag,
    task_group,
    urgent_process,
)
from scoot_ray.load.client.target import Target, connections_opened, open_session
from scoot_ray.load.figures.metrics import current_latencies_ms
from scoot_ray.load.hooks import NO_HOOKS, TICK_S, Hooks, Progress
from scoot_ray.load.lookout import Lookout
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.trace import CANCELLED, RequestRecord

RECENT = 32
"""Successes that the latencies shown meanwhile are taken from."""
CATCH_UP_S = 1.0
"""How long what a stream has sent may wait to be looked into, where nothing calls for it."""

DRAIN_S = 120.0
_LEAD_S = 0.05  # between the start and the first moment anything can be due

DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """One record for each call of the plan, in its order, and how well they were sent.

    ``ended_early`` is ``stopped``, ``engine_died`` or ``hopeless``; requests then under way fail with it, and those not
    yet sent have no ``sent_s``. ``vitals`` has one entry for each client process. ``load_s`` runs from the start to
    the last sending, ``drain_s`` from there to the end.
    """

    records: tuple[RequestRecord, ...]
    audit: Audit
    vitals: tuple[Vitals, ...]
    load_s: float
    drain_s: float
    ended_early: str | None = None


async def replay(
    target: Target,
    plan: Sequence[ScheduledCall],
    *,
    hooks: Hooks = NO_HOOKS,
    drain_s: float = DRAIN_S,
    session: aiohttp.ClientSession | None = None,
    start_s: float | None = None,
) -> ReplayResult:
    """Send every call when it is due and wait for the last, at most ``drain_s`` beyond the last sending.

    The plan starts at ``start_s`` of the monotonic clock, or at once. Failures are in the records; nothing is raised
    for them. Run it in a PreciseEventLoop for exact times. Meanwhile the garbage collector is off in the whole process,
    and this thread goes first where that is allowed.
    """
    if session is None:
        async with open_session(target) as own:
            return await replay(target, plan, hooks=hooks, drain_s=drain_s, session=own, start_s=start_s)
    lags_s: list[float] = []
    flight = _Flight(target, plan, session, hooks)
    selector, opened = running_selector(), connections_opened(session)
    if selector is not None:
        selector.watch_turns()
    with quiet_collector(), urgent_process():
        cpu_s, begun_s = time.thread_time(), time.monotonic()
        async with task_group() as tasks:
            sampler = tasks.create_task(sample_lag(lags_s))
            await flight.fly(tasks, begun_s + _LEAD_S if start_s is None else start_s, drain_s)
            sampler.cancel()
        end_s = time.monotonic()
        cpu_s = time.thread_time() - cpu_s
    records = flight.records()
    vitals = Vitals(
        loop_lags_s=np.asarray(lags_s),
        receive_lags_s=np.empty(0) if selector is None else selector.receive_lags_s(),
        cpu_s=cpu_s,
        elapsed_s=end_s - begun_s,
        connections_opened=connections_opened(session) - opened,
    )
    return ReplayResult(
        records=records,
        audit=audit(records, (vitals,)),
        vitals=(vitals,),
        load_s=flight.all_sent_s - begun_s,
        drain_s=end_s - flight.all_sent_s,
        ended_early=flight.ended_early,
    )


class _Flight:
    """The state of one replay: what is under way, on which replica, and what has come back."""

    def __init__(
        self, target: Target, plan: Sequence[ScheduledCall], session: aiohttp.ClientSession, hooks: Hooks
    ) -> None:
        self._target = target
        self._plan = plan
        self._session = session
        self._hooks = hooks
        self._lookout = Lookout(plan, hooks)
        self._clock = running_clock()
        self._start_s = 0.0
        self._sending = True
        self._sent = self._failed = self._cancelled = 0
        self._landed: dict[int, RequestRecord] = {}
        self._recent: deque[RequestRecord] = deque(maxlen=RECENT)
        self._in_flight: set[Exchange] = set()
        self._ends_s: dict[int, asyncio.Future[float]] = {
            item.after: asyncio.get_running_loop().create_future() for item in plan if item.after is not None
        }
        self._waiting: set[asyncio.Task[None]] = set()
        self._outstanding = [0] * len(target.base_urls)
        self._over = asyncio.Event()
        self.all_sent_s = 0.0
        self.ended_early: str | None = None
        self._unsent_error: str | None = None

    async def fly(self, tasks: asyncio.TaskGroup, start_s: float, drain_s: float) -> None:
        """Send all and wait for all, looking up at every tick."""
        self._start_s = self._lookout.start_s = start_s
        sender = tasks.create_task(self._send_all(tasks))
        while not await self._over_within(TICK_S):
            reason = self._hooks.reason_to_end() or self._lookout.reason_to_end(self._in_flight)
            if reason is not None and self.ended_early is None:
                self.ended_early = reason
                sender.cancel()
                self._stop_sending()
                self._give_up(reason)
            elif not self._sending and time.monotonic() > self.all_sent_s + drain_s:
                self._give_up(DRAIN)
            for exchange in self._in_flight:
                exchange.catch_up(time.monotonic() - CATCH_UP_S)
            self._tell()
        self._tell()

    def records(self) -> tuple[RequestRecord, ...]:
        """One record a call; those never sent have failed with the reason why."""
        return tuple(self._landed.get(item.index) or self._unsent(item) for item in self._plan)

    async def _over_within(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._over.wait()
        return self._over.is_set()

    async def _send_all(self, tasks: asyncio.TaskGroup) -> None:
        for item in self._plan:
            due_s = self._start_s + item.at_s
            wait_s = due_s - time.monotonic()
            if wait_s > 0:
                await asyncio.sleep(wait_s)
            if item.after is None:
                self._send(tasks, item, due_s)
            else:
                waiting = tasks.create_task(self._send_in_turn(tasks, item, due_s, self._ends_s[item.after]))
                self._waiting.add(waiting)
                waiting.add_done_callback(self._no_longer_waiting)
        self._stop_sending()

    async def _send_in_turn(
        self, tasks: asyncio.TaskGroup, item: ScheduledCall, due_s: float, before_s: asyncio.Future[float]
    ) -> None:
        """Send once the session's turn before this one has ended and its reader has thought."""
        own_s = max(due_s, await before_s + item.think_s)
        await asyncio.sleep(own_s - time.monotonic())
        self._send(tasks, item, own_s, waited_s=own_s - due_s)

    def _send(self, tasks: asyncio.TaskGroup, item: ScheduledCall, due_s: float, waited_s: float = 0.0) -> None:
        replica = self._next_replica()
        exchange = Exchange(self._target, item, due_s, self._clock, replica, waited_s)
        self._in_flight.add(exchange)
        self._outstanding[replica] += 1
        self._sent += 1
        tasks.create_task(self._land(item.index, exchange, replica))

    async def _land(self, index: int, exchange: Exchange, replica: int) -> None:
        record = await exchange.run(self._session)
        self._landed[index] = record
        self._lookout.ended(record)
        self._failed += record.error is not None and record.error != CANCELLED
        self._cancelled += record.error == CANCELLED
        if record.error is None:
            self._recent.append(record)
        self._in_flight.discard(exchange)
        self._outstanding[replica] -= 1
        end_s = self._ends_s.get(index)
        if end_s is not None and not end_s.done():  # one that nobody waits for any more is cancelled
            end_s.set_result(time.monotonic())
        self._look_whether_over()

    def _no_longer_waiting(self, waiting: asyncio.Task[None]) -> None:
        self._waiting.discard(waiting)
        self._look_whether_over()

    def _stop_sending(self) -> None:
        if self._sending:
            self._sending = False
            self.all_sent_s = time.monotonic()
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if not (self._sending or self._in_flight or self._waiting):
            self._over.set()

    def _give_up(self, reason: str) -> None:
        self._unsent_error = reason
        for waiting in self._waiting:
            waiting.cancel()
        for exchange in self._in_flight:
            exchange.expire(reason)

    def _next_replica(self) -> int:
        replicas = len(self._outstanding)
        if self._target.spread == "round_robin":
            return self._sent % replicas
        return min(range(replicas), key=lambda replica: (self._outstanding[replica], (replica - self._sent) % replicas))

    def _unsent(self, item: ScheduledCall) -> RequestRecord:
        return RequestRecord(
            index=item.index,
            scheduled_s=self._start_s + item.at_s,
            sent_s=None,
            error=self._unsent_error,
            input_tokens=item.call.input_tokens,
            output_tokens=item.call.output_tokens,
            request_class=item.call.request_class,
        )

    def _tell(self) -> None:
        if self._hooks.on_progress is not None:
            completed = len(self._landed) - self._failed - self._cancelled
            elapsed_s = time.monotonic() - self._start_s
            current = current_latencies_ms(self._recent)
            self._hooks.on_progress(Progress(len(self._plan), self._sent, completed, self._failed, elapsed_s, *current))
