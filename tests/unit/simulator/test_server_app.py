"""What the simulated server answers, route by route, in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer

from scoot_ray.engine.models import ModelShape
from scoot_ray.load.vocabulary import learn_vocabulary
from scoot_ray.search import Config
from scoot_ray.simulator.fitted import Fitted
from scoot_ray.simulator.server.api import Served
from scoot_ray.simulator.server.app import App
from scoot_ray.simulator.server.driver import Driver
from scoot_ray.simulator.server.faults import Fault, FaultKind
from scoot_ray.simulator.service import Service
from scoot_ray.simulator.settings import NEWEST, Version

SHAPE = ModelShape("tiny", 2, 64, 4, 4, 16, 128, 1000, 256)
MACHINE = Fitted(1e-3, 1e-5, 1e-6, 0.0, 0.0, kv_cache_bytes=64e6)
SLOW = Fitted(0.05, 0.0, 0.0, 0.0, 0.0, kv_cache_bytes=64e6)
MANY = {"max_tokens": 200, "stream": True}


@dataclass(frozen=True)
class Simulated:
    """A server under test."""

    client: TestClient[Any, Any]
    driver: Driver
    log: list[str]

    async def post(self, path: str, body: object) -> tuple[int, Any]:
        async with self.client.post(path, json=body) as response:
            return response.status, await response.json()

    async def events(self, path: str, body: Mapping[str, object]) -> list[str]:
        """Return a stream's events' data; whether it was cut is told by the missing [DONE]."""
        received = b""
        async with self.client.post(path, json={"stream": True, **body}) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            try:
                async for part in response.content.iter_any():
                    received += part
            except aiohttp.ClientPayloadError:
                pass  # cut
        *events, rest = received.decode().split("\n\n")
        assert rest == ""
        assert all(event.startswith("data: ") for event in events)
        return [event.removeprefix("data: ") for event in events]

    async def metrics(self) -> dict[str, float]:
        async with self.client.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        values = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name.partition("{")[0]: float(value) for name, value in values}


@asynccontextmanager
async def simulated(
    config: Config | None = None,
    machine: Fitted = MACHINE,
    version: Version = NEWEST,
    api_key: str | None = None,
    fault: FaultKind | None = None,
) -> AsyncIterator[Simulated]:
    booted = Service(SHAPE, machine, version).boot(config or {})
    log: list[str] = []
    driver = Driver(booted, 0.0, 0, log.extend)
    served = Served("tiny", "models/tiny", version, booted.settings.max_model_len, SHAPE.vocabulary)
    app = App(served, booted, driver, api_key, None if fault is None else Fault(fault))
    server = TestServer(app.application())
    async with TestClient(server) as client:
        yield Simulated(client, driver, log)
    driver.close()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - the engine knows nothing of events
            await asyncio.sleep(0.01)


def contents(events: Sequence[str]) -> list[str]:
    parsed = [json.loads(event) for event in events if event != "[DONE]"]
    return [choice["text"] for event in parsed for choice in event.get("choices", [])]


async def test_a_stream_has_one_event_for_each_token_then_usage_then_done() -> None:
    async with simulated() as server:
        asked = {"prompt": [5, 6, 7], "max_tokens": 4, "stream_options": {"include_usage": True}}
        *events, usage, done = await server.events("/v1/completions", asked)
    assert contents(events) == [" On", " a", " clear", " morning"]
    assert [json.loads(event)["choices"][0]["finish_reason"] for event in events] == [None, None, None, "length"]
    assert json.loads(usage)["usage"] == {"prompt_tokens": 3, "total_tokens": 7, "completion_tokens": 4}
    assert done == "[DONE]"


@pytest.mark.parametrize(("tokens", "sizes"), [(1, [1]), (5, [1, 3, 1]), (7, [1, 3, 3])])
async def test_the_stream_interval_bundles_tokens_after_the_first(tokens: int, sizes: list[int]) -> None:
    async with simulated({"stream_interval": 3}) as server:
        events = await server.events("/v1/completions", {"prompt": [5], "max_tokens": tokens})
    assert [len(text.split()) for text in contents(events)] == sizes


async def test_without_a_stream_the_answer_comes_in_one_piece() -> None:
    async with simulated() as server:
        _, completion = await server.post("/v1/completions", {"prompt": "abcdefghi", "max_tokens": 2})
        asked = {"messages": [{"role": "user", "content": [{"type": "text", "text": "abcd"}]}], "max_tokens": 2}
        _, chat = await server.post("/v1/chat/completions", asked)
    assert completion["choices"][0]["text"] == " On a"
    assert completion["usage"] == {"prompt_tokens": 3, "total_tokens": 5, "completion_tokens": 2}
    assert chat["object"] == "chat.completion"
    assert chat["choices"][0]["message"] == {"role": "assistant", "content": " On a"}
    assert chat["usage"]["prompt_tokens"] == 5


async def test_a_chat_without_limit_fills_the_context() -> None:
    async with simulated() as server:
        _, answer = await server.post("/v1/chat/completions", {"messages": [{"role": "user", "content": "abcd"}]})
    assert answer["usage"]["total_tokens"] == 256


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"model": "other", "prompt": [5]}, 404, "The model `other` does not exist."),
        ({}, 400, "prompt must be one text or one list of token ids"),
        ({"prompt": [[5], [6]]}, 400, "prompt must be one text or one list of token ids"),
        ({"prompt": []}, 400, "The decoder prompt cannot be empty"),
        ({"prompt": [5, 1000]}, 400, "Token id 1000 is out of vocabulary"),
        ({"prompt": [5, -1]}, 400, "Token id -1 is out of vocabulary"),
        ({"prompt": [5], "n": 2}, 400, "n must be 1"),
        ({"prompt": [5], "max_tokens": 0}, 400, "max_tokens must be at least 1, got 0."),
        ({"prompt": [5], "max_tokens": "5"}, 400, "max_tokens must be an integer, got '5'"),
        ({"prompt": [5], "max_tokens": 257}, 400, "max_tokens=257 cannot be greater than max_model_len=256"),
        ({"prompt": [5], "max_tokens": 5, "min_tokens": 6}, 400, "min_tokens must be from 0 to max_tokens=5, got 6."),
        ({"prompt": [5] * 257}, 400, "maximum context length is 256 tokens. However, your prompt contains 257 input"),
        ([], 400, "the body is no JSON object"),
    ],
)
async def test_what_cannot_be_served_is_refused_with_the_reason(body: object, status: int, message: str) -> None:
    async with simulated() as server:
        answered, answer = await server.post("/v1/completions", body)
        metrics = await server.metrics()
    assert answered == status
    assert message in answer["error"]["message"]
    assert answer["error"]["code"] == status
    assert metrics["vllm:prompt_tokens_total"] == 0


async def test_0_4_2_refuses_what_newer_versions_cut() -> None:
    asked = {"prompt": [5] * 200, "max_tokens": 100}
    async with simulated() as server:
        _, answer = await server.post("/v1/completions", asked)
    assert answer["usage"]["completion_tokens"] == 56
    async with simulated(version="0.4.2") as server:
        status, answer = await server.post("/v1/completions", asked)
    assert status == 400
    assert "However, you requested 300 tokens (200 in the messages, 100 in the completion)." in answer["message"]


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with simulated() as server, server.client.post("/v1/completions", data=b"{") as response:
        assert response.status == 400


@pytest.mark.parametrize(("header", "status"), [("Bearer right", 200), ("bearer right", 200), ("Bearer wrong", 401)])
async def test_v1_alone_wants_the_key(header: str, status: int) -> None:
    async with simulated(api_key="right") as server:
        async with server.client.get("/v1/models", headers={"Authorization": header}) as response:
            assert response.status == status
        async with server.client.get("/v1/models") as response:
            assert response.status == 401
        async with server.client.get("/health") as response:
            assert response.status == 200


async def test_the_load_generator_learns_its_vocabulary() -> None:
    async with simulated() as server:
        vocabulary = await learn_vocabulary(server.client.session, str(server.client.make_url("")).rstrip("/"), "tiny")
    assert vocabulary.note is None
    assert all(3 <= token < SHAPE.vocabulary for token in vocabulary.token_ids)


async def test_equal_prompts_share_whole_blocks_unless_salted() -> None:
    prompt = list(range(100, 200))
    async with simulated() as server:

        async def hits(body: Mapping[str, object]) -> float:
            before = (await server.metrics())["vllm:prefix_cache_hits_total"]
            await server.post("/v1/completions", {"max_tokens": 2, **body})
            return (await server.metrics())["vllm:prefix_cache_hits_total"] - before

        assert await hits({"prompt": prompt}) == 0
        assert await hits({"prompt": prompt}) == 96
        assert await hits({"prompt": [*prompt[:40], 7, *prompt[41:]]}) == 32
        assert await hits({"prompt": [7, *prompt[1:]]}) == 0
        assert await hits({"prompt": prompt, "cache_salt": "salt"}) == 0
        assert (await server.post("/reset_prefix_cache", {}))[1] == {"success": True}
        assert await hits({"prompt": prompt}) == 0


async def test_the_cache_is_not_emptied_under_a_request_and_a_gone_client_leaves_nothing() -> None:
    async with simulated(machine=SLOW) as server:
        async with server.client.post("/v1/completions", json={"prompt": [5] * 50, **MANY}) as response:
            await response.content.readany()
            assert (await server.metrics())["vllm:num_requests_running"] == 1
            assert (await server.post("/reset_prefix_cache", {}))[1] == {"success": False}
            response.close()
        await until(lambda: server.driver.engines[0].load == 0)
        assert (await server.metrics())["vllm:num_requests_running"] == 0
        assert (await server.post("/reset_prefix_cache", {}))[1] == {"success": True}


@pytest.mark.parametrize(("version", "health"), [("0.4.2", 500), ("0.32.0", 503)])
async def test_an_engine_that_dies_does_so_as_its_version_does(version: Version, health: int) -> None:
    async with simulated(machine=SLOW, version=version) as server:
        under_way = asyncio.create_task(server.events("/v1/completions", {"prompt": [5], **MANY}))
        await until(lambda: server.driver.generated_tokens > 0)
        server.driver.die(["it died"])
        events = await under_way
        async with server.client.get("/health") as response:
            assert response.status == health
        async with server.client.post("/v1/completions", json={"prompt": [5]}) as response:
            assert response.status == 500
        if version == "0.4.2":
            assert all("text" in json.loads(event)["choices"][0] for event in events)  # nothing said: cut
            assert await server.events("/v1/completions", {"prompt": [5]}) == []
        else:
            assert json.loads(events[-2])["error"]["code"] == 500
            assert events[-1] == "[DONE]"
    assert server.log == ["it died"]


async def test_want_of_memory_kills_the_engine_at_the_request() -> None:
    async with simulated(fault="oom") as server:
        status, answer = await server.post("/v1/completions", {"prompt": [5]})
    assert status == 500
    assert answer["error"]["type"] == "InternalServerError"
    assert any("out of memory" in line for line in server.log)


@pytest.mark.parametrize(("fault", "says_so"), [("cut", False), ("stream-error", True)])
async def test_a_stream_breaks_half_way(fault: FaultKind, says_so: bool) -> None:
    async with simulated(fault=fault) as server:
        events = await server.events("/v1/completions", {"prompt": [5], "max_tokens": 6})
    assert contents(events) == [" On", " a", " clear"]
    assert (events[-1] == "[DONE]") is says_so
    assert any("error" in json.loads(event) for event in events if event != "[DONE]") is says_so


async def test_other_faults_of_the_server() -> None:
    async with simulated(fault="http-500") as server:
        assert (await server.post("/v1/completions", {"prompt": [5]}))[0] == 500
    async with simulated(fault="garbage") as server:
        with pytest.raises(aiohttp.ClientError):
            await server.post("/v1/completions", {"prompt": [5]})
    async with simulated(fault="hang") as server:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await server.post("/v1/completions", {"prompt": [5]})
        async with server.client.get("/health") as response:
            assert response.status == 200
