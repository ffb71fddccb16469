"""The two clocks: an asyncio loop's time gives what virtual time gives, to the microsecond."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Sequence

import pytest

from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.search import Config
from scoot_ray.simulator.boot import Booted
from scoot_ray.simulator.server.driver import Driver
from scoot_ray.simulator.service import Load, replay
from scoot_ray.simulator.settings import Version
from tests.unit.simulator.services import requests, service


class WarpLoop(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next timer instead of waiting for it."""

    def __init__(self) -> None:
        self._warp = WarpSelector()
        super().__init__(self._warp)

    def time(self) -> float:
        return self._warp.now_s


class WarpSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now_s += timeout or 0.0
        return super().select(0)


class Watch:
    """Notes when tokens come."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.times_s: list[float] = []
        self.ended = self.failed = self.was_cut = False

    def token(self) -> None:
        self.times_s.append(self.loop.time())

    def end(self) -> None:
        self.ended = True

    def fail(self) -> None:
        self.failed = True

    def cut(self) -> None:
        self.was_cut = True


def no_death(log: Sequence[str]) -> None:
    raise AssertionError(log)


def in_real_time(booted: Booted, load: Load) -> tuple[list[Watch], Driver]:
    async def main() -> tuple[list[Watch], Driver]:
        loop = asyncio.get_running_loop()
        driver = Driver(booted, 0.0, 0, no_death)
        watches = [Watch() for _ in load.schedule.rows]
        for watch, row, at_s in zip(watches, load.schedule.rows, load.schedule.offsets_s, strict=True):
            one = load.requests[row]
            loop.call_at(float(at_s), driver.submit, one.input_tokens, one.output_tokens, (), watch)
        await asyncio.sleep(1000)
        return watches, driver

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        return runner.run(main())


@pytest.mark.parametrize(
    ("version", "config"),
    [
        ("0.32.0", {"max_num_seqs": 32}),
        ("0.32.0", {"gpu_memory_utilization": 0.42, "enforce_eager": True}),  # little memory: sequences are thrown out
        ("0.32.0", {"pipeline_parallel_size": 2, "max_num_seqs": 16}),
        ("0.4.2", {"max_num_seqs": 32}),
        ("0.4.2", {"max_num_seqs": 64, "scheduler_delay_factor": 1.0}),
        ("0.4.2", {"enable_chunked_prefill": True, "max_num_batched_tokens": 512, "max_num_seqs": 64}),
    ],
)
def test_tokens_come_when_virtual_time_says(version: Version, config: Config) -> None:
    offered = requests(60, prompt=400, output=60)
    load = Load(offered, schedule(Arrivals("poisson", 30.0), offered, count=60), 600.0)
    booted = service(gpus=2, version=version).boot(config)
    expected = replay(booted, 1, load, 0.0, (0,))
    watches, driver = in_real_time(booted, load)
    for watch, record in zip(watches, expected.records, strict=True):
        assert watch.times_s == pytest.approx(record.token_times_s, abs=1e-6)
        assert watch.ended
    assert driver.generated_tokens == sum(record.output_tokens for record in expected.records)
    assert sum(engine.scheduler.preemptions for engine in driver.engines) == expected.preemptions
    assert bool(expected.preemptions) is ("gpu_memory_utilization" in config)


def test_a_request_that_cannot_fit_is_ended_without_a_token() -> None:
    # 0.4.2 keeps a hundredth of the cache free and ignores what needs more than the rest.
    async def main() -> Watch:
        booted = service(version="0.4.2").boot({"max_num_seqs": 8})
        driver = Driver(booted, 0.0, 0, no_death)
        watch = Watch()
        driver.submit(booted.blocks * booted.settings.block_size, 1, (), watch)
        await asyncio.sleep(1)
        return watch

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        watch = runner.run(main())
    assert watch.ended
    assert watch.times_s == []


def test_ranks_share_the_load_evenly() -> None:
    async def main() -> list[int]:
        driver = Driver(service(gpus=4).boot({"data_parallel_size": 4}), 0.0, 0, no_death)
        for _ in range(20):
            driver.submit(100, 50, (), Watch())
        return [engine.load for engine in driver.engines]

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        assert runner.run(main()) == [5, 5, 5, 5]


def test_nothing_comes_after_an_abort() -> None:
    async def main() -> tuple[Watch, Watch, Driver]:
        driver = Driver(service().boot({}), 0.0, 0, no_death)
        leaving, staying = Watch(), Watch()
        sequence = driver.submit(100, 1000, (), leaving)
        driver.submit(100, 1000, (), staying)
        asyncio.get_running_loop().call_at(1.0, driver.abort, sequence)
        await asyncio.sleep(100)
        return leaving, staying, driver

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        leaving, staying, driver = runner.run(main())
    assert 0 < len(leaving.times_s) < 1000
    assert max(leaving.times_s) <= 1.0
    assert not leaving.ended
    assert len(staying.times_s) == 1000
    assert all(engine.load == 0 and engine.pool.usage == 0 for engine in driver.engines)


def test_death_fails_all_and_is_told_once() -> None:
    logs: list[Sequence[str]] = []

    async def main() -> list[Watch]:
        booted = service(version="0.4.2").boot({"enable_chunked_prefill": True, "enable_prefix_caching": True})
        driver = Driver(booted, 0.0, 0, logs.append)
        watches = [Watch(), Watch(), Watch()]
        for watch in watches[:2]:
            driver.submit(1600, 10, [f"unit {number}" for number in range(100)], watch)
        await asyncio.sleep(10)
        driver.submit(10, 10, (), watches[2])
        assert driver.dead
        return watches

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        watches = runner.run(main())
    assert all(watch.failed and not watch.ended for watch in watches)
    assert len(logs) == 1
    assert any("chunked prefill cannot be used with prefix caching" in line for line in logs[0])


def test_a_frozen_engine_says_nothing_until_its_server_ends() -> None:
    async def main() -> Watch:
        driver = Driver(service().boot({}), 0.0, 0, no_death)
        watch = Watch()
        driver.submit(100, 100, (), watch)
        driver.freeze()
        await asyncio.sleep(1000)
        assert not watch.was_cut
        driver.close()
        return watch

    with asyncio.Runner(loop_factory=WarpLoop) as runner:
        watch = runner.run(main())
    assert watch.times_s == []
    assert watch.was_cut
    assert not watch.failed
