"""Data sets of texts: ``vllm bench serve``'s custom JSON lines, OpenAI batch files, ShareGPT conversations.

None has times. Where a row does not say how long its answer is, the reader's options must.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from scoot_ray.load.formats import fields
from scoot_ray.load.formats.blocks import chained_ids, grouped
from scoot_ray.load.formats.records import Row
from scoot_ray.load.formats.sampling import sampling_of_body
from scoot_ray.load.formats.source import Place
from scoot_ray.load.formats.tokens import TokenCounter
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Message, Request

_CHAT, _COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "bing": "assistant",
    "bard": "assistant",
}


def parse_custom(row: Row, place: Place, output_tokens: int | None) -> tuple[Request, ...]:
    """One request of ``prompt`` and ``output_tokens``. Raises TraceError."""
    return (
        Request(
            timestamp_s=0.0,
            input_tokens=None,
            output_tokens=_output_tokens(row.get("output_tokens"), output_tokens, "output_tokens", place),
            prompt=fields.prompt(row.get("prompt"), place),
        ),
    )


def parse_batch(row: Row, place: Place, output_tokens: int | None) -> tuple[Request, ...]:
    """One request of a batch file; what limits its answer is taken as its length. Raises TraceError."""
    body = row.get("body")
    if not isinstance(body, dict):
        raise place.error("body", "is missing or no object", "the body of a request")
    if row.get("url", _CHAT) not in {_CHAT, _COMPLETIONS}:
        raise place.error("url", "is none that generates text", f"{_CHAT} or {_COMPLETIONS}")
    name = "max_completion_tokens" if body.get("max_completion_tokens") is not None else "max_tokens"
    outputs = _output_tokens(body.get(name), output_tokens, f"body.{name}", place)
    settings = sampling_of_body(body, place)
    if body.get("messages") is not None:
        messages = fields.messages(body["messages"], place)
        return (Request(0.0, None, outputs, messages=messages, sampling=settings),)
    prompt: Any = body.get("prompt")
    if _is_token_ids(prompt):
        ids = chained_ids(grouped(prompt, BLOCK_TOKENS))
        return (Request(0.0, fields.count(len(prompt), "body.prompt", place), outputs, ids, sampling=settings),)
    return (Request(0.0, None, outputs, prompt=fields.prompt(prompt, place), sampling=settings),)


class ShareGptParser:
    """Counts conversations, for not all of them have a name."""

    __slots__ = ("_conversations", "_tokens")

    def __init__(self, tokens: TokenCounter) -> None:
        self._tokens = tokens
        self._conversations = 0

    def __call__(self, row: Row, place: Place) -> Iterator[Request]:
        """One request for each answer of a conversation, with all that was said before it. Raises TraceError."""
        turns = row.get("conversations")
        if not isinstance(turns, list):
            raise place.error("conversations", "is missing or no list", "a list of turns")
        self._conversations += 1
        session = fields.label(row.get("id"), "id", place) or f"conversation {self._conversations}"
        said: list[Message] = []
        for role, text in (_turn(turn, place) for turn in turns):
            asked = any(message["role"] == "user" for message in said)
            if not text or (role == "assistant" and not asked):
                continue  # chat templates begin with the user
            if role == "assistant":
                yield Request(0.0, None, max(1, self._tokens.length(text)), messages=tuple(said), session=session)
            said.append({"role": role, "content": text})


def _turn(turn: object, place: Place) -> tuple[str, str]:
    speaker = turn.get("from") if isinstance(turn, dict) else None
    value = turn.get("value") if isinstance(turn, dict) else None
    if not isinstance(speaker, str) or speaker.lower() not in _ROLES or not isinstance(value, str):
        raise place.error(
            "conversations", "has a turn that is none", f"objects with value and from: {', '.join(_ROLES)}"
        )
    return _ROLES[speaker.lower()], value


def _output_tokens(value: object, fallback: int | None, field: str, place: Place) -> int:
    if value is not None:
        return fields.count(value, field, place)
    if fallback is None:
        raise place.error(field, "is missing", "an integer from 1, or scoot-ray trace convert --output-tokens N")
    return fallback


def _is_token_ids(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) is int for item in value)
