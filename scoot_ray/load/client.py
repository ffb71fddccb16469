"""One streamed request, from the moment it is due to its RequestRecord.

A request ends in one of these ways; only the first is a success, and only its times enter statistics:

=============  ====================================================================================
``None``       content came, then ``[DONE]``
``connect``    no connection
``http_NNN``   a status other than 200
``malformed``  the answer is no HTTP
``in_stream``  an error event in a stream that began well
``cut``        the connection or the stream ended without ``[DONE]``
``empty``      ``[DONE]`` without any content
``stalled``    no event for ``stall_s`` after the first content
``timeout``    not done within ``timeout_s``
=============  ====================================================================================

A replay that gives up on a request (``expire``) names its own reason.
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Callable

import aiohttp

from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.sse import DONE, Event, EventParser, has_content, is_error, usage_of
from scoot_ray.load.target import Target
from scoot_ray.load.trace import RequestRecord, Usage

_LINGER_S = 1.0
"""How long a finished stream may take to close its chunked body, so that its connection can be used again."""

_LARGE_BODY_BYTES = 1 << 20
"""From here on aiohttp asks for a file instead of bytes."""


class Exchange:
    """One request under way: what has been seen of it, and when. Run it once."""

    __slots__ = (
        "_done_s",
        "_error",
        "_expired",
        "_last_event_s",
        "_received_s",
        "_replica",
        "_scheduled",
        "_scheduled_s",
        "_scope",
        "_sent_s",
        "_status",
        "_target",
        "_token_times_s",
        "_usage",
        "_watch",
    )

    def __init__(
        self,
        target: Target,
        scheduled: ScheduledCall,
        scheduled_s: float,
        received_s: Callable[[], float],
        replica: int = 0,
    ) -> None:
        self._target = target
        self._scheduled = scheduled
        self._scheduled_s = scheduled_s
        self._received_s = received_s
        self._replica = replica
        self._scope: asyncio.Timeout | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._expired: str | None = None
        self._error: str | None = None
        self._status: int | None = None
        self._usage: Usage | None = None
        self._sent_s: float | None = None
        self._done_s: float | None = None
        self._last_event_s = 0.0
        self._token_times_s: list[float] = []

    async def run(self, session: aiohttp.ClientSession) -> RequestRecord:
        """Send the request, read its stream to the end, and say what came of it. Raises nothing of its own."""
        try:
            async with asyncio.timeout(self._target.timeout_s if self._expired is None else 0) as self._scope:
                await self._exchange(session)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            self._fail("connect")
        except TimeoutError:
            self._fail(self._expired or "timeout")
        except aiohttp.ClientResponseError:
            self._fail("malformed")
        except (aiohttp.ClientError, OSError):
            self._fail("cut")
        finally:
            self._scope = None
            if self._watch is not None:
                self._watch.cancel()
        return self._record()

    def expire(self, reason: str) -> None:
        """Give the request up at once, with ``reason`` as its error. A finished one stays as it is."""
        self._expired = self._expired or reason
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(0)

    async def _exchange(self, session: aiohttp.ClientSession) -> None:
        call = self._scheduled.call
        self._sent_s = time.monotonic()
        async with session.post(
            self._target.base_urls[self._replica] + call.path,
            data=call.body if len(call.body) < _LARGE_BODY_BYTES else io.BytesIO(call.body),
            headers={"x-request-id": call.request_id},
            allow_redirects=False,
        ) as response:
            self._status = response.status
            if response.status == 200:
                await self._read(response.content)
            else:
                self._fail(f"http_{response.status}")

    async def _read(self, content: aiohttp.StreamReader) -> None:
        parser = EventParser()
        while self._error is None and (chunk := await content.readany()):
            self._take(parser.feed(chunk), self._received_s())
        self._take(parser.finish(), self._received_s())
        if self._done_s is None:
            self._fail("cut")

    def _take(self, events: list[Event], now_s: float) -> None:
        for event in events:
            if self._done_s is not None or self._error is not None:
                return
            self._last_event_s = now_s
            if event.data == DONE:
                self._finish(now_s)
            elif is_error(event):
                self._fail("in_stream")
            else:
                self._usage = usage_of(event) or self._usage
                if has_content(event):
                    self._token(now_s)

    def _token(self, now_s: float) -> None:
        if not self._token_times_s:
            self._arm(self._target.stall_s)
        self._token_times_s.append(now_s)

    def _finish(self, now_s: float) -> None:
        self._done_s = now_s
        if not self._token_times_s:
            self._fail("empty")
        elif self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time() + _LINGER_S)

    def _arm(self, delay_s: float) -> None:
        self._watch = asyncio.get_running_loop().call_later(delay_s, self._check_silence)

    def _check_silence(self) -> None:
        """Expire a silent stream, or look again later: one timer for each ``stall_s``, not one for each event."""
        left_s = self._last_event_s + self._target.stall_s - time.monotonic()
        if self._done_s is not None:
            return
        if left_s <= 0:
            self.expire("stalled")
        else:
            self._arm(left_s)

    def _fail(self, error: str) -> None:
        """Keep the first failure; what happens to a stream after its ``[DONE]`` is none, but for having no content."""
        if self._error is None and (self._done_s is None or not self._token_times_s):
            self._error = error

    def _record(self) -> RequestRecord:
        call = self._scheduled.call
        return RequestRecord(
            index=self._scheduled.index,
            scheduled_s=self._scheduled_s,
            sent_s=self._sent_s,
            token_times_s=tuple(self._token_times_s),
            done_s=self._done_s if self._error is None else None,
            status=self._status,
            error=self._error,
            usage=self._usage,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            replica=self._replica,
        )
