"""What is replayed (Request, Trace) and what came back (RequestRecord). Frozen values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

Message: TypeAlias = Mapping[str, Any]

CANCELLED = "cancelled"
"""The error of a request whose user went away: neither a success nor a failure of the server."""


@dataclass(frozen=True, slots=True)
class Request:
    """One row of a trace.

    Either text (``prompt`` or ``messages``) or lengths alone, with the shared prefix named by ``hash_ids``: one id
    per block of 512 tokens, equal ids meaning equal tokens (the Mooncake convention). ``adapter`` is the LoRA adapter
    asked for, ``sampling`` further fields of the body, ``cancel_after_s`` when the user went away, counted from the
    arrival, ``request_class`` what kind of request it is (such as a priority class).
    """

    timestamp_s: float
    input_tokens: int | None
    output_tokens: int
    hash_ids: tuple[int, ...] = ()
    prompt: str | None = None
    messages: tuple[Message, ...] | None = None
    session: str | None = None
    adapter: str | None = None
    sampling: Mapping[str, Any] | None = None
    cancel_after_s: float | None = None
    request_class: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of time, where they came from, and what of that was left out."""

    requests: tuple[Request, ...]
    source: str
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them."""

    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request's life in absolute ``time.monotonic()`` seconds. ``error`` is None for a success alone.

    ``token_times_s`` has one entry per event with content. ``input_tokens`` (None for text) and ``output_tokens`` are
    what was asked for; ``usage`` is what the server counted. ``scheduled_s`` lies ``waited_s`` after the time the
    schedule said, where a session's turn had to wait for the answer before it.
    """

    index: int
    scheduled_s: float
    sent_s: float | None
    token_times_s: tuple[float, ...] = ()
    done_s: float | None = None
    status: int | None = None
    error: str | None = None
    usage: Usage | None = None
    input_tokens: int | None = None
    output_tokens: int = 0
    replica: int = 0
    request_class: str | None = None
    waited_s: float = 0.0
