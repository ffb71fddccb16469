"""A server that streams tokens on time and knows when it sent each: the truth a load generator is measured against.

``python timing_server.py --ttft-ms 50 --gap-ms 22.5 [--lockstep] [--core 1]`` prints its port. A completion of
``max_tokens`` N gets N events, the first ``ttft`` after the request, then one each ``gap``; with ``--lockstep`` all
streams send at the same multiples of the gap. ``GET /log`` returns ``{x-request-id: {"received": s, "sent": [s, …]}}``
in ``time.monotonic`` seconds, and forgets it.

One thread, sockets without a framework and a loop that spins when the next event is near: an event leaves within some
ten microseconds of its time, and its log entry is made right before the system call that sends it.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import json
import os
import re
import select
import socket
import sys
import time
from contextlib import suppress

SPIN_S = 0.00005
_LENGTH = re.compile(rb"(?i)content-length: *(\d+)")
_REQUEST_ID = re.compile(rb"(?i)x-request-id: *([^\r\n]+)")
_MAX_TOKENS = re.compile(rb'"max_(?:completion_)?tokens" *: *(\d+)')
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"


def _chunk(payload: object) -> bytes:
    text = payload if isinstance(payload, str) else json.dumps(payload, separators=(",", ":"))
    event = f"data: {text}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(event), event)


def _event(chat: bool) -> bytes:
    """One event in vLLM's shape and of its size."""
    finish = {"logprobs": None, "finish_reason": None, "stop_reason": None, "token_ids": None}
    said = {"delta": {"content": " token"}} if chat else {"text": " token"}
    kind = "chat.completion.chunk" if chat else "text_completion"
    return _chunk(
        {
            "id": "cmpl-0123456789abcdef0123456789abcdef",
            "object": kind,
            "created": 1700000000,
            "model": "timing",
            "choices": [{"index": 0, **said, **finish}],
            "usage": None,
        }
    )


_EVENTS = {chat: _event(chat) for chat in (False, True)}


def _ending(tokens: int) -> bytes:
    usage = {"prompt_tokens": 1, "total_tokens": tokens + 1, "completion_tokens": tokens}
    return _chunk({"id": "cmpl-0", "choices": [], "usage": usage}) + _chunk("[DONE]") + b"0\r\n\r\n"


class Stream:
    """One answer on its way."""

    __slots__ = ("event", "left", "sent", "socket", "tokens")

    def __init__(self, connection: socket.socket, tokens: int, chat: bool, sent: list[float]) -> None:
        self.socket = connection
        self.event = _EVENTS[chat]
        self.tokens = self.left = tokens
        self.sent = sent

    def send(self) -> bool:
        """Send one event; True if more are to come."""
        self.left -= 1
        data = self.event if self.left else self.event + _ending(self.tokens)
        self.sent.append(time.monotonic())
        try:
            self.socket.sendall(data)
        except OSError:
            return False
        return self.left > 0


class TimingServer:
    """The loop: accept, read requests, send what is due."""

    def __init__(self, ttft_s: float, gap_s: float, lockstep: bool) -> None:
        self._ttft_s, self._gap_s, self._lockstep = ttft_s, gap_s, lockstep
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._poll = select.epoll()
        self._poll.register(self._listening, select.EPOLLIN)
        self._connections: dict[int, tuple[socket.socket, bytearray]] = {}
        self._due: list[tuple[float, int, Stream]] = []
        self._number = 0
        self._log: dict[str, dict[str, object]] = {}
        self.port: int = self._listening.getsockname()[1]

    def serve(self) -> None:
        """Until killed."""
        while True:
            wait_s = self._due[0][0] - time.monotonic() - SPIN_S if self._due else 0.05
            if wait_s > 0:
                select.select([self._poll.fileno()], (), (), wait_s)
            for descriptor, _ in self._poll.poll(0):
                if descriptor == self._listening.fileno():
                    self._accept()
                else:
                    self._read(descriptor)
            self._send_due()

    def _send_due(self) -> None:
        sent = 0
        while self._due and self._due[0][0] <= time.monotonic() and sent < 64:  # then look for requests again
            due_s, _, stream = heapq.heappop(self._due)
            if stream.send():
                self._schedule(due_s + self._gap_s, stream)
            sent += 1

    def _schedule(self, due_s: float, stream: Stream) -> None:
        self._number += 1
        heapq.heappush(self._due, (due_s, self._number, stream))

    def _accept(self) -> None:
        connection, _ = self._listening.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections[connection.fileno()] = (connection, bytearray())
        self._poll.register(connection, select.EPOLLIN)

    def _read(self, descriptor: int) -> None:
        connection, buffer = self._connections[descriptor]
        try:
            data = connection.recv(1 << 20)
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(descriptor)
            del self._connections[descriptor]
            connection.close()
            return
        buffer += data
        head_end = buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = bytes(buffer[:head_end])
        length = _LENGTH.search(head)
        end = head_end + 4 + (int(length[1]) if length else 0)
        if len(buffer) >= end:
            body = bytes(buffer[head_end + 4 : end])
            del buffer[:end]
            self._answer(connection, head, body)

    def _answer(self, connection: socket.socket, head: bytes, body: bytes) -> None:
        now_s = time.monotonic()
        if b"completions" in head.split(b" ", 2)[1]:
            found, request_id = _MAX_TOKENS.search(body), _REQUEST_ID.search(head)
            sent: list[float] = []
            name = request_id[1].decode() if request_id else f"unnamed-{self._number}"
            self._log[name] = {"received": now_s, "sent": sent}
            connection.sendall(_HEAD)
            stream = Stream(connection, int(found[1]) if found else 16, b"/chat/" in head, sent)
            due_s = now_s + self._ttft_s
            self._schedule(due_s if not self._lockstep else self._next_beat(due_s), stream)
            return
        answer = {"data": [{"id": "timing", "object": "model"}]}
        if head.startswith(b"GET /log"):
            answer, self._log = self._log, {}  # type: ignore[assignment]  # whatever JSON it is
        status = b"404 Not Found" if b"tokenize" in head else b"200 OK"
        text = json.dumps(answer).encode()
        connection.setblocking(True)
        connection.sendall(
            b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text)
        )

    def _next_beat(self, due_s: float) -> float:
        return -(-due_s // self._gap_s) * self._gap_s


def main() -> None:
    """Serve on a free port of the loopback."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ttft-ms", type=float, default=50.0)
    parser.add_argument("--gap-ms", type=float, default=22.5)
    parser.add_argument("--lockstep", action="store_true")
    parser.add_argument("--core", type=int)
    options = parser.parse_args()
    with suppress(OSError):  # not privileged: the machine's other work then delays the server, as its log shows
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    server = TimingServer(options.ttft_ms / 1e3, options.gap_ms / 1e3, options.lockstep)
    sys.stdout.write(f"{server.port}\n")
    sys.stdout.flush()
    gc.disable()
    server.serve()


if __name__ == "__main__":
    main()
