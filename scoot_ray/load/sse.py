"""Server-sent events: framing (bytes to events) and what an event of a completion stream means. Pure.

Meaning is read by scanning bytes: parsing every event's JSON would cost more CPU than all the rest of a client. The
scan is exact, since a quote inside a JSON string is escaped and so never ends a key.
"""

from __future__ import annotations

import json
import re
from typing import NamedTuple

from scoot_ray.load.answer import usage_from
from scoot_ray.load.trace import Usage

DONE = b"[DONE]"

_CONTENT = re.compile(rb'"(?:content|text|reasoning|reasoning_content)"\s*:\s*"(?!")')
_ERROR = re.compile(rb'"error"\s*:\s*(?!null)[^\s]|"object"\s*:\s*"error"|"finish_reason"\s*:\s*"(?:error|abort)"')
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_STRING_END = re.compile(rb'(?:[^"\\]|\\.)*')
_LINE = re.compile(rb"([^\r\n]*)(?:\r\n|\n|\r)")
_BACKSLASH = ord("\\")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Event(NamedTuple):
    """One event: its type (empty unless the server named one), its data, and where among the fed bytes it was over."""

    kind: bytes
    data: bytes
    end: int = 0


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
        """Take the next bytes and return the events they complete, each with its ``end`` in this chunk."""
        if not chunk:
            return []
        buffer, known = self._rest + chunk, len(self._rest)
        self._rest, at, events = b"", 0, list[Event]()
        if self._after_cr:
            at = chunk.startswith(b"\n")  # the second half of a CRLF whose first half has ended the line already
            self._after_cr = False
        elif self._started and not self._data and not self._kind:
            events, at = _plain(buffer, known)
        while at < len(buffer):
            line = _LINE.match(buffer, at)
            if line is None:
                self._rest = buffer[at:]
                break
            at = line.end()
            self._after_cr = at == len(buffer) and buffer.endswith(b"\r")
            if (event := self._line(line[1], line.end(1) + 1 - known)) is not None:
                events.append(event)
        return events

    def finish(self) -> list[Event]:
        """Return the event that the end of the stream completes: one whose blank line never came."""
        event = self._line(b"", 0)
        return [] if event is None else [event]

    def _line(self, line: bytes, end: int) -> Event | None:
        if not self._started:
            self._started = True
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line.startswith(b"event:"):
            self._kind = line[6:].strip()
        elif not line:
            return self._dispatch(end)
        return None

    def _dispatch(self, end: int) -> Event | None:
        event = Event(self._kind, b"\n".join(self._data), end) if self._data else None
        self._kind, self._data = b"", []
        return event


def _plain(buffer: bytes, known: int) -> tuple[list[Event], int]:
    """Return the events up to the first that servers seldom write so, and where that begins.

    Plain is one line of data and a blank one, ended by LF. ``known`` bytes of the buffer had come before.
    """
    events: list[Event] = []
    at = 0
    if b"\r" in buffer:
        return events, at
    parts = buffer.split(b"\n\n")
    for part in parts[:-1]:
        if not part.startswith(b"data: ") or b"\n" in part:
            break
        at += len(part) + 2
        events.append(Event(b"", part[6:], at - known))
    return events, at


class Repeats:
    """Recognizes, at little cost, events that differ from an earlier one in their text alone.

    A stream's events are the same up to the text and behind it. One that is, with no quote between, has the same
    structure: a text that is not empty, and whatever else the earlier one had.
    """

    __slots__ = ("_head", "_learned", "_tail")

    MOST_LESSONS = 4
    """Streams whose every event differs elsewhere too are not worth learning."""

    def __init__(self) -> None:
        self._head = self._tail = b""
        self._learned = 0

    def __contains__(self, event: Event) -> bool:
        data, head, tail = event.data, self._head, self._tail
        stop = len(data) - len(tail)
        return (
            stop > len(head) > 0
            and data.startswith(head)
            and data.endswith(tail)
            and data.find(b'"', len(head), stop) < 0
            and data[stop - 1] != _BACKSLASH
            and not event.kind
        )

    def learn(self, event: Event) -> None:
        """Remember an event with content (and no error or usage)."""
        found = _CONTENT.search(event.data)
        if found is None or event.kind or self._learned >= self.MOST_LESSONS:
            return
        self._learned += 1
        end = _STRING_END.match(event.data, found.end())
        if end is not None:
            self._head, self._tail = event.data[: found.end()], event.data[end.end() :]


def has_content(event: Event) -> bool:
    """True where the event carries generated text: no role, usage, ping or empty delta."""
    return _CONTENT.search(event.data) is not None


def is_error(event: Event) -> bool:
    """True where the server reports, inside a stream that began well, that the request failed."""
    data = event.data
    if event.kind == b"error":
        return True
    return (b"error" in data or b"abort" in data) and _ERROR.search(data) is not None


def usage_of(event: Event) -> Usage | None:
    """Tokens counted by the server, where the event says so."""
    if b'"usage"' not in event.data or _USAGE.search(event.data) is None:
        return None
    try:
        document = json.loads(event.data)
    except (ValueError, RecursionError):
        return None
    return usage_from(document.get("usage")) if isinstance(document, dict) else None
