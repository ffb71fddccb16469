"""Calibration with the simulator itself as the engine: its constants are known, so what is fitted can be checked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.cli import main
from scoot_ray.engine.models import ModelShape
from scoot_ray.load.arrivals import Schedule
from scoot_ray.load.client.target import Target
from scoot_ray.load.errors import LoadError
from scoot_ray.load.trace import RequestRecord
from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.calibrate import CalibrationFailed, Options, calibrate, measure_steps
from scoot_ray.simulator.endpoint import EngineFacts, facts_from
from scoot_ray.simulator.fitted import Fitted, LinearCost, boot_fitted, fit, read_fitted
from scoot_ray.simulator.probes import Limits, Probe, design, step_of, with_visit
from scoot_ray.simulator.service import Load, replay

MODEL = ModelShape("small", 6, 512, 8, 8, 64, 1408, 8192, 2048)
TRUTH = Fitted(
    base_s=8e-3,
    per_sequence_s=4e-4,
    per_token_s=1e-4,
    per_pair_s=3e-8,
    per_context_token_s=4e-7,
    per_prompt_s=3e-3,
    request_s=5e-3,
    kv_cache_bytes=1e9,
    default_block_size=128,
    default_max_num_seqs=128,
    default_max_num_batched_tokens=2048,
)
CONFIG = {
    "num_attention_heads": MODEL.heads,
    "num_hidden_layers": MODEL.layers,
    "hidden_size": MODEL.hidden,
    "intermediate_size": MODEL.intermediate,
    "vocab_size": MODEL.vocabulary,
    "max_position_embeddings": MODEL.max_model_len,
}
LIMITS = Limits(max_model_len=2048, kv_cache_tokens=80_000, max_num_seqs=128, max_num_batched_tokens=2048)


class Simulated:
    """Sends probes to an engine in virtual time."""

    def __init__(self, machine: Fitted, noise: float = 0.0) -> None:
        self._booted = boot_fitted(machine, MODEL, "0.32.0", {})
        self._noise, self._sent = noise, 0

    async def __call__(self, probe: Probe) -> Sequence[RequestRecord]:
        self._sent += 1
        offsets_s = np.array([request.timestamp_s for request in probe.requests])
        rows = np.arange(len(offsets_s))
        schedule = Schedule(offsets_s, rows, np.zeros_like(rows), float(offsets_s[-1]))
        return replay(self._booted, 1, Load(probe.requests, schedule, 600.0), self._noise, (0, self._sent)).records


async def fitted_to(truth: Fitted, noise: float = 0.0, repeats: int = 1, limits: Limits = LIMITS) -> LinearCost:
    return fit(await measure_steps(Simulated(truth, noise), limits, repeats, lambda _: None))


async def test_constants_are_recovered() -> None:
    found = asdict(await fitted_to(TRUTH))
    assert found == {name: pytest.approx(getattr(TRUTH, name), rel=0.03, abs=2e-9) for name in found}


@settings(max_examples=10, deadline=None)
@given(
    base_ms=st.floats(1, 50),
    per_sequence_us=st.floats(10, 1000),
    per_token_us=st.floats(5, 500),
    per_prompt_ms=st.floats(0, 10),
    request_ms=st.floats(0, 10),
)
async def test_steps_of_any_machine_are_predicted(
    base_ms: float, per_sequence_us: float, per_token_us: float, per_prompt_ms: float, request_ms: float
) -> None:
    truth = replace(
        TRUTH,
        base_s=base_ms / 1e3,
        per_sequence_s=per_sequence_us / 1e6,
        per_token_s=per_token_us / 1e6,
        per_prompt_s=per_prompt_ms / 1e3,
        request_s=request_ms / 1e3,
    )
    found = await fitted_to(truth)
    for batch in (Batch(decodes=3, decode_context=900), Batch(40, 20_000, prompt_tokens=1500, pairs=2e5, ending=3)):
        assert found.step_s(batch) == pytest.approx(truth.step_s(batch), rel=0.05)


async def test_with_noise_steps_are_still_predicted() -> None:
    found = await fitted_to(TRUTH, noise=0.1, repeats=3)
    for batch in (Batch(decodes=16, decode_context=6000), Batch(8, 3000, prompt_tokens=900, pairs=2e5, ending=2)):
        assert found.step_s(batch) == pytest.approx(TRUTH.step_s(batch), rel=0.15)


async def test_a_small_engine_is_probed_within_its_limits() -> None:
    limits = Limits(max_model_len=256, kv_cache_tokens=1024, max_num_seqs=8, max_num_batched_tokens=128)
    for probe in design(limits):
        assert probe.streams <= limits.max_num_seqs
        assert probe.prompt_tokens + probe.output_tokens <= limits.max_model_len
        assert not probe.is_lone or probe.prompt_tokens <= limits.max_num_batched_tokens
    small = replace(TRUTH, default_max_num_seqs=8, default_max_num_batched_tokens=128)
    found = await fitted_to(small, limits=limits)
    batch = Batch(decodes=4, decode_context=200)
    assert found.step_s(batch) == pytest.approx(small.step_s(batch), rel=0.05)


async def test_a_visit_falls_where_all_streams_decode() -> None:
    probe, send = Probe(4, 16, 40, visit_tokens=128), Simulated(TRUTH)
    visited = with_visit(probe, await send(probe))
    assert visited is not None
    step = step_of(visited, await send(visited))
    assert step is not None
    assert (step.batch.decodes, step.batch.prompt_tokens) == (4, 128)
    assert step.took_s == pytest.approx(TRUTH.step_s(step.batch), rel=0.02)


def record(times_s: tuple[float, ...], error: str | None = None, output_tokens: int = 20) -> RequestRecord:
    return RequestRecord(0, 0.0, 0.0, times_s, output_tokens=output_tokens, error=error)


def test_merged_events_are_not_counted_as_steps() -> None:
    every = tuple(0.1 + 0.01 * step for step in range(20))
    step = step_of(Probe(2, 16, 20), [record(every), record(every[::2])])
    assert step is not None
    assert step.took_s == pytest.approx(0.01)
    assert step_of(Probe(2, 16, 20), [record(every[::2]), record(every[::2])]) is None


def test_failures_show_nothing() -> None:
    assert step_of(Probe(1, 16, 1), [record((), error="empty", output_tokens=1)]) is None
    assert step_of(Probe(1, 16, 20), [record((), error="timeout")]) is None
    assert with_visit(Probe(1, 16, 20, visit_tokens=9), [record((), error="timeout")]) is None


def test_facts_are_read_from_what_vllm_answers() -> None:
    metrics = (
        "# HELP vllm:cache_config_info Information of the LLMEngine CacheConfig\n"
        "# TYPE vllm:cache_config_info gauge\n"
        'vllm:cache_config_info{block_size="128",engine="0",kv_cache_size_tokens="87296",num_gpu_blocks="682"} 1.0\n'
    )
    info = '{"vllm_config": {"scheduler_config": {"max_num_seqs": 128, "max_num_batched_tokens": 2048}}}'
    models = '{"data": [{"id": "m", "max_model_len": 2048}]}'
    assert facts_from(models, metrics, info) == EngineFacts(2048, 87296, 128, 128, 2048)
    older = metrics.replace('kv_cache_size_tokens="87296",', "")
    assert facts_from(models, older, "").kv_cache_tokens == 682 * 128
    assert facts_from("[]", "not metrics {", "<html>") == EngineFacts()


def test_a_server_that_is_not_there_is_one_line() -> None:
    target = Target(("http://127.0.0.1:9",), "m")
    with pytest.raises(LoadError, match="base_url"):
        calibrate(target, Options(MODEL), lambda _: None)


async def stream(request: web.Request) -> web.StreamResponse:
    body = await request.json()
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(body["max_tokens"]):
        await asyncio.sleep(0.002)
        await response.write(b'data: {"choices": [{"text": "a "}]}\n\n')
    await response.write(b"data: [DONE]\n\n")
    return response


async def facts(request: web.Request) -> web.Response:
    answers = {
        "/v1/models": '{"data": [{"max_model_len": 80}]}',
        "/metrics": 'vllm:cache_config_info{block_size="16",num_gpu_blocks="20"} 1.0\n',
        "/server_info": '{"vllm_config": {"scheduler_config": {"max_num_seqs": 2, "max_num_batched_tokens": 64}}}',
    }
    return web.Response(text=answers[request.path])


@asynccontextmanager
async def endpoint(complete: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/v1/completions", complete)
    for path in ("/v1/models", "/metrics", "/server_info"):
        app.router.add_get(path, facts)
    async with TestServer(app) as server:
        yield str(server.make_url(""))


async def test_the_verb_writes_a_machine_and_prints_one_document(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    out = tmp_path / "machine.json"
    async with endpoint(stream) as url:
        where = ["--base-url", url, "--model", "m", "--model-path", str(tmp_path)]
        arguments = ["calibrate", *where, "--out", str(out), "--repeats", "1", "--start-s", "7", "--json"]
        result = await asyncio.to_thread(CliRunner().invoke, main, arguments)
    assert result.exit_code == 0, result.stderr
    document, machine = json.loads(result.stdout), read_fitted(out)
    assert document["machine"] == asdict(machine)
    assert {step["step"] for step in document["steps"]} >= {"a prompt of 16, from sending"}
    assert (machine.default_max_num_seqs, machine.default_max_num_batched_tokens) == (2, 64)
    assert (machine.default_block_size, machine.start_s) == (16, 7.0)
    assert machine.kv_cache_bytes == 320 * MODEL.kv_bytes_per_token()
    assert any("/tokenize" in note for note in document["notes"])


async def test_an_engine_that_never_answers_is_given_up() -> None:
    async def never(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with endpoint(never) as url:
        with pytest.raises(CalibrationFailed, match="not done after"):
            await asyncio.to_thread(calibrate, Target((url,), "m"), Options(MODEL, deadline_s=0.5), lambda _: None)


async def test_an_engine_that_only_refuses_is_said_to() -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=503)

    async with endpoint(refuse) as url:
        with pytest.raises(CalibrationFailed, match="http_503"):
            await asyncio.to_thread(calibrate, Target((url,), "m"), Options(MODEL), lambda _: None)
