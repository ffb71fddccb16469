"""Open-loop replay: every request is sent at its own time, whatever became of those before it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from scoot_ray.load.audit import Audit, audit
from scoot_ray.load.client import Exchange
from scoot_ray.load.loop import quiet_collector, receive_clock, sample_lag, task_group, urgent_process
from scoot_ray.load.metrics import current_latencies_ms
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.target import Target, open_session
from scoot_ray.load.trace import RequestRecord

TICK_S = 0.1
"""How often a stop, the engine's life and the drain's deadline are looked at."""

RECENT = 32
"""Successes that the latencies shown meanwhile are taken from."""

DRAIN_S = 120.0
_LEAD_S = 0.05  # between the start and the first moment anything can be due

STOPPED = "stopped"
ENGINE_DIED = "engine_died"
DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a replay is. ``ttft_ms`` and ``tpot_ms`` are medians over the last few successes, None without any."""

    planned: int
    sent: int
    completed: int
    failed: int
    elapsed_s: float
    ttft_ms: float | None = None
    tpot_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the caller may say and hear meanwhile. All are called in the replay's thread and must return at once.

    ``stop`` returning True, or ``engine_alive`` returning False, ends the replay within a tick.
    """

    stop: Callable[[], bool] | None = None
    engine_alive: Callable[[], bool] | None = None
    on_progress: Callable[[Progress], None] | None = None

    def reason_to_end(self) -> str | None:
        """Say why the replay should end now, if it should."""
        if self.stop is not None and self.stop():
            return STOPPED
        if self.engine_alive is not None and not self.engine_alive():
            return ENGINE_DIED
        return None


NO_HOOKS = Hooks()


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """One record for each call of the plan, in its order, and how well they were sent.

    ``ended_early`` is ``stopped`` or ``engine_died``; requests then under way fail with it, and those not yet sent
    have no ``sent_s``. ``load_s`` runs from the start to the last sending, ``drain_s`` from there to the end.
    """

    records: tuple[RequestRecord, ...]
    audit: Audit
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
) -> ReplayResult:
    """Send every call when it is due and wait for the last, at most ``drain_s`` beyond the last sending.

    Failures are in the records; nothing is raised for them. Run it in a PreciseEventLoop for exact times. Meanwhile the
    garbage collector is off in the whole process, and this thread goes first where that is allowed.
    """
    if session is None:
        async with open_session(target) as own:
            return await replay(target, plan, hooks=hooks, drain_s=drain_s, session=own)
    lags_s: list[float] = []
    flight = _Flight(target, plan, session, hooks)
    with quiet_collector(), urgent_process():
        cpu_s, start_s = time.thread_time(), time.monotonic()
        async with task_group() as tasks:
            sampler = tasks.create_task(sample_lag(lags_s))
            await flight.fly(tasks, start_s + _LEAD_S, drain_s)
            sampler.cancel()
        end_s = time.monotonic()
        cpu_share = (time.thread_time() - cpu_s) / max(end_s - start_s, 1e-9)
    records = flight.records()
    return ReplayResult(
        records=records,
        audit=audit(records, lags_s, cpu_share),
        load_s=flight.all_sent_s - start_s,
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
        self._received_s = receive_clock()
        self._start_s = 0.0
        self._sending = True
        self._sent = self._failed = 0
        self._landed: dict[int, RequestRecord] = {}
        self._recent: deque[RequestRecord] = deque(maxlen=RECENT)
        self._in_flight: set[Exchange] = set()
        self._outstanding = [0] * len(target.base_urls)
        self._over = asyncio.Event()
        self.all_sent_s = 0.0
        self.ended_early: str | None = None

    async def fly(self, tasks: asyncio.TaskGroup, start_s: float, drain_s: float) -> None:
        """Send all and wait for all, looking up at every tick."""
        self._start_s = start_s
        sender = tasks.create_task(self._send_all(tasks))
        while not await self._over_within(TICK_S):
            reason = self._hooks.reason_to_end()
            if reason is not None and self.ended_early is None:
                self.ended_early = reason
                sender.cancel()
                self._stop_sending()
                self._expire_all(reason)
            elif not self._sending and time.monotonic() > self.all_sent_s + drain_s:
                self._expire_all(DRAIN)
            self._tell()
        self._tell()

    def records(self) -> tuple[RequestRecord, ...]:
        """One record a call; those never sent have failed with the reason the replay ended early."""
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
            replica = self._next_replica()
            exchange = Exchange(self._target, item, due_s, self._received_s, replica)
            self._in_flight.add(exchange)
            self._outstanding[replica] += 1
            self._sent += 1
            tasks.create_task(self._land(item.index, exchange, replica))
        self._stop_sending()

    async def _land(self, index: int, exchange: Exchange, replica: int) -> None:
        record = await exchange.run(self._session)
        self._landed[index] = record
        self._failed += record.error is not None
        if record.error is None:
            self._recent.append(record)
        self._in_flight.discard(exchange)
        self._outstanding[replica] -= 1
        self._look_whether_over()

    def _stop_sending(self) -> None:
        if self._sending:
            self._sending = False
            self.all_sent_s = time.monotonic()
        self._look_whether_over()

    def _look_whether_over(self) -> None:
        if not self._sending and not self._in_flight:
            self._over.set()

    def _expire_all(self, reason: str) -> None:
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
            error=self.ended_early,
            input_tokens=item.call.input_tokens,
            output_tokens=item.call.output_tokens,
        )

    def _tell(self) -> None:
        if self._hooks.on_progress is not None:
            completed = len(self._landed) - self._failed
            elapsed_s = time.monotonic() - self._start_s
            current = current_latencies_ms(self._recent)
            self._hooks.on_progress(Progress(len(self._plan), self._sent, completed, self._failed, elapsed_s, *current))
