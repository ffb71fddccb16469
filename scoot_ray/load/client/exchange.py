"""One request, from the moment it is due to its RequestRecord.

A request ends in one of these ways; only the first is a success, and only its times enter statistics:

=============  ====================================================================================
``None``       content came, then ``[DONE]``; or a whole answer with content
``connect``    no connection
``http_NNN``   a status other than 200
``malformed``  the answer is no HTTP, or a whole answer no JSON
``in_stream``  an error reported in an answer that began well, or where one was expected
``cut``        the connection or the stream ended without ``[DONE]``
``empty``      ``[DONE]`` without any content
``stalled``    no event for ``stall_s`` after the first content
``timeout``    not done within ``timeout_s``
``cancelled``  the user went away, as the trace says: no failure of the server, and not counted as one
=============  ====================================================================================

A replay that gives up on a request (``expire``) names its own reason.
"""

from __future__ import annotations

import asyncio
import io
import time

import aiohttp

from scoot_ray.load.client.answer import read_answer
from scoot_ray.load.client.loop import Clock
from scoot_ray.load.client.sse import DONE, Event, EventParser, Repeats, has_content, is_error, usage_of
from scoot_ray.load.client.stream import Marks, StreamTap
from scoot_ray.load.client.target import Target
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.trace import CANCELLED, RequestRecord, Usage

_LINGER_S = 1.0
"""How long a finished stream may take to close its chunked body, so that its connection can be used again."""

_LARGE_BODY_BYTES = 1 << 20
"""From here on aiohttp asks for a file instead of bytes."""


class Exchange:
    """One request under way: what has been seen of it, and when. Run it once."""

    __slots__ = (
        "_clock", "_done_s", "_error", "_expired", "_last_event_s", "_last_piece_s", "_leave", "_parser", "_repeats",
        "_replica", "_scheduled", "_scheduled_s", "_scope", "_sent_s", "_status", "_tap", "_target", "_token_times_s",
        "_usage", "_waited_s", "_watch",
    )  # fmt: skip

    def __init__(
        self,
        target: Target,
        scheduled: ScheduledCall,
        scheduled_s: float,
        clock: Clock,
        replica: int = 0,
        waited_s: float = 0.0,
    ) -> None:
        self._target = target
        self._scheduled = scheduled
        self._scheduled_s = scheduled_s
        self._clock = clock
        self._replica = replica
        self._waited_s = waited_s
        self._parser = EventParser()
        self._repeats = Repeats()
        self._tap: StreamTap | None = None
        self._scope: asyncio.Timeout | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._leave: asyncio.TimerHandle | None = None
        self._expired: str | None = None
        self._error: str | None = None
        self._status: int | None = None
        self._usage: Usage | None = None
        self._sent_s: float | None = None
        self._done_s: float | None = None
        self._last_event_s = self._last_piece_s = 0.0
        self._token_times_s: list[float] = []

    async def run(self, session: aiohttp.ClientSession) -> RequestRecord:
        """Send the request, read its answer to the end, and say what came of it. Raises nothing of its own."""
        self._plan_to_leave()
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
            for timer in (self._watch, self._leave):
                if timer is not None:
                    timer.cancel()
        return self.record()

    def catch_up(self, before_s: float) -> None:
        """Look into what has been received before ``before_s`` and not been looked into."""
        if self._tap is not None:
            self._tap.settle_old(before_s)

    @property
    def unread_since_s(self) -> float | None:
        """When the first of what has come and not been looked into came; None where there is no such."""
        return None if self._tap is None else self._tap.pending_since_s

    def expire(self, reason: str) -> None:
        """Give the request up at once, with ``reason`` as its error. A finished one stays as it is."""
        if self._tap is not None:
            self._tap.settle()  # it may be finished without our having looked
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
            if response.status != 200:
                self._fail(f"http_{response.status}")
            elif call.streamed:
                await self._read_stream(response)
            else:
                await self._read_whole(response)

    async def _read_whole(self, response: aiohttp.ClientResponse) -> None:
        answer = read_answer(await response.read())
        self._usage = answer.usage
        if answer.error is None:
            self._done_s = self._clock.in_task()
        else:
            self._fail(answer.error)

    async def _read_stream(self, response: aiohttp.ClientResponse) -> None:
        self._last_event_s = self._last_piece_s = self._clock.in_task()
        self._tap = StreamTap(response, self._take_bytes, self._clock)
        self._arm(self._target.stall_s)
        await self._tap.run()
        for event in self._parser.finish():
            self._take(event, self._last_piece_s)
        if self._done_s is None:
            self._fail("cut")

    def _take_bytes(self, data: bytes, marks: Marks) -> None:
        """Take a part of the body; an event came with the mark that reaches its end."""
        self._last_piece_s = marks[-1][1]
        mark = 0
        for event in self._parser.feed(data):
            while marks[mark][0] < event.end:
                mark += 1
            self._take(event, marks[mark][1])
        if self._error is not None and self._tap is not None:
            self._tap.stop()

    def _take(self, event: Event, at_s: float) -> None:
        if self._done_s is not None or self._error is not None:
            return
        self._last_event_s = at_s
        if event in self._repeats:
            self._token_times_s.append(at_s)
        elif event.data == DONE:
            self._finish(at_s)
        elif is_error(event):
            self._fail("in_stream")
        else:
            usage = usage_of(event)
            self._usage = usage or self._usage
            if has_content(event):
                self._token_times_s.append(at_s)
                if usage is None:
                    self._repeats.learn(event)

    def _finish(self, now_s: float) -> None:
        if not self._token_times_s:
            self._fail("empty")
            return
        self._done_s = now_s
        if self._scope is not None and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time() + _LINGER_S)

    def _plan_to_leave(self) -> None:
        """Let the user go away when the trace says, counted from when the request was due."""
        after_s = self._scheduled.call.cancel_after_s
        if after_s is not None:
            left_s = self._scheduled_s + after_s - time.monotonic()
            self._leave = asyncio.get_running_loop().call_later(max(left_s, 0.0), self.expire, CANCELLED)

    def _arm(self, delay_s: float) -> None:
        self._watch = asyncio.get_running_loop().call_later(delay_s, self._check_silence)

    def _check_silence(self) -> None:
        """Expire a silent stream, or look again later: one timer for each ``stall_s``, not one for each event."""
        if self._tap is not None:
            self._tap.settle()
        left_s = self._last_event_s + self._target.stall_s - time.monotonic()
        if self._done_s is not None:
            return
        if not self._token_times_s:  # a request may queue as long as its timeout allows
            self._arm(self._target.stall_s)
        elif left_s <= 0:
            self.expire("stalled")
        else:
            self._arm(left_s)

    def _fail(self, error: str) -> None:
        """Keep the first failure; what happens to a stream after its ``[DONE]`` is none."""
        if self._error is None and self._done_s is None:
            self._error = error

    def record(self) -> RequestRecord:
        """What has been seen of it so far; final once it has ended."""
        call = self._scheduled.call
        return RequestRecord(
            index=self._scheduled.index,
            scheduled_s=self._scheduled_s,
            sent_s=self._sent_s,
            token_times_s=tuple(self._token_times_s),
            done_s=self._done_s,
            status=self._status,
            error=self._error,
            usage=self._usage,
            input_tokens=call.input_tokens,
            output_tokens=call.output_tokens,
            replica=self._replica,
            request_class=call.request_class,
            waited_s=self._waited_s,
        )
