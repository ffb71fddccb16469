"""Our own JSON lines, which Mooncake's are too: ``timestamp`` in ms, lengths, ``hash_ids`` of 512 tokens, or text."""

from __future__ import annotations

import json
from typing import Any

from scoot_ray.load.formats import fields
from scoot_ray.load.formats.records import Row
from scoot_ray.load.formats.sampling import sampling
from scoot_ray.load.formats.source import Place
from scoot_ray.load.trace import Message, Request


def parse_native(row: Row, place: Place) -> tuple[Request, ...]:
    """One request. Raises TraceError."""
    prompt, messages = _text(row, place)
    has_text = prompt is not None or messages is not None
    lengthless = has_text and row.get("input_length") is None
    cancel_after_ms = _cancel_after_ms(row, place)
    return (
        Request(
            timestamp_s=fields.number(row.get("timestamp", 0), "timestamp", place, "a finite number of milliseconds")
            / 1e3,
            input_tokens=None if lengthless else fields.count(row.get("input_length"), "input_length", place),
            output_tokens=fields.count(row.get("output_length"), "output_length", place),
            hash_ids=() if has_text else fields.hash_ids(row.get("hash_ids"), place),
            prompt=prompt,
            messages=messages,
            session=fields.label(row.get("session", row.get("session_id")), "session", place),
            adapter=fields.label(row.get("adapter"), "adapter", place),
            sampling=sampling(row.get("sampling"), place),
            cancel_after_s=None if cancel_after_ms is None else cancel_after_ms / 1e3,
            request_class=fields.label(row.get("class"), "class", place),
        ),
    )


def native_line(request: Request) -> str:
    """One request as a line of the native format, keys without a value left out. Times are kept to a microsecond."""
    row = {
        "timestamp": _milliseconds(request.timestamp_s),
        "input_length": request.input_tokens,
        "output_length": request.output_tokens,
        "hash_ids": list(request.hash_ids) or None,
        "prompt": request.prompt,
        "messages": None if request.messages is None else list(request.messages),
        "session": request.session,
        "adapter": request.adapter,
        "sampling": None if request.sampling is None else dict(request.sampling),
        "cancel_after_ms": None if request.cancel_after_s is None else _milliseconds(request.cancel_after_s),
        "class": request.request_class,
    }
    present: dict[str, Any] = {key: value for key, value in row.items() if value is not None}
    return json.dumps(present, separators=(",", ":")) + "\n"


def _text(row: Row, place: Place) -> tuple[str | None, tuple[Message, ...] | None]:
    prompt, messages = row.get("prompt"), row.get("messages")
    if prompt is not None and messages is not None:
        raise place.error("prompt", "stands beside messages", "one of the two")
    return (
        None if prompt is None else fields.prompt(prompt, place),
        None if messages is None else fields.messages(messages, place),
    )


def _cancel_after_ms(row: Row, place: Place) -> float | None:
    value, allowed = row.get("cancel_after_ms"), "a positive number of milliseconds"
    if value is None:
        return None
    after_ms = fields.number(value, "cancel_after_ms", place, allowed)
    if after_ms <= 0:
        raise place.error("cancel_after_ms", fields.shown(value), allowed)
    return after_ms


def _milliseconds(seconds: float) -> int | float:
    rounded = round(1e3 * seconds, 3)
    return int(rounded) if rounded.is_integer() else rounded
