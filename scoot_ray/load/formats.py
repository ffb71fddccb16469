"""Reads traces: JSON lines (ours, Mooncake's) and Azure's CSV, told apart by their content.

JSON lines carry ``timestamp`` (ms, optional), ``output_length`` and either ``input_length`` with optional ``hash_ids``
or the text itself as ``prompt`` or ``messages``; ``session`` (or ``session_id``) names a conversation. Azure's CSV
(2023 and 2024) carries calendar times and two lengths. Other keys of a row are ignored: traces come with many.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from scoot_ray.load.errors import TraceError
from scoot_ray.load.trace import Message, Request, Trace

AZURE_HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_LARGEST_COUNT = 10_000_000
_BLOCK_BYTES = 1 << 20


class _Line(NamedTuple):
    """One non-blank line and where it stands."""

    file: str
    number: int
    text: str

    def error(self, field: str, reason: str, allowed: str) -> TraceError:
        return TraceError(f"{self.file}:{self.number}: {field}: {reason}; allowed {allowed}")


class _Digest(Protocol):
    """The part of a hashlib object that is used."""

    def update(self, data: bytes, /) -> None: ...


def read_trace(path: str | Path, limit: int | None = None) -> Trace:
    """Read the first ``limit`` rows (all by default) of a trace, in order of time, the earliest at 0 s.

    The hash is the whole file's, whatever the limit. Raises TraceError for a file that cannot be read, is empty, or
    has a row that makes no request.
    """
    if limit is not None and limit < 1:
        raise TraceError(f"{path}: limit: {limit} rows asked for; allowed 1 or more")
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            requests = list(islice(_requests(_lines(file, str(path), digest), str(path)), limit))
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror or error}; allowed a readable file") from error
    if not requests:
        raise TraceError(f"{path}:1: file: has no requests; allowed one request a line")
    return Trace(requests=_rebased(requests), source=str(path), sha256=digest.hexdigest())


def _lines(file: BinaryIO, name: str, digest: _Digest) -> Iterator[_Line]:
    """Yield the lines that are not blank, hashing all of them."""
    for number, raw in enumerate(file, start=1):
        digest.update(raw)
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise _Line(name, number, "").error("line", "is not UTF-8", "UTF-8 text") from error
        if text:
            yield _Line(name, number, text)


def _requests(lines: Iterator[_Line], name: str) -> Iterator[Request]:
    """Choose the reader by the first line."""
    first = next(lines, None)
    if first is None:
        raise TraceError(f"{name}:1: file: is empty; allowed one request a line")
    if first.text.startswith("{"):
        return _json_rows(chain((first,), lines))
    header = tuple(first.text.split(","))
    if set(AZURE_HEADER) <= set(header):
        return _azure_rows(header, lines)
    raise first.error(
        "line", "is no known format", f"JSON lines of objects, or CSV with the header {','.join(AZURE_HEADER)}"
    )


def _rebased(requests: list[Request]) -> tuple[Request, ...]:
    ordered = sorted(requests, key=lambda request: request.timestamp_s)
    start_s = ordered[0].timestamp_s
    return tuple(replace(request, timestamp_s=request.timestamp_s - start_s) for request in ordered)


def _json_rows(lines: Iterable[_Line]) -> Iterator[Request]:
    for line in lines:
        try:
            row = json.loads(line.text)
        except (ValueError, RecursionError) as error:
            raise line.error("line", "is not JSON", "one JSON object a line") from error
        if not isinstance(row, dict):
            raise line.error("line", f"is a JSON {type(row).__name__}", "one JSON object a line")
        yield _json_request(row, line)


def _json_request(row: dict[str, Any], line: _Line) -> Request:
    prompt, messages = _prompt(row, line), _messages(row, line)
    if prompt is not None and messages is not None:
        raise line.error("prompt", "stands beside messages", "one of the two")
    has_text = prompt is not None or messages is not None
    lengthless = has_text and row.get("input_length") is None
    return Request(
        timestamp_s=_milliseconds(row, line) / 1e3,
        input_tokens=None if lengthless else _count(row.get("input_length"), "input_length", line),
        output_tokens=_count(row.get("output_length"), "output_length", line),
        hash_ids=() if has_text else _hash_ids(row, line),
        prompt=prompt,
        messages=messages,
        session=_session(row, line),
    )


def _milliseconds(row: dict[str, Any], line: _Line) -> float:
    value = row.get("timestamp", 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise line.error("timestamp", f"{_shown(value)}", "a finite number of milliseconds")
    return float(value)


def _count(value: object, field: str, line: _Line) -> int:
    if value is None:
        raise line.error(field, "is missing", f"an integer from 1 to {_LARGEST_COUNT}")
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _LARGEST_COUNT:
        raise line.error(field, _shown(value), f"an integer from 1 to {_LARGEST_COUNT}")
    return value


def _hash_ids(row: dict[str, Any], line: _Line) -> tuple[int, ...]:
    value = row.get("hash_ids")
    if value is None:
        return ()
    if not isinstance(value, list) or any(isinstance(i, bool) or not isinstance(i, int) for i in value):
        raise line.error("hash_ids", _shown(value), "a list of integers")
    return tuple(value)


def _prompt(row: dict[str, Any], line: _Line) -> str | None:
    value = row.get("prompt")
    if value is not None and not (isinstance(value, str) and value):
        raise line.error("prompt", "is empty or no text", "text")
    return value


def _messages(row: dict[str, Any], line: _Line) -> tuple[Message, ...] | None:
    value = row.get("messages")
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(m, dict) and "role" in m for m in value):
        raise line.error("messages", "is no conversation", "a list of objects with a role")
    return tuple(value)


def _session(row: dict[str, Any], line: _Line) -> str | None:
    value = row.get("session", row.get("session_id"))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise line.error("session", _shown(value), "text or an integer")
    return str(value)


def _azure_rows(header: tuple[str, ...], lines: Iterable[_Line]) -> Iterator[Request]:
    time_at, input_at, output_at = (header.index(column) for column in AZURE_HEADER)
    for line in lines:
        cells = line.text.split(",")
        if len(cells) != len(header):
            raise line.error("line", f"has {len(cells)} columns", f"{len(header)} columns")
        yield Request(
            timestamp_s=_calendar_s(cells[time_at], line),
            input_tokens=_cell_count(cells[input_at], AZURE_HEADER[1], line),
            output_tokens=_cell_count(cells[output_at], AZURE_HEADER[2], line),
        )


def _calendar_s(text: str, line: _Line) -> float:
    """Seconds since the epoch; a time without a zone is taken as UTC. Digits beyond microseconds are cut off."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise line.error(AZURE_HEADER[0], _shown(text), "an ISO date and time") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _cell_count(text: str, field: str, line: _Line) -> int:
    return _count(int(text) if text.isascii() and text.isdigit() and len(text) < 19 else text, field, line)


def _shown(value: object) -> str:
    """The value as the user wrote it, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:39]}…"
