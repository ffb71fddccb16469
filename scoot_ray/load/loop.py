"""An event loop fit for measuring.

Its timers go to the microsecond, it knows when a socket became readable, and work that can wait is done while it would
be waiting anyway: reading and sending come first.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import select
import selectors
import time
from array import array
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SELECT_FD_LIMIT = 1024
LAG_INTERVAL_S = 0.02
AT_ONCE_S = 100e-6
"""A wait shorter than this was none: what ended it had been there already."""

STARVED_S = 0.02
"""A loop that is never idle does a piece of idle work this often all the same."""


class PreciseSelector(selectors.EpollSelector):
    """epoll with timeouts in microseconds, that remembers when it woke and fills waiting time with idle work.

    epoll rounds its timeout up to a millisecond; ``select`` does not, and an epoll descriptor can be waited for.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_select = self.fileno() < SELECT_FD_LIMIT  # select's own limit; beyond it, epoll's rounding stays
        self._idle_work: deque[Callable[[], object]] = deque()
        self._worked_s = 0.0
        self._turns: tuple[array[float], array[int]] | None = None
        self.woke_s = self.woke_before_s = time.monotonic()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait as the base class does, to the microsecond; do a piece of idle work instead where there is any."""
        asked_s = time.monotonic()
        waits = timeout is None or timeout > 0
        if self._idle_work and (waits or asked_s - self._worked_s > STARVED_S):
            ready = super().select(0)
            if not ready or asked_s - self._worked_s > STARVED_S:
                self._worked_s = asked_s
                self._idle_work.popleft()()
        else:
            ready = self._wait(timeout) if waits else super().select(0)
        now_s = time.monotonic()
        if ready and self._turns is not None:
            waited = now_s - asked_s > AT_ONCE_S
            self._turns[0].append(0.0 if waited else asked_s - self.woke_s)
            self._turns[1].append(len(ready))
        self.woke_before_s, self.woke_s = self.woke_s, now_s
        return ready

    def when_idle(self, work: Callable[[], object]) -> None:
        """Call ``work`` in a moment when no socket is readable and no timer due, or soon if there is none."""
        if not self._idle_work:
            self._worked_s = self.woke_s
        self._idle_work.append(work)

    def watch_turns(self) -> None:
        """Forget the turns seen so far, and keep note of those to come."""
        self._turns = (array("d"), array("l"))

    def receive_lags_s(self) -> Floats:
        """Estimate how late each readable socket was noticed since ``watch_turns``.

        What woke a waiting loop was noticed at once. What was found after a busy turn had come at some time in it.
        """
        if self._turns is None:
            return np.empty(0)
        turns_s, found = (np.asarray(column) for column in self._turns)
        starts = np.repeat(np.cumsum(found) - found, found)
        place = (np.arange(found.sum()) - starts + 0.5) / np.repeat(found, found)
        lags_s: Floats = np.repeat(turns_s, found) * place
        return lags_s

    def _wait(self, timeout: float | None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait by epoll for the whole milliseconds, which is cheaper, and by select for what is left of them."""
        if timeout is not None and self._by_select:
            whole_ms = math.floor(timeout * 1e3)
            if whole_ms:
                return super().select((whole_ms - 0.5) / 1e3)  # rounded up to whole_ms; if in vain, we come again
            select.select([self.fileno()], (), (), timeout)
            timeout = 0
        return super().select(timeout)


class PreciseEventLoop(asyncio.SelectorEventLoop):
    """A loop over a PreciseSelector."""

    def __init__(self) -> None:
        self.precise = PreciseSelector()
        super().__init__(self.precise)


class Clock:
    """When data became readable, in a PreciseEventLoop; plain ``time.monotonic`` and no idle time in any other."""

    __slots__ = ("_precise",)

    def __init__(self, precise: PreciseSelector | None = None) -> None:
        self._precise = precise

    def in_callback(self) -> float:
        """When the data that a protocol is being given became readable."""
        return time.monotonic() if self._precise is None else self._precise.woke_s

    def in_task(self) -> float:
        """When the data that woke the running task became readable.

        Data is read in one turn of the loop and the task that waits for it runs in the next: the wake before last.
        """
        return time.monotonic() if self._precise is None else self._precise.woke_before_s

    def when_idle(self, work: Callable[[], object]) -> None:
        """Call ``work`` once nothing more urgent is to be done."""
        if self._precise is None:
            asyncio.get_running_loop().call_soon(work)
        else:
            self._precise.when_idle(work)


def running_clock() -> Clock:
    """Return the clock of the running loop."""
    return Clock(running_selector())


def running_selector() -> PreciseSelector | None:
    """Return the running loop's selector, if it is a precise one."""
    loop = asyncio.get_running_loop()
    return loop.precise if isinstance(loop, PreciseEventLoop) else None


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
