"""The routes."""

from __future__ import annotations

import hmac
import json
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from aiohttp import HttpVersion11, web

from scoot_ray.simulator.boot import Booted
from scoot_ray.simulator.server.answers import DONE, Stream, Whole, Wording, event
from scoot_ray.simulator.server.api import Ask, Refused, Served, error_body, read_ask, read_tokenize
from scoot_ray.simulator.server.driver import Driver
from scoot_ray.simulator.server.exposition import exposition
from scoot_ray.simulator.server.faults import Fault, last_words
from scoot_ray.simulator.server.log import write_log
from scoot_ray.simulator.server.tokens import prefix_keys

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LARGEST_BODY_BYTES = 2**26
_DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class App:
    """All routes over one driver. Make it when the server is ready: a fault's seconds count from then."""

    def __init__(
        self, served: Served, booted: Booted, driver: Driver, api_key: str | None, fault: Fault | None
    ) -> None:
        self._served, self._settings, self._driver = served, booted.settings, driver
        self._key = None if api_key is None else api_key.encode()
        self._fault = fault
        self._ready_s = time.monotonic()
        self._created = int(time.time())

    def application(self) -> web.Application:
        """Return it all, ready to be run."""
        app = web.Application(middlewares=[self._guard], client_max_size=_LARGEST_BODY_BYTES)
        app.router.add_get("/health", self._health)
        app.router.add_get("/version", self._version)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/tokenize", self._tokenize)
        app.router.add_post("/reset_prefix_cache", self._reset_prefix_cache)
        app.router.add_post("/v1/completions", self._completions)
        app.router.add_post("/v1/chat/completions", self._completions)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Ask for the key on /v1 alone, as vLLM does; answer what is refused."""
        if self._key is not None and request.path.startswith("/v1") and not self._has_key(request):
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            return await handler(request)
        except Refused as refused:
            return web.json_response(error_body(self._served.version, refused), status=refused.status)

    def _has_key(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self._key or b"")

    async def _health(self, _request: web.Request) -> web.Response:
        dead = 500 if self._served.version == "0.4.2" else 503
        return web.Response(status=dead if self._driver.dead else 200)

    async def _version(self, _request: web.Request) -> web.Response:
        return web.json_response({"version": f"{self._served.version}+simulated"})

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(text=exposition(self._driver, self._served.name))

    async def _models(self, _request: web.Request) -> web.Response:
        served = self._served
        model = {"id": served.name, "object": "model", "created": self._created, "owned_by": "vllm"}
        model |= {"root": served.root, "parent": None, "max_model_len": served.max_model_len}
        return web.json_response({"object": "list", "data": [model]})

    async def _tokenize(self, request: web.Request) -> web.Response:
        tokens = read_tokenize(await _json(request), self._served)
        limit = self._served.max_model_len
        return web.json_response({"count": len(tokens), "max_model_len": limit, "tokens": tokens, "token_strs": None})

    async def _reset_prefix_cache(self, _request: web.Request) -> web.Response:
        return web.json_response({"success": self._driver.reset_prefix_cache()})

    async def _completions(self, request: web.Request) -> web.StreamResponse:
        ask = read_ask(await _json(request), self._served, request.path.endswith("/chat/completions"))
        fault = self._due()
        if fault in {"crash", "oom", "hang"}:
            self._act(fault)
        if fault == "garbage":
            return self._garbage(request)
        # A dead 0.4.2 notices only once the stream has begun.
        dead = self._driver.dead and not (ask.stream and self._served.version == "0.4.2")
        if fault == "http-500" or dead:
            raise _internal(_DEAD if dead else "Internal server error")
        wording = Wording(ask, request.headers.get("x-request-id") or uuid.uuid4().hex, self._served.name)
        return await (self._stream(request, ask, wording, fault) if ask.stream else self._whole(ask, wording))

    async def _whole(self, ask: Ask, wording: Wording) -> web.StreamResponse:
        whole = Whole()
        await self._serve(ask, whole)
        if not whole.over.result():
            raise _internal(_DEAD)
        return web.json_response(wording.whole(whole.made))

    async def _stream(self, request: web.Request, ask: Ask, wording: Wording, fault: str | None) -> web.StreamResponse:
        """Stream past ``StreamResponse.write``: a step's events go out at once, without waiting for each other."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return response  # the client has gone already
        chunked = request.version >= HttpVersion11

        def write(data: bytes) -> None:
            if not transport.is_closing():
                transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

        broken = fault in {"cut", "stream-error"}
        stream = Stream(
            ask,
            wording,
            write,
            self._settings.stream_interval,
            last_words=self._stream_error(fault),
            breaks_after=(ask.output_tokens + 1) // 2 if broken else None,
        )
        await self._serve(ask, stream)
        if stream.over.result():
            await response.write_eof()
        else:
            transport.close()
        return response

    async def _serve(self, ask: Ask, receiver: Stream | Whole) -> None:
        """Have a request computed, or forget it where its client goes."""
        sharing = self._settings.enable_prefix_caching
        prefix = prefix_keys(ask.prompt, self._settings.block_size, ask.cache_salt) if sharing else ()
        sequence = self._driver.submit(len(ask.prompt), ask.output_tokens, prefix, receiver)
        try:
            await receiver.over
        finally:
            self._driver.abort(sequence)

    def _stream_error(self, fault: str | None) -> bytes:
        """What a stream says at the end if it fails; nothing where it is cut."""
        if fault == "cut" or (self._served.version == "0.4.2" and fault != "stream-error"):
            return b""
        return event(error_body(self._served.version, _internal(_DEAD))) + DONE

    def _due(self) -> str | None:
        """The fault that is to be acted out by now."""
        if self._fault is None or time.monotonic() - self._ready_s < self._fault.seconds:
            return None
        return self._fault.kind

    def _act(self, fault: str) -> None:
        """Do to the engine what the fault is."""
        version = self._served.version
        if fault == "hang":
            self._driver.freeze()
        elif fault == "oom" and not self._driver.dead:
            self._driver.die(last_words(version, "oom"))
        elif fault == "crash":
            write_log(last_words(version, "crash"))
            os._exit(1)

    def _garbage(self, request: web.Request) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.write(b"\x00\xff\xfe this is not HTTP\r\n\r\n")
            request.transport.close()
        return web.Response()


def _internal(message: str) -> Refused:
    return Refused(message, status=500, kind="InternalServerError")


async def _json(request: web.Request) -> object:
    """Return the body."""
    try:
        return json.loads(await request.read())
    except ValueError as error:
        raise Refused(f"the body is no JSON: {error}") from error
