"""The generator's clockwork and its judgement of itself."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import Coroutine
from typing import TypeVar

import numpy as np
import pytest

from scoot_ray.load.audit import (
    MAX_CPU_SHARE,
    MAX_LOOP_LAG_P99_MS,
    MAX_RECEIVE_LAG_P99_MS,
    MAX_SEND_LATENESS_P99_MS,
    Vitals,
    audit,
)
from scoot_ray.load.loop import (
    PreciseEventLoop,
    PreciseSelector,
    quiet_collector,
    running_clock,
    running_selector,
    sample_lag,
    urgent_process,
)
from scoot_ray.load.target import Target
from scoot_ray.load.trace import RequestRecord

T = TypeVar("T")


def sent(*lateness_ms: float) -> list[RequestRecord]:
    return [RequestRecord(i, float(i), i + late / 1e3) for i, late in enumerate(lateness_ms)]


def vitals(loop_ms: float = 1.0, receive_ms: float = 0.1, cpu_share: float = 0.3, elapsed_s: float = 10.0) -> Vitals:
    return Vitals(np.full(100, loop_ms / 1e3), np.full(100, receive_ms / 1e3), cpu_share * elapsed_s, elapsed_s, 7)


def test_a_punctual_load_is_valid() -> None:
    verdict = audit(sent(*[1.0] * 100), (vitals(), vitals(cpu_share=0.2)))
    assert verdict.valid
    assert verdict.send_lateness_p99_ms == pytest.approx(1.0)
    assert verdict.loop_lag_p99_ms == pytest.approx(1.0)
    assert verdict.receive_lag_p99_ms == pytest.approx(0.1)
    assert verdict.client_cpu_share == pytest.approx(0.3)
    assert (verdict.client_processes, verdict.connections_opened) == (2, 14)


def test_each_limit_has_its_reason() -> None:
    worst = vitals(MAX_LOOP_LAG_P99_MS + 1, MAX_RECEIVE_LAG_P99_MS + 1, MAX_CPU_SHARE + 0.01)
    late = audit(sent(*[MAX_SEND_LATENESS_P99_MS + 1] * 9), (worst,))
    assert not late.valid
    assert len(late.reasons) == 4
    assert "6.0 ms, allowed 5 ms" in late.reasons[0]
    assert all("would help" in reason for reason in late.reasons)


def test_a_short_replay_may_keep_its_core_busy() -> None:
    assert audit(sent(1.0), (vitals(cpu_share=1.0, elapsed_s=0.5),)).valid


def test_connections_that_failed_are_counted() -> None:
    failed = RequestRecord(0, 1.0, 1.0, error="connect")
    assert audit([failed, failed, *sent(1.0)], (vitals(),)).connections_failed == 2


def test_one_late_send_in_a_thousand_is_forgiven() -> None:
    assert audit(sent(*[0.5] * 999, 500.0), ()).valid


def test_a_load_that_sent_nothing_is_invalid() -> None:
    verdict = audit([RequestRecord(0, 1.0, None, error="stopped")], ())
    assert verdict.reasons == ("nothing was sent",)
    assert verdict.send_lateness_p99_ms is None


def test_the_collector_is_as_it_was() -> None:
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            with quiet_collector():
                assert not gc.isenabled()
            assert gc.isenabled() is enabled
        finally:
            gc.enable()


def test_the_scheduling_is_as_it_was_and_children_do_not_inherit_it() -> None:
    before = os.sched_getscheduler(0)
    with urgent_process():
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True, check=True
        )
    assert int(child.stdout) == before
    assert os.sched_getscheduler(0) == before


def test_timers_and_sockets_work_in_the_precise_loop() -> None:
    async def body() -> tuple[bool, float, float]:
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        seen = asyncio.Event()
        loop.add_reader(reading, seen.set)
        before_s = time.monotonic()
        loop.call_later(0.01, os.write, writing, b"x")
        await asyncio.wait_for(seen.wait(), timeout=30)
        received_s = running_clock().in_task()
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)
        return isinstance(loop, PreciseEventLoop), received_s - before_s, time.monotonic() - received_s

    with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
        precise, waited_s, ago_s = runner.run(body())
    assert precise
    assert waited_s >= 0.01
    assert ago_s >= 0


def test_a_descriptor_beyond_selects_limit_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoot_ray.load.loop.SELECT_FD_LIMIT", 0)
    selector = PreciseSelector()
    assert selector.select(0.001) == []
    selector.close()


async def test_a_blocked_loop_shows_in_every_tick_it_missed() -> None:
    lags_s: list[float] = []
    sampler = asyncio.create_task(sample_lag(lags_s))
    await asyncio.sleep(0.03)
    time.sleep(0.2)  # noqa: ASYNC251 - blocking the loop is the point
    await asyncio.sleep(0.03)
    sampler.cancel()
    assert sum(lag_s > 0.05 for lag_s in lags_s) >= 5
    assert max(lags_s) > 0.15


async def test_other_loops_have_the_plain_clock_and_do_idle_work_soon() -> None:
    done = asyncio.Event()
    before_s, clock = time.monotonic(), running_clock()
    clock.when_idle(done.set)
    await asyncio.wait_for(done.wait(), timeout=30)
    assert before_s <= clock.in_callback() <= clock.in_task() <= time.monotonic()


def in_precise_loop(body: Coroutine[object, object, T]) -> T:
    with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
        return runner.run(body)


def test_idle_work_waits_for_what_is_readable_but_not_for_ever() -> None:
    async def body() -> list[str]:
        loop, seen, over = asyncio.get_running_loop(), list[str](), asyncio.Event()
        reading, writing = os.pipe()

        def read() -> None:
            seen.append("read")
            loop.remove_reader(reading)

        def keep_busy() -> None:
            if not over.is_set():
                loop.call_soon(keep_busy)

        os.write(writing, b"x")
        loop.add_reader(reading, read)
        running_clock().when_idle(lambda: seen.append("idle"))
        await asyncio.sleep(0.01)
        running_clock().when_idle(over.set)
        keep_busy()
        await asyncio.wait_for(over.wait(), timeout=30)
        os.close(reading)
        os.close(writing)
        return seen

    assert in_precise_loop(body()) == ["read", "idle"]


def test_what_came_during_a_busy_turn_was_noticed_late_and_what_woke_the_loop_was_not() -> None:
    async def body() -> tuple[list[float], list[float]]:
        loop, selector = asyncio.get_running_loop(), running_selector()
        assert selector is not None
        reading, writing = os.pipe()
        loop.add_reader(reading, os.read, reading, 1)
        selector.watch_turns()
        loop.call_later(0.05, os.write, writing, b"x")
        await asyncio.sleep(0.1)
        calm = selector.receive_lags_s().tolist()
        selector.watch_turns()
        os.write(writing, b"x")
        time.sleep(0.05)  # noqa: ASYNC251 - blocking the loop is the point
        await asyncio.sleep(0.01)
        busy = selector.receive_lags_s().tolist()
        loop.remove_reader(reading)
        os.close(reading)
        os.close(writing)
        return calm, busy

    calm, busy = in_precise_loop(body())
    assert max(calm, default=0.0) < 0.04
    assert max(busy) >= 0.025


def test_urls_are_brought_to_one_form() -> None:
    urls = ("http://a:1", "http://a:1/", "http://a:1/v1", "http://a:1/v1/")
    assert set(Target(urls, "m").base_urls) == {"http://a:1"}
    assert Target(("https://host/prefix/v1",), "m").base_urls == ("https://host/prefix",)
