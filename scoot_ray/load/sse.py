"""Server-sent events: framing (bytes to events) and what an event of a completion stream means. Pure.

Meaning is read by scanning bytes: parsing every event's JSON would cost more CPU than all the rest of a client. The
scan is exact, since a quote inside a JSON string is escaped and so never ends a key.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from scoot_ray.load.trace import Usage

DONE = b"[DONE]"

_CONTENT = re.compile(rb'"(?:content|text|reasoning|reasoning_content)"\s*:\s*"(?!")')
_ERROR = re.compile(rb'"error"\s*:\s*(?!null)[^\s]|"object"\s*:\s*"error"|"finish_reason"\s*:\s*"(?:error|abort)"')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its type (empty unless the server named one) and its data."""

    kind: bytes
    data: bytes


class EventParser:
    """Splits a byte stream, cut anywhere, into events: LF, CRLF or CR, comments, several data lines to an event."""

    __slots__ = ("_after_cr", "_data", "_kind", "_rest", "_started")

    def __init__(self) -> None:
        self._rest = b""
        self._kind = b""
        self._data: list[bytes] = []
        self._after_cr = False
        self._started = False

    def feed(self, chunk: bytes) -> list[Event]:
        """Take the next bytes and return the events they complete."""
        if not chunk:
            return []
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a CRLF whose first half has ended the line already
        buffer = self._rest + chunk
        self._after_cr = buffer.endswith(b"\r")
        lines = buffer.splitlines(keepends=True)
        self._rest = lines.pop() if lines and not buffer.endswith((b"\n", b"\r")) else b""
        return [event for line in lines if (event := self._line(line.rstrip(b"\r\n"))) is not None]

    def finish(self) -> list[Event]:
        """Return the event that the end of the stream completes: one whose blank line never came."""
        event = self._line(b"")
        return [] if event is None else [event]

    def _line(self, line: bytes) -> Event | None:
        if not self._started:
            self._started = True
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            self._kind = line[6:].strip()
        elif not line:
            return self._dispatch()
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._kind, b"\n".join(self._data)) if self._data else None
        self._kind, self._data = b"", []
        return event


def has_content(event: Event) -> bool:
    """True where the event carries generated text: no role, usage, ping or empty delta."""
    return _CONTENT.search(event.data) is not None


def is_error(event: Event) -> bool:
    """True where the server reports, inside a stream that began well, that the request failed."""
    return event.kind == b"error" or _ERROR.search(event.data) is not None


def usage_of(event: Event) -> Usage | None:
    """Tokens counted by the server, where the event says so."""
    if _USAGE.search(event.data) is None:
        return None
    try:
        usage = json.loads(event.data)["usage"]
        return Usage(int(usage["prompt_tokens"]), int(usage.get("completion_tokens") or 0))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
