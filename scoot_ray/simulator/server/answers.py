"""What a client is told, in vLLM's words: a stream of events, or the answer in one piece."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from scoot_ray.simulator.server.api import Ask
from scoot_ray.simulator.server.tokens import WORDS

DONE = b"data: [DONE]\n\n"


class Wording:
    """The parts of one answer. Events are put together from bytes, for they are all a busy server does."""

    def __init__(self, ask: Ask, request_id: str, model: str) -> None:
        self._ask = ask
        kind = "chat.completion" if ask.chat else "text_completion"
        self._head: dict[str, object] = {
            "id": f"{'chatcmpl' if ask.chat else 'cmpl'}-{request_id}",
            "object": kind,
            "created": int(time.time()),
            "model": model,
        }
        self._stream_head = self._head | {"object": f"{kind}.chunk" if ask.chat else kind}
        opened, closed = (b'"delta":{"content":"', b'"}') if ask.chat else (b'"text":"', b'"')
        start = json.dumps(self._stream_head, separators=(",", ":"))[:-1].encode()
        self._before = b"data: " + start + b',"choices":[{"index":0,' + opened
        after = b'%b,"logprobs":null,"finish_reason":%b,"stop_reason":null}]}\n\n'
        self._after, self._after_last = after % (closed, b"null"), after % (closed, b'"length"')

    def role(self) -> bytes:
        """Return the event that begins a chat."""
        delta = {"role": "assistant", "content": ""}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return event({**self._stream_head, "choices": [choice]})

    def content(self, text: bytes, last: bool) -> bytes:
        """Return the event with some text, which stands as in a JSON string."""
        return self._before + text + (self._after_last if last else self._after)

    def usage(self, made: int) -> bytes:
        """Return the event that counts tokens."""
        return event({**self._stream_head, "choices": [], "usage": self._counted(made)})

    def whole(self, made: int) -> Mapping[str, Any]:
        """Return the answer in one piece."""
        text = "".join(json.loads(b'"%b"' % WORDS[number % len(WORDS)]) for number in range(made))
        content = {"message": {"role": "assistant", "content": text}} if self._ask.chat else {"text": text}
        choice = {"index": 0, **content, "logprobs": None, "finish_reason": "length", "stop_reason": None}
        return {**self._head, "choices": [choice], "usage": self._counted(made)}

    def _counted(self, made: int) -> dict[str, int]:
        prompt = len(self._ask.prompt)
        return {"prompt_tokens": prompt, "total_tokens": prompt + made, "completion_tokens": made}


class Stream:
    """Writes events as tokens come: the first at once, then one for every ``interval`` tokens, and the last.

    ``over`` tells whether the stream ended as HTTP wants it. One that fails says ``last_words``, and is cut where these
    are empty. It fails by itself after ``breaks_after`` tokens.
    """

    def __init__(
        self,
        ask: Ask,
        wording: Wording,
        write: Callable[[bytes], None],
        interval: int,
        last_words: bytes,
        breaks_after: int | None,
    ) -> None:
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._ask, self._wording, self._write = ask, wording, write
        self._interval, self._last_words, self._breaks_after = interval, last_words, breaks_after
        self._made = self._unsent = 0
        self._text = b""

    def token(self) -> None:
        """Send another token, or keep it for the next event."""
        if self.over.done():
            return
        self._text += WORDS[self._made % len(WORDS)]
        self._made += 1
        self._unsent += 1
        last = self._made == self._ask.output_tokens
        if self._made == 1 or last or self._unsent == self._interval:
            role = self._wording.role() if self._ask.chat and self._made == 1 else b""
            self._write(role + self._wording.content(self._text, last))
            self._text, self._unsent = b"", 0
        if self._made == self._breaks_after:
            self.fail()

    def end(self) -> None:
        """Send what comes after the last token."""
        if not self.over.done():
            self._write((self._wording.usage(self._made) if self._ask.include_usage else b"") + DONE)
            self.over.set_result(True)

    def fail(self) -> None:
        """Send the last words."""
        if not self._last_words:
            self.cut()
        elif not self.over.done():
            self._write(self._last_words)
            self.over.set_result(True)

    def cut(self) -> None:
        """Have the connection closed."""
        if not self.over.done():
            self.over.set_result(False)


class Whole:
    """Waits for the last token. ``over`` tells whether it came."""

    def __init__(self) -> None:
        self.over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.made = 0

    def token(self) -> None:
        """Count."""
        self.made += 1

    def end(self) -> None:
        """Have it answered."""
        self._settle(complete=True)

    def fail(self) -> None:
        """Have an error answered."""
        self._settle(complete=False)

    def cut(self) -> None:
        """Have an error answered."""
        self._settle(complete=False)

    def _settle(self, *, complete: bool) -> None:
        if not self.over.done():
            self.over.set_result(complete)


def event(data: Mapping[str, Any]) -> bytes:
    """Return one server-sent event."""
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
