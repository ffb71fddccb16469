"""The stand-in's server: ``python -m vllm.entrypoints.openai.api_server --model X --port P``."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from aiohttp import web

import vllm
from vllm import faults
from vllm.batching import Batcher
from vllm.entrypoints.openai.cli_args import make_arg_parser

WORDS = ("ond", "FILTER", " Enum", " löv", "getattr", "byte", "\n", "雪")
CHARACTERS_PER_TOKEN = 4


class Server:
    """All routes."""

    def __init__(self, flags: argparse.Namespace) -> None:
        self.flags = flags
        self.name = flags.served_model_name or flags.model
        self.batcher = Batcher(flags)
        self.requests = 0
        key = os.environ.get("VLLM_API_KEY")
        self.authorization = f"Bearer {key}" if key else None

    def app(self) -> web.Application:
        """Return the application, without the loop of :class:`Batcher`."""
        app = web.Application(middlewares=[self.guard], client_max_size=2**26)
        app.router.add_get("/health", self.health)
        app.router.add_get("/version", self.version)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_post("/tokenize", self.tokenize)
        app.router.add_post("/v1/completions", self.completions)
        app.router.add_post("/v1/chat/completions", self.completions)
        if os.environ.get("VLLM_SERVER_DEV_MODE") == "1":
            app.router.add_post("/reset_prefix_cache", self.reset_prefix_cache)
        return app

    @web.middleware
    async def guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Ask for the token on /v1, as vLLM does."""
        guarded = self.authorization is not None and request.path.startswith("/v1")
        if guarded and request.headers.get("Authorization") != self.authorization:
            return web.json_response({"error": "Unauthorized"}, status=401)
        return await handler(request)

    async def health(self, _: web.Request) -> web.Response:
        return web.Response()

    async def version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": vllm.__version__})

    async def models(self, _: web.Request) -> web.Response:
        model = {"id": self.name, "object": "model", "created": int(time.time()), "owned_by": "vllm"}
        model |= {"root": self.flags.model, "parent": None, "max_model_len": self.flags.max_model_len}
        return web.json_response({"object": "list", "data": [model]})

    async def metrics(self, _: web.Request) -> web.Response:
        batcher, labels = self.batcher, f'{{engine="0",model_name="{self.name}"}}'
        values = {
            "num_requests_running": len(batcher.running),
            "num_requests_waiting": len(batcher.waiting),
            "prefix_cache_queries_total": batcher.queried_tokens,
            "prefix_cache_hits_total": batcher.hit_tokens,
        }
        return web.Response(text="".join(f"vllm:{name}{labels} {float(value)}\n" for name, value in values.items()))

    async def tokenize(self, request: web.Request) -> web.Response:
        tokens = _tokens((await request.json()).get("prompt", ""))
        answer = {"count": len(tokens), "max_model_len": self.flags.max_model_len, "tokens": tokens, "token_strs": None}
        return web.json_response(answer)

    async def reset_prefix_cache(self, _: web.Request) -> web.Response:
        return web.json_response({"success": self.batcher.reset_prefix_cache()})

    async def completions(self, request: web.Request) -> web.StreamResponse:
        """Answer /v1/completions and /v1/chat/completions."""
        body = await request.json()
        chat = request.path.endswith("/chat/completions")
        prompt = _tokens("".join(m["content"] for m in body["messages"]) if chat else body["prompt"])
        wanted = int(body.get("max_completion_tokens") or body.get("max_tokens") or 16)
        if body.get("model", self.name) != self.name:
            return _refusal(404, "NotFoundError", f"The model `{body['model']}` does not exist.", "model")
        if len(prompt) + wanted > self.flags.max_model_len:
            text = f"max_tokens={wanted} cannot be greater than max_model_len={self.flags.max_model_len}."
            return _refusal(400, "BadRequestError", text, "max_tokens")
        self.requests += 1
        fault = faults.under_load(self.flags, self.requests)
        if fault == "hang_under_load":
            await asyncio.sleep(3600)
        if fault == "slow":
            await asyncio.sleep(2)
        if fault == "garbage" and request.transport is not None:
            request.transport.write(b"\x00\xff\xfe this is not HTTP\r\n\r\n")
            request.transport.close()
            return web.Response()
        answer = Answer(body, request, self.name, chat, len(prompt))
        sequence = self.batcher.submit(tuple(prompt), wanted)
        try:
            if body.get("stream"):
                return await answer.stream(request, _drain(sequence.tokens), self.flags.stream_interval, fault)
            return answer.whole([token async for token in _drain(sequence.tokens)])
        finally:
            self.batcher.abort(sequence)


