"""An event loop fit for measuring: timers to the microsecond, and the clock as it was when a socket became readable."""

from __future__ import annotations

import asyncio
import gc
import os
import select
import selectors
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

SELECT_FD_LIMIT = 1024
LAG_INTERVAL_S = 0.02


class PreciseSelector(selectors.EpollSelector):
    """epoll with timeouts in microseconds, that remembers when it woke.

    epoll rounds its timeout up to a millisecond; ``select`` does not, and an epoll descriptor can be waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_select = self.fileno() < SELECT_FD_LIMIT  # select's own limit; beyond it, epoll's rounding stays
        self.woke_s = self.woke_before_s = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the base class does, to the microsecond."""
        if timeout is not None and timeout > 0 and self._by_select:
            select.select([self.fileno()], (), (), timeout)
            timeout = 0
        ready = super().select(timeout)
        self.woke_before_s, self.woke_s = self.woke_s, time.monotonic()
        return ready


class PreciseEventLoop(asyncio.SelectorEventLoop):
    """A loop over a PreciseSelector."""

    def __init__(self) -> None:
        self._precise = PreciseSelector()
        super().__init__(self._precise)

    def received_s(self) -> float:
        """When the data that woke the running task became readable.

        Data is read in one turn of the loop and the task that waits for it runs in the next: the wake before last.
        """
        return self._precise.woke_before_s


def receive_clock() -> Callable[[], float]:
    """Return the running loop's clock of received data, or plain ``time.monotonic`` in any other loop."""
    loop = asyncio.get_running_loop()
    return loop.received_s if isinstance(loop, PreciseEventLoop) else time.monotonic


@contextmanager
def quiet_collector() -> Iterator[None]:
    """Keep the garbage collector off and today's objects out of its sight; both as before afterwards."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


@contextmanager
def urgent_process() -> Iterator[None]:
    """Let this process go first where the system allows it: engines may well keep every core of the machine busy.

    All its threads, since any of them can hold the interpreter that the sender needs. What it starts meanwhile is
    scheduled as usual.
    """
    _schedule_threads(os.SCHED_RR | os.SCHED_RESET_ON_FORK, priority=1)
    try:
        yield
    finally:
        _schedule_threads(os.SCHED_OTHER, priority=0)


def _schedule_threads(policy: int, priority: int) -> None:
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # not privileged, or the thread has just ended
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Open a TaskGroup that raises the first failure itself: a caller's hook then fails with its own exception."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def sample_lag(samples_s: list[float]) -> None:
    """Append, until cancelled, how late the loop serves a timer that is due every ``LAG_INTERVAL_S``.

    Ticks missed while the loop was blocked count too, each with its own lateness.
    """
    due_s = time.monotonic() + LAG_INTERVAL_S
    while True:
        await asyncio.sleep(due_s - time.monotonic())
        now_s = time.monotonic()
        while due_s <= now_s:
            samples_s.append(now_s - due_s)
            due_s += LAG_INTERVAL_S
