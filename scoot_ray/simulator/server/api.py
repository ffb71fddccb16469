"""What a client asks of ``/v1/completions`` and ``/v1/chat/completions``, checked as vLLM checks it. Pure.

Left out: several prompts or choices in one request, log probabilities, tools, stop words. Answers never end of their
own accord: they are as long as ``max_tokens`` allows, with or without ``ignore_eos``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from scoot_ray.simulator.server.tokens import tokenize
from scoot_ray.simulator.settings import Version

Json: TypeAlias = Mapping[str, Any]

_DEFAULT_MAX_TOKENS = 16
_TOKENS_PER_MESSAGE = 4  # what a chat template puts around each


class Refused(Exception):  # noqa: N818 - says what happened
    """A request that is answered with an error."""

    def __init__(
        self, message: str, param: str | None = None, status: int = 400, kind: str = "BadRequestError"
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.status, self.kind = message, param, status, kind


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: the names of the model, and its limits in tokens."""

    name: str
    root: str
    version: Version
    max_model_len: int
    vocabulary: int


@dataclass(frozen=True, slots=True)
class Ask:
    """One request for ``output_tokens`` after ``prompt``."""

    prompt: list[int]
    output_tokens: int
    chat: bool
    stream: bool
    include_usage: bool
    cache_salt: str


def read_ask(body: object, served: Served, chat: bool) -> Ask:
    """Check the JSON of a request.

    Raises:
        Refused: with the status and message that vLLM has for it.
    """
    fields = _fields(body, served)
    if _integer(fields, "n", 1) != 1:
        raise Refused("the simulated server gives one choice to a request: n must be 1", "n")
    prompt = _chat_prompt(fields, served) if chat else _prompt(fields, served)
    stream = bool(fields.get("stream"))
    options = fields.get("stream_options") or {}
    return Ask(
        prompt,
        _output_tokens(fields, served, len(prompt), chat),
        chat,
        stream,
        include_usage=isinstance(options, Mapping) and bool(options.get("include_usage")),
        cache_salt=str(fields.get("cache_salt") or ""),
    )


def read_tokenize(body: object, served: Served) -> list[int]:
    """Return the ids of a ``/tokenize`` request's prompt or messages.

    Raises:
        Refused: it has neither, or names another model.
    """
    fields = _fields(body, served)
    return _chat_prompt(fields, served) if "messages" in fields else _prompt(fields, served)


def error_body(version: Version, refused: Refused) -> Json:
    """Return the JSON of an error, flat in 0.4.2."""
    error = {"message": refused.message, "type": refused.kind, "param": refused.param, "code": refused.status}
    return {"object": "error", **error} if version == "0.4.2" else {"error": error}


def _fields(body: object, served: Served) -> Json:
    if not isinstance(body, Mapping):
        raise Refused("the body is no JSON object")
    model = body.get("model") or served.name
    if model != served.name:
        raise Refused(f"The model `{model}` does not exist.", "model", 404, "NotFoundError")
    return body


def _prompt(fields: Json, served: Served) -> list[int]:
    prompt = fields.get("prompt")
    if isinstance(prompt, str):
        tokens = tokenize(prompt, served.vocabulary)
    elif isinstance(prompt, list) and all(type(token) is int for token in prompt):
        tokens = prompt
        if tokens and not 0 <= min(tokens) <= max(tokens) < served.vocabulary:
            wrong = max(tokens) if min(tokens) >= 0 else min(tokens)
            raise Refused(f"Token id {wrong} is out of vocabulary", "prompt")
    else:
        raise Refused("prompt must be one text or one list of token ids", "prompt")
    if not tokens:
        raise Refused("The decoder prompt cannot be empty", "prompt")
    return tokens


def _chat_prompt(fields: Json, served: Served) -> list[int]:
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, Mapping) for one in messages):
        raise Refused("messages must be a list of objects with role and content", "messages")
    tokens: list[int] = []
    for message in messages:
        tokens += tokenize(str(message.get("role", "user")), served.vocabulary)[:1] * _TOKENS_PER_MESSAGE
        tokens += tokenize(_text(message.get("content")), served.vocabulary)
    return tokens


def _text(content: object) -> str:
    """Return a message's text, of which content in parts has several."""
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return "" if content is None else str(content)


def _output_tokens(fields: Json, served: Served, prompt_tokens: int, chat: bool) -> int:
    """How long the answer gets: what was asked, cut at the model's longest sequence (0.4.2 refuses instead)."""
    limit = served.max_model_len
    name = "max_completion_tokens" if chat and fields.get("max_completion_tokens") is not None else "max_tokens"
    wanted = _integer(fields, name, limit - prompt_tokens if chat else _DEFAULT_MAX_TOKENS)
    if served.version == "0.4.2":
        if prompt_tokens + wanted > limit:
            raise Refused(_too_long_in_0_4_2(limit, prompt_tokens, wanted))
    elif wanted > limit:
        raise Refused(f"{name}={wanted} cannot be greater than max_model_len={limit}.", name)
    elif prompt_tokens > limit:
        raise Refused(
            f"This model's maximum context length is {limit} tokens. However, your prompt contains {prompt_tokens} "
            "input tokens, which exceeds this limit even without any output tokens. Please reduce the length of the "
            "input prompt.",
            "input_tokens",
        )
    tokens = min(wanted, limit - prompt_tokens)
    if tokens < 1:
        raise Refused(f"max_tokens must be at least 1, got {tokens}.", "max_tokens")
    least = _integer(fields, "min_tokens", 0)
    if not 0 <= least <= wanted:
        raise Refused(f"min_tokens must be from 0 to max_tokens={wanted}, got {least}.", "min_tokens")
    return tokens


def _too_long_in_0_4_2(limit: int, prompt_tokens: int, wanted: int) -> str:
    return (
        f"This model's maximum context length is {limit} tokens. However, you requested {prompt_tokens + wanted} "
        f"tokens ({prompt_tokens} in the messages, {wanted} in the completion). Please reduce the length of the "
        "messages or completion."
    )


def _integer(fields: Json, name: str, default: int) -> int:
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not int:
        raise Refused(f"{name} must be an integer, got {value!r}", name)
    return value
