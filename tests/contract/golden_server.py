"""A fake OpenAI-compatible streaming server that knows exactly what it sent, and when.

A process of its own, so that its clock readings are not the client's: ``python golden_server.py [CERTIFICATE KEY]``
prints its port; with a certificate it speaks TLS. It speaks HTTP by hand, since most of what it must do wrong no HTTP
library allows.

- ``POST /script {"default": behaviour, "<x-request-id>": behaviour, …}`` chooses behaviours and forgets the log. A
  behaviour is one of the names below, or ``{"writes": [[delay_s, base64], …], "end": "keep" | "close" | "abort"}``: the
  bytes of a whole answer, as they are to go out.
- ``GET /log`` returns ``{x-request-id: {received, sent: [...], path, headers, body}}``; times are ``time.monotonic``
  seconds (one clock for all processes of a machine), ``sent`` has one for each event with content, or each write.
- Other pages are what the script's ``"GET <path>"`` says: ``{"body": text or JSON, "status": "401 Unauthorized"}``.
- ``POST /tokenize`` answers unless the script's ``tokenize`` is ``"absent"``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

TTFT_S = 0.03
GAP_S = 0.01
Json = dict[str, Any]

script: dict[str, str | Json] = {}
log: dict[str, Json] = {}


class Reply:
    """One answer being written, and the log of what was."""

    def __init__(self, writer: asyncio.StreamWriter, entry: Json, body: Json) -> None:
        self.writer = writer
        self.entry = entry
        self.tokens: int = body["max_tokens"]
        self.prompt_tokens = len(body["prompt"]) if isinstance(body.get("prompt"), list) else 7
        self.chat = "messages" in body
        self.newline = "\n"

    async def raw(self, data: bytes) -> None:
        """Write one HTTP chunk."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def head(self) -> None:
        self.writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await self.writer.drain()

    def frame(self, payload: Json | str) -> bytes:
        text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
        return f"data: {text}{self.newline}{self.newline}".encode()

    def choice(self, text: str | None, **delta: str) -> bytes:
        """One event in vLLM's shape; ``text`` None sends a chat delta of other keys alone."""
        shared = {"id": "cmpl-1", "model": "golden", "usage": None}
        finish = {"index": 0, "logprobs": None, "finish_reason": None}
        if self.chat:
            content = delta if text is None else {"content": text, **delta}
            return self.frame({**shared, "choices": [{**finish, "delta": content}]})
        return self.frame({**shared, "choices": [{**finish, "text": text or ""}]})

    async def token(self, data: bytes | None = None) -> None:
        """Send an event with content, and note when."""
        self.entry["sent"].append(time.monotonic())
        await self.raw(self.choice("word ") if data is None else data)

    async def all_tokens(self, count: int | None = None) -> None:
        await asyncio.sleep(TTFT_S)
        for number in range(self.tokens if count is None else count):
            if number:
                await asyncio.sleep(GAP_S)
            await self.token()

    async def usage(self, completion_tokens: int | None = None) -> None:
        completed = self.tokens if completion_tokens is None else completion_tokens
        usage = {"prompt_tokens": self.prompt_tokens, "total_tokens": 0, "completion_tokens": completed}
        await self.raw(self.frame({"id": "cmpl-1", "choices": [], "usage": usage}))

    async def done(self) -> None:
        await self.raw(self.frame("[DONE]"))
        await self.end()

    async def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")
        await self.writer.drain()


