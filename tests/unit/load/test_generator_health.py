"""The generator's clockwork and its judgement of itself."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import time

import pytest

from scoot_ray.load.audit import MAX_LOOP_LAG_P99_MS, MAX_SEND_LATENESS_P99_MS, audit
from scoot_ray.load.loop import (
    PreciseEventLoop,
    PreciseSelector,
    quiet_collector,
    receive_clock,
    sample_lag,
    urgent_process,
)
from scoot_ray.load.target import Target
from scoot_ray.load.trace import RequestRecord


def sent(*lateness_ms: float) -> list[RequestRecord]:
    return [RequestRecord(i, float(i), i + late / 1e3) for i, late in enumerate(lateness_ms)]


def test_a_punctual_load_is_valid() -> None:
    verdict = audit(sent(*[1.0] * 100), [0.001] * 100, 0.3)
    assert verdict.valid
    assert verdict.send_lateness_p99_ms == pytest.approx(1.0)
    assert verdict.loop_lag_p99_ms == pytest.approx(1.0)
    assert verdict.client_cpu_share == 0.3


def test_each_limit_has_its_reason() -> None:
    late = audit(sent(*[MAX_SEND_LATENESS_P99_MS + 1] * 9), [(MAX_LOOP_LAG_P99_MS + 1) / 1e3] * 9, 0.9)
    assert not late.valid
    assert len(late.reasons) == 2
    assert "6.0 ms, allowed 5 ms" in late.reasons[0]


def test_one_late_send_in_a_thousand_is_forgiven() -> None:
    assert audit(sent(*[0.5] * 999, 500.0), [], 0.1).valid


def test_a_load_that_sent_nothing_is_invalid() -> None:
    verdict = audit([RequestRecord(0, 1.0, None, error="stopped")], [], 0.0)
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
        received_s = receive_clock()()
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


async def test_other_loops_have_the_plain_clock() -> None:
    assert receive_clock() is time.monotonic


def test_urls_are_brought_to_one_form() -> None:
    urls = ("http://a:1", "http://a:1/", "http://a:1/v1", "http://a:1/v1/")
    assert set(Target(urls, "m").base_urls) == {"http://a:1"}
    assert Target(("https://host/prefix/v1",), "m").base_urls == ("https://host/prefix",)