class Answer:
    """One answer in vLLM's shapes."""

    def __init__(self, body: dict[str, Any], request: web.Request, model: str, chat: bool, prompt_tokens: int) -> None:
        self.body = body
        self.chat = chat
        self.prompt_tokens = prompt_tokens
        own = request.headers.get("x-request-id") or uuid.uuid4().hex[:16]
        self.head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{own}",
            "object": "chat.completion.chunk" if chat else "text_completion",
            "created": int(time.time()),
            "model": model,
        }

    async def stream(
        self, request: web.Request, tokens: AsyncIterator[int], interval: int, fault: str
    ) -> web.StreamResponse:
        """Send server-sent events: a role (chat), the text, the usage if wanted, [DONE]."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        if self.chat:
            await _event(response, self._chunk({"role": "assistant", "content": ""}, None))
        held, made = "", 0
        wanted = int(self.body.get("max_completion_tokens") or self.body.get("max_tokens") or 16)
        async for token in tokens:
            held += _word(token)
            made += 1
            if made % interval and made not in (1, wanted):
                continue
            if fault in ("cut_stream", "error_in_stream") and made > wanted // 2:
                return await self._break(response, fault)
            text = {"content": held} if self.chat else held
            await _event(response, self._chunk(text, "length" if made == wanted else None))
            held = ""
        if (self.body.get("stream_options") or {}).get("include_usage"):
            await _event(response, {**self.head, "choices": [], "usage": self._usage(made)})
        await response.write(b"data: [DONE]\n\n")
        return response

    def whole(self, tokens: list[int]) -> web.Response:
        """Return the answer in one piece."""
        text = "".join(map(_word, tokens))
        content = {"message": {"role": "assistant", "content": text}} if self.chat else {"text": text}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": "length", "stop_reason": None}
        kind = "chat.completion" if self.chat else "text_completion"
        return web.json_response({**self.head, "object": kind, "choices": [choice], "usage": self._usage(len(tokens))})

    def _chunk(self, text: dict[str, str] | str, finish: str | None) -> dict[str, Any]:
        what = {"delta": text} if self.chat else {"text": text}
        choice = {"index": 0, **what, "logprobs": None, "finish_reason": finish, "stop_reason": None}
        return {**self.head, "choices": [choice]}

    def _usage(self, made: int) -> dict[str, int]:
        total = self.prompt_tokens + made
        return {"prompt_tokens": self.prompt_tokens, "total_tokens": total, "completion_tokens": made}

    async def _break(self, response: web.StreamResponse, fault: str) -> web.StreamResponse:
        """End a stream as a failing engine does: an error among the events, or nothing more."""
        if fault == "error_in_stream":
            error = {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "code": 500}
            await _event(response, {"error": error})
            await response.write(b"data: [DONE]\n\n")
        return response


async def _drain(tokens: asyncio.Queue[int | None]) -> AsyncIterator[int]:
    while (token := await tokens.get()) is not None:
        yield token


async def _event(response: web.StreamResponse, data: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n")


def _word(token: int) -> str:
    return WORDS[token % len(WORDS)]


def _tokens(prompt: str | list[int]) -> list[int]:
    """Return token ids as given, or one for every few characters."""
    if isinstance(prompt, list):
        return prompt
    pieces = (prompt[at : at + CHARACTERS_PER_TOKEN] for at in range(0, len(prompt), CHARACTERS_PER_TOKEN))
    return [sum(piece.encode()) for piece in pieces]


def _refusal(status: int, kind: str, message: str, param: str) -> web.Response:
    error = {"message": message, "type": kind, "param": param, "code": status}
    return web.json_response({"error": error}, status=status)


def check(flags: argparse.Namespace) -> None:
    """Refuse what vLLM refuses, in its words, with exit code 1."""
    tokens, seqs, length = flags.max_num_batched_tokens, flags.max_num_seqs, flags.max_model_len
    if tokens < seqs:
        problem = f"max_num_batched_tokens ({tokens}) must be greater than or equal to max_num_seqs ({seqs})."
    elif not flags.enable_chunked_prefill and tokens < length:
        problem = f"max_num_batched_tokens ({tokens}) is smaller than max_model_len ({length})."
    else:
        return
    faults.log("pydantic_core._pydantic_core.ValidationError: 1 validation error for SchedulerConfig")
    faults.log(f"  Value error, {problem} [type=value_error, input_type=ArgsKwargs]")
    raise SystemExit(1)


async def serve(server: Server, listener: socket.socket) -> None:
    """Serve until SIGTERM or SIGINT."""
    runner = web.AppRunner(server.app(), access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener, shutdown_timeout=0.1).start()
    batching = asyncio.create_task(server.batcher.run())
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    faults.log(f"INFO:     Application startup complete, listening on port {server.flags.port}.")
    await stop.wait()
    batching.cancel()
    with suppress(asyncio.CancelledError):
        await batching
    await runner.cleanup()


def main() -> None:
    """Run from the command line."""
    flags = make_arg_parser(argparse.ArgumentParser(prog="api_server.py")).parse_args()
    check(flags)
    run(flags)


def run(flags: argparse.Namespace, make: Callable[[argparse.Namespace], Server] = Server) -> None:
    """Serve with checked flags."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((flags.host, flags.port))
    # Like the real one, leave behind a child where this process is killed.
    core = Path(__file__).with_name("engine_core.py")
    child = subprocess.Popen([sys.executable, "-I", "-S", str(core)])
    try:
        faults.at_start()
        listener.listen(1024)
        asyncio.run(serve(make(flags), listener))
    finally:
        child.terminate()
        child.wait()


if __name__ == "__main__":
    main()