async def plain(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens()
    await reply.usage()
    await reply.done()


async def role_delta(reply: Reply) -> None:
    """Role, then an empty delta, at once; content later."""
    await reply.head()
    await reply.raw(reply.choice(None, role="assistant", content=""))
    await reply.raw(reply.choice(""))
    await reply.all_tokens()
    await reply.raw(reply.choice(""))
    await reply.usage()
    await reply.done()


async def pings(reply: Reply) -> None:
    await reply.head()
    await reply.raw(b": ping\n\n")
    await asyncio.sleep(TTFT_S)
    for _ in range(reply.tokens):
        await reply.token()
        await reply.raw(b":\n\nevent: ping\ndata: {}\n\n")
        await asyncio.sleep(GAP_S)
    await reply.usage()
    await reply.done()


async def crlf(reply: Reply) -> None:
    reply.newline = "\r\n"
    await plain(reply)


async def split(reply: Reply) -> None:
    """Every byte in a packet of its own, or nearly."""
    await reply.head()
    for _ in range(reply.tokens):
        data = reply.choice("word ")
        for byte in data[:-1]:
            await reply.raw(bytes((byte,)))
            await asyncio.sleep(0)
        await reply.token(data[-1:])
    await reply.usage()
    await reply.done()


async def coalesced(reply: Reply) -> None:
    """All events in one packet, the last one's end with what follows in the next."""
    await reply.head()
    await asyncio.sleep(TTFT_S)
    now_s = time.monotonic()
    reply.entry["sent"] += [now_s] * reply.tokens
    await reply.raw(reply.choice("word ") * reply.tokens + reply.frame("[DO")[:-2])
    await asyncio.sleep(GAP_S)
    await reply.raw(b"NE]\n\n")
    await reply.end()


async def paired(reply: Reply) -> None:
    """Two tokens to an event, as with a stream interval of two."""
    await reply.head()
    await reply.all_tokens(reply.tokens // 2)
    await reply.usage()
    await reply.done()


async def utf8_cut(reply: Reply) -> None:
    await reply.head()
    for _ in range(reply.tokens):
        data = reply.choice("日本 ")
        middle = data.index("日".encode()) + 1
        await reply.raw(data[:middle])
        await asyncio.sleep(GAP_S)
        await reply.token(data[middle:])
    await reply.usage()
    await reply.done()


async def reasoning(reply: Reply) -> None:
    await reply.head()
    await asyncio.sleep(TTFT_S)
    for _ in range(reply.tokens):
        await reply.token(reply.choice(None, reasoning_content="hm"))
        await asyncio.sleep(GAP_S)
    await reply.usage()
    await reply.done()


async def hostile_text(reply: Reply) -> None:
    """Generated text that quotes the protocol itself."""
    await reply.head()
    for _ in range(reply.tokens):
        await reply.token(reply.choice('{"error": {"message": "no"}, "usage": {"prompt_tokens": 1}} data: [DONE]\n\n'))
    await reply.usage()
    await reply.done()


async def in_stream_error(reply: Reply) -> None:
    """The error arrives in a stream that goes on to end well."""
    await reply.head()
    await reply.all_tokens(2)
    await reply.raw(reply.frame({"error": {"message": "engine died", "type": "InternalServerError", "code": 500}}))
    await reply.done()


async def aborted(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens(2)
    await reply.raw(reply.frame({"choices": [{"index": 0, "text": "", "finish_reason": "abort"}]}))
    await reply.done()


async def clean_cut(reply: Reply) -> None:
    """The body ends in good HTTP, but without [DONE]."""
    await reply.head()
    await reply.all_tokens(2)
    await reply.end()


async def rude_cut(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens(2)
    reply.writer.transport.abort()


async def cut_inside_event(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens(1)
    await reply.raw(reply.choice("word ")[:-20])
    await reply.end()


async def reset(reply: Reply) -> None:
    reply.writer.transport.abort()


async def zero_tokens(reply: Reply) -> None:
    await reply.head()
    await reply.raw(reply.choice(None, role="assistant", content=""))
    await reply.usage(0)
    await reply.done()


async def unavailable(reply: Reply) -> None:
    reply.writer.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")
    await reply.writer.drain()


async def garbage(reply: Reply) -> None:
    reply.writer.write(b"\x00\x01 this is no HTTP\r\n\r\n")
    await reply.writer.drain()


async def trickled_head(reply: Reply) -> None:
    """The head comes byte by byte, and begins with an interim answer."""
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in head:
        reply.writer.write(bytes((byte,)))
        await reply.writer.drain()
    await reply.all_tokens()
    await reply.usage()
    await reply.done()


async def until_close(reply: Reply) -> None:
    """A body without chunks or length, which ends with the connection."""
    reply.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    await asyncio.sleep(TTFT_S)
    for _ in range(reply.tokens):
        reply.entry["sent"].append(time.monotonic())
        reply.writer.write(reply.choice("word "))
        await asyncio.sleep(GAP_S)
    reply.writer.write(reply.frame("[DONE]"))
    reply.writer.close()


async def redirected(reply: Reply) -> None:
    reply.writer.write(b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
    await reply.writer.drain()


async def no_content(reply: Reply) -> None:
    """200, and nothing in it."""
    reply.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await reply.writer.drain()


async def broken_chunk(reply: Reply) -> None:
    """A chunk's length that is no number."""
    await reply.head()
    await reply.all_tokens(2)
    reply.writer.write(b"zz\r\nnonsense\r\n")
    await reply.writer.drain()


async def json_error(reply: Reply) -> None:
    """200 and an error as plain JSON, where a stream was asked for."""
    await answer_json(reply.writer, {"error": {"message": "no such model"}})


async def for_ever(reply: Reply) -> None:
    """Tokens until the client goes away, which the log notes."""
    await reply.head()
    try:
        while True:
            await reply.token()
            await asyncio.sleep(GAP_S)
    finally:
        reply.entry["closed"] = time.monotonic()


def said(reply: Reply, text: str) -> Json:
    """A whole answer."""
    choice = {"index": 0, "finish_reason": "length"}
    content = {"message": {"role": "assistant", "content": text}} if reply.chat else {"text": text}
    usage = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.tokens}
    return {"id": "cmpl-1", "choices": [{**choice, **content}], "usage": usage}


async def whole(reply: Reply) -> None:
    await asyncio.sleep(TTFT_S)
    reply.entry["sent"].append(time.monotonic())
    await answer_json(reply.writer, said(reply, "all the words"))


async def whole_empty(reply: Reply) -> None:
    await answer_json(reply.writer, said(reply, ""))


async def whole_aborted(reply: Reply) -> None:
    document = said(reply, "some words")
    document["choices"][0]["finish_reason"] = "abort"
    await answer_json(reply.writer, document)


async def whole_no_json(reply: Reply) -> None:
    reply.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{...")
    await reply.writer.drain()


async def whole_cut(reply: Reply) -> None:
    reply.writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n" + json.dumps(said(reply, "word")).encode())
    await reply.writer.drain()
    reply.writer.close()


async def hang(reply: Reply) -> None:
    await asyncio.sleep(3600)


async def stall(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens(2)
    await asyncio.sleep(3600)


async def stall_with_pings(reply: Reply) -> None:
    """A dead engine behind a live proxy."""
    await reply.head()
    await reply.all_tokens(2)
    while True:
        await reply.raw(b": still here\n\n")
        await asyncio.sleep(GAP_S)


async def slow_head(reply: Reply) -> None:
    await asyncio.sleep(10 * TTFT_S)
    await plain(reply)


async def short_usage(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens(reply.tokens - 1)
    await reply.usage(reply.tokens - 1)
    await reply.done()


async def no_usage(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens()
    await reply.done()


async def open_end(reply: Reply) -> None:
    """[DONE], and then a body that never ends."""
    await reply.head()
    await reply.all_tokens()
    await reply.usage()
    await reply.raw(reply.frame("[DONE]"))
    await asyncio.sleep(3600)


async def reset_after_done(reply: Reply) -> None:
    await reply.head()
    await reply.all_tokens()
    await reply.usage()
    await reply.raw(reply.frame("[DONE]"))
    await asyncio.sleep(GAP_S)
    reply.writer.transport.abort()


BEHAVIOURS: dict[str, Callable[[Reply], Awaitable[None]]] = {
    behaviour.__name__: behaviour
    for behaviour in (
        plain, role_delta, pings, crlf, split, coalesced, paired, utf8_cut, reasoning, hostile_text, in_stream_error,
        aborted, clean_cut, rude_cut, cut_inside_event, reset, zero_tokens, unavailable, garbage, hang, stall,
        stall_with_pings, slow_head, short_usage, no_usage, open_end, reset_after_done, trickled_head, until_close,
        redirected, no_content, broken_chunk, json_error, for_ever, whole, whole_empty, whole_aborted, whole_no_json,
        whole_cut,
    )
}  # fmt: skip


async def scripted(reply: Reply, behaviour: Json) -> None:
    """Write the given bytes at the given times, whatever they are."""
    for delay_s, data in behaviour["writes"]:
        await asyncio.sleep(delay_s)
        reply.entry["sent"].append(time.monotonic())
        reply.writer.write(base64.b64decode(data))
        await reply.writer.drain()
    if behaviour["end"] == "abort":
        reply.writer.transport.abort()
    elif behaviour["end"] == "close":
        reply.writer.close()


def tokenize(body: Json) -> list[int]:
    """A word to a token, behind a special token 1 that the server adds unasked."""
    return [1, *(1000 + sum(map(ord, word)) % 997 for word in body["prompt"].split())]


async def answer_json(writer: asyncio.StreamWriter, value: object, status: bytes = b"200 OK") -> None:
    body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
    writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body))
    await writer.drain()


async def answer(method: str, path: str, headers: dict[str, str], body: Json, writer: asyncio.StreamWriter) -> None:
    if path == "/script":
        script.clear()
        script.update(body)
        log.clear()
        await answer_json(writer, {})
    elif path == "/log":
        await answer_json(writer, log)
    elif path == "/tokenize" and script.get("tokenize") != "absent":
        await answer_json(writer, {"tokens": tokenize(body)})
    elif path in {"/v1/completions", "/v1/chat/completions"} and method == "POST":
        request_id = headers["x-request-id"]
        entry: Json = {"received": time.monotonic(), "sent": [], "path": path, "headers": headers, "body": body}
        log[request_id] = entry
        behaviour = script.get(request_id) or script.get("default") or "plain"
        reply = Reply(writer, entry, body)
        await (BEHAVIOURS[behaviour](reply) if isinstance(behaviour, str) else scripted(reply, behaviour))
    elif isinstance(page := script.get(f"{method} {path}"), dict):
        await answer_json(writer, page["body"], str(page.get("status", "200 OK")).encode())
    else:
        await answer_json(writer, {"error": "not found"}, b"404 Not Found")


def parse_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    method, path, _ = lines[0].split(" ")
    pairs: Iterator[list[str]] = (line.split(": ", 1) for line in lines[1:] if line)
    return method, path, {name.lower(): value for name, value in pairs}


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            method, path, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            await answer(method, path, headers, json.loads(body or b"{}"), writer)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    context = None
    if len(sys.argv) > 1:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    server = await asyncio.start_server(serve_connection, "127.0.0.1", 0, limit=1 << 26, backlog=4096, ssl=context)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
