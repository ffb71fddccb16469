"""The stand-in is what other tests are judged by, so it is tested itself: its ground truth and its faults."""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import sys
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest

from scoot_ray.engine.diagnose import diagnose
from scoot_ray.engine.launch import EngineOptions, engine_spec
from scoot_ray.engine.process import EngineProcess, free_port, start
from scoot_ray.engine.ready import StartFailed, read_log, wait_ready
from scoot_ray.search.trial import Config, FailureKind

FAKE = Path(__file__).parents[2] / "fake_vllm"


def engine(folder: Path, config: Config, env: Mapping[str, str]) -> EngineProcess:
    options = EngineOptions("m", env={"PYTHONPATH": str(FAKE), **env})
    return start(engine_spec(options, config, folder, free_port()))


@asynccontextmanager
async def ready(folder: Path, config: Config, env: Mapping[str, str]) -> AsyncIterator[EngineProcess]:
    with engine(folder, config, env) as process:
        await asyncio.to_thread(wait_ready, process, 30.0)
        yield process


async def ask(process: EngineProcess, session: aiohttp.ClientSession, prompt: list[int], tokens: int) -> int:
    """Send one request; return how many tokens came."""
    headers = {"Authorization": f"Bearer {process.spec.api_key}"}
    body = {"model": "m", "prompt": prompt, "max_tokens": tokens, "stream": True}
    async with session.post(f"{process.spec.base_url}/v1/completions", json=body, headers=headers) as response:
        return len([line async for line in response.content if line.startswith(b"data: {")])


async def burst(process: EngineProcess, requests: int) -> None:
    """Send requests at once; every answer must be whole."""
    timeout = aiohttp.ClientTimeout(30)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:
        prompts = ([1000 * i + j for j in range(64)] for i in range(requests))
        answers = await asyncio.gather(*(ask(process, session, prompt, 30) for prompt in prompts))
    assert [tokens for tokens in answers if tokens != 30] == []


def exit_code(process: EngineProcess) -> int:
    """Wait for the end of an engine."""
    deadline = time.monotonic() + 20
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return code


@pytest.fixture(scope="module")
def batching() -> ModuleType:
    """The stand-in's cost model alone; importing it by name would make it everyone's ``vllm``."""
    spec = importlib.util.spec_from_file_location("fake_batching", FAKE / "vllm" / "batching.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def served(batching: ModuleType, prompts: list[tuple[int, ...]], **flags: object) -> list[list[float]]:
    """Serve prompts that arrive at once, in virtual time; return each one's token times in seconds."""
    defaults = {"max_num_seqs": 128, "max_num_batched_tokens": 2048, "max_model_len": 2048}
    switches = {"enable_chunked_prefill": True, "enable_prefix_caching": True}
    batcher = batching.Batcher(Namespace(**{**defaults, **switches, **flags}))
    sequences = [batcher.submit(prompt, 30) for prompt in prompts]
    now, times = 0.0, {id(sequence): list[float]() for sequence in sequences}
    while batcher.waiting or batcher.running:
        prefilled, emitting = batcher.schedule()
        now += batcher.step_s(len(emitting), prefilled)
        batcher.emit(emitting)
        for sequence in emitting:
            times[id(sequence)].append(now)
    assert all(len(made) == 30 for made in times.values())
    return list(times.values())


def ttft_s(answers: list[list[float]]) -> float:
    return statistics.mean(times[0] for times in answers)


def tpot_s(answers: list[list[float]]) -> float:
    return statistics.mean((times[-1] - times[0]) / 29 for times in answers)


def longest_pause_s(answers: list[list[float]]) -> float:
    return max(later - earlier for times in answers for earlier, later in pairwise(times))


UNRELATED = [tuple(range(2000 * i, 2000 * i + 1500)) for i in range(24)]
SHARED = [(*range(512), 1000 * i) for i in range(24)]


def test_more_sequences_answer_sooner_and_slower(batching: ModuleType) -> None:
    few, many = (served(batching, UNRELATED, max_num_seqs=sequences) for sequences in (2, 64))
    assert ttft_s(few) > ttft_s(many)
    assert tpot_s(few) < tpot_s(many)


def test_prefix_caching_saves_what_prompts_share(batching: ModuleType) -> None:
    assert ttft_s(served(batching, SHARED)) < ttft_s(served(batching, SHARED, enable_prefix_caching=False))
    assert served(batching, UNRELATED) == served(batching, UNRELATED, enable_prefix_caching=False)


def test_smaller_chunks_of_prefill_shorten_the_pauses(batching: ModuleType) -> None:
    large, small = (served(batching, UNRELATED, max_num_batched_tokens=tokens) for tokens in (2048, 256))
    whole = served(batching, UNRELATED, enable_chunked_prefill=False)
    assert longest_pause_s(small) < longest_pause_s(large) < longest_pause_s(whole)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("crash_at_start", FailureKind.CRASHED),
        ("oom_at_start", FailureKind.OUT_OF_MEMORY),
        ("port_in_use", FailureKind.PORT_TAKEN),
        ("hub_unreachable", FailureKind.ENVIRONMENT),
        ("hang_at_start", FailureKind.START_TIMEOUT),
    ],
)
def test_faults_at_the_start(tmp_path: Path, fault: str, kind: FailureKind) -> None:
    deadline_s = 2 if fault == "hang_at_start" else 30
    with engine(tmp_path, {}, {"FAKE_VLLM_FAULT": fault}) as process, pytest.raises(StartFailed) as failure:
        wait_ready(process, deadline_s)
    assert failure.value.kind is kind
    assert "See root cause above" not in failure.value.detail


@pytest.mark.parametrize(
    ("env", "kind"),
    [
        ({"FAKE_VLLM_FAULT": "crash_under_load"}, FailureKind.CRASHED),
        ({"FAKE_VLLM_FAULT": "oom_under_load"}, FailureKind.OUT_OF_MEMORY),
        ({"FAKE_VLLM_FAULT": "killed_under_load"}, FailureKind.OUT_OF_MEMORY),
        ({"FAKE_VLLM_CRASH_ABOVE_SEQS": "512"}, FailureKind.OUT_OF_MEMORY),
    ],
)
async def test_deaths_under_load(tmp_path: Path, env: dict[str, str], kind: FailureKind) -> None:
    async with ready(tmp_path, {"max_num_seqs": 1024}, env) as process:
        with pytest.raises(aiohttp.ClientError):
            await burst(process, 8)
        code = await asyncio.to_thread(exit_code, process)
        assert diagnose(code, read_log(process.spec.log_path), "load").kind is kind


async def test_a_hidden_constraint_spares_those_below_it(tmp_path: Path) -> None:
    env = {"FAKE_VLLM_CRASH_ABOVE_SEQS": "512", "FAKE_VLLM_SPEED": "20"}
    async with ready(tmp_path, {"max_num_seqs": 512}, env) as process:
        await burst(process, 8)
        assert process.poll() is None
