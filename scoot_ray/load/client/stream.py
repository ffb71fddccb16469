"""Reading a streamed response: note at once when each piece came, look into it when there is time.

While its body is read, a response's transport talks to a StreamTap instead of to aiohttp's own handler. Pieces are
kept with the time they became readable and go through aiohttp's HTTP parser in batches, in the loop's idle moments, so
that many streams at once are stamped without waiting for one another, and no task is woken for a token.

``take`` gets bytes of the body in order, with marks: (how many of these bytes had come, when).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import aiohttp

from scoot_ray.load.client.loop import Clock

Marks: TypeAlias = list[tuple[int, float]]

BATCH = 32
"""Pieces that are worth looking into."""

MOST_PENDING = 256
"""Pieces of one stream that may wait however busy the loop is."""

_MANY_BYTES = 1 << 15  # well below what makes aiohttp pause a connection
_SMALL_BYTES = 32  # less than an event: the end of a stream, or of something cut
_LAST = b"\r\n\r\n"  # how a chunked body ends, and hardly anything else
_BUFFER = memoryview(bytearray(1 << 18))  # filled and copied within one callback, so all streams can share it


class StreamTap(asyncio.BufferedProtocol):
    """Reads one response's body."""

    __slots__ = (
        "_batch", "_clock", "_content", "_handler", "_marks", "_over", "_passed", "_pending", "_queued", "_stopped",
        "_take", "_transport",
    )  # fmt: skip

    def __init__(self, response: aiohttp.ClientResponse, take: Callable[[bytes, Marks], None], clock: Clock) -> None:
        self._content = response.content
        self._take = take
        self._clock = clock
        connection = response.connection  # None where the whole body came with its head
        self._handler = None if connection is None else connection.protocol
        self._transport = None if connection is None else connection.transport
        self._batch = BATCH if response.headers.get("Transfer-Encoding", "").lower() == "chunked" else 1
        self._pending: list[tuple[float, bytes, bool]] = []
        self._marks: Marks = []
        self._passed = 0
        self._queued = self._stopped = False
        self._over = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Read to the end of the body. Raises what aiohttp does for a body that is cut or broken."""
        try:
            self._mark(self._clock.in_task())
            self._pass_on()
            if self._transport is not None and not self._stopped:
                self._transport.set_protocol(self)
                await self._over
        finally:
            self.settle()
            self._give_back()
        exception = self._content.exception()
        if exception is not None:
            raise exception

    @property
    def pending_since_s(self) -> float | None:
        """When the first piece came that has not been looked into."""
        return self._pending[0][0] if self._pending else None

    def stop(self) -> None:
        """Read no further: the rest of the body is not wanted."""
        self._stopped = True
        if not self._over.done():
            self._over.set_result(None)

    def settle_old(self, before_s: float) -> None:
        """Look soon into what has been waiting since ``before_s``: whatever it is, it must not wait for ever."""
        if self._pending and not self._queued and self._pending[0][0] < before_s:
            self._queued = True
            self._clock.when_idle(self.settle)

    def settle(self) -> None:
        """Look into all that has been read so far."""
        self._queued = False
        pending, self._pending = self._pending, []
        for at_s, piece, telling in pending:
            if self._handler is None or self._stopped:
                return
            self._handler.data_received(piece)
            self._mark(at_s)
            if telling or self._content.is_eof():
                self._pass_on()  # before what follows can spoil it
        self._pass_on()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - the protocol's signature
        """Where the transport puts what it reads."""
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        """Keep what was read, and when."""
        piece = bytes(_BUFFER[:nbytes])
        telling = nbytes < _SMALL_BYTES or piece.endswith(_LAST) or b"[DONE]" in piece or b"error" in piece
        pending = self._pending
        pending.append((self._clock.in_callback(), piece, telling))
        if len(pending) >= MOST_PENDING:
            self.settle()
        elif (telling or len(pending) >= self._batch) and not self._queued:
            self._queued = True
            self._clock.when_idle(self.settle)

    def eof_received(self) -> None:
        """Pass the server's end on, behind its data."""
        self.settle()
        if self._handler is not None:
            self._handler.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end of the connection on, behind its data."""
        self.settle()
        if self._handler is not None:
            self._handler.connection_lost(exc)
        self.stop()

    def pause_writing(self) -> None:
        """Pass on: the request itself may still be on its way."""
        if self._handler is not None:
            self._handler.pause_writing()

    def resume_writing(self) -> None:
        """Pass on, likewise."""
        if self._handler is not None:
            self._handler.resume_writing()

    def _mark(self, at_s: float) -> None:
        """Note what the HTTP parser has made of the last piece, and hand over where that is much."""
        came = self._content.total_bytes - self._passed
        if came:
            self._marks.append((came, at_s))
        if came > _MANY_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        """Hand over what has been marked."""
        content, marks = self._content, self._marks
        if content.exception() is None and marks:
            self._marks, self._passed = [], content.total_bytes
            self._take(content.read_nowait(-1), marks)
        if content.is_eof() or content.exception() is not None:
            self._give_back()
            self.stop()

    def _give_back(self) -> None:
        """Let the connection serve others: aiohttp has put it back into its pool by the end of a body."""
        if self._transport is not None and self._handler is not None and self._transport.get_protocol() is self:
            self._transport.set_protocol(self._handler)
