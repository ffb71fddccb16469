"""What a whole (not streamed) answer of an OpenAI-compatible server says. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from scoot_ray.load.trace import Usage

_TEXTS = ("content", "reasoning", "reasoning_content")


@dataclass(frozen=True, slots=True)
class Answer:
    """The tokens the server counted, and why the answer is none (an error of ``client``), where it is none."""

    usage: Usage | None
    error: str | None


def read_answer(body: bytes) -> Answer:
    """Read the body of a 200: no JSON is ``malformed``, a reported error ``in_stream``, no text ``empty``."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Answer(None, "malformed")
    if not isinstance(document, dict):
        return Answer(None, "malformed")
    choices = [choice for choice in _list(document.get("choices")) if isinstance(choice, dict)]
    usage = usage_from(document.get("usage"))
    if document.get("error") or document.get("object") == "error":
        return Answer(usage, "in_stream")
    if any(choice.get("finish_reason") in {"error", "abort"} for choice in choices):
        return Answer(usage, "in_stream")
    return Answer(usage, None if any(_has_text(choice) for choice in choices) else "empty")


def usage_from(value: object) -> Usage | None:
    """Tokens as the ``usage`` of a body or event counts them; None where it is none."""
    if not isinstance(value, dict):
        return None
    try:
        return Usage(int(value["prompt_tokens"]), int(value.get("completion_tokens") or 0))
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _has_text(choice: dict[str, Any]) -> bool:
    message = choice.get("message")
    said = [message.get(name) for name in _TEXTS] if isinstance(message, dict) else []
    return any(isinstance(text, str) and text for text in (choice.get("text"), *said))
