"""How many tokens a text has, and its blocks of 512 tokens: estimated from its bytes, or by a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats.blocks import grouped
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Message, Request

BYTES_PER_TOKEN = 4
"""Of UTF-8: about right for English and code, and, at three bytes a character, for Chinese."""


class TokenCounter(Protocol):
    """Measures texts."""

    def length(self, text: str) -> int:
        """The text's length in tokens."""
        ...

    def blocks(self, text: str) -> Iterator[bytes]:
        """The text's blocks of 512 tokens in order, the last one partial, in any encoding."""
        ...


class EstimatedTokens:
    """Takes four bytes for a token."""

    __slots__ = ()

    def length(self, text: str) -> int:
        """The text's length in tokens."""
        return -(-len(_encoded(text)) // BYTES_PER_TOKEN)

    def blocks(self, text: str) -> Iterator[bytes]:
        """The text's blocks."""
        data, size = _encoded(text), BLOCK_TOKENS * BYTES_PER_TOKEN
        return (data[start : start + size] for start in range(0, len(data), size))


class TokenizerFile:
    """A ``tokenizer.json``, or a model's folder that has one. Raises LoadError where it cannot be used."""

    __slots__ = ("_tokenizer",)

    def __init__(self, path: str) -> None:
        try:
            from tokenizers import Tokenizer  # noqa: PLC0415 - an optional extra
        except ImportError:
            raise LoadError("tokenizer: needs the extra: pip install 'scoot-ray[tokenizers]'") from None
        file = Path(path) / "tokenizer.json" if Path(path).is_dir() else Path(path)
        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception for a missing and for a malformed file
            raise LoadError(f"tokenizer: {path}: cannot be read; allowed a tokenizer.json, or its folder") from error

    def length(self, text: str) -> int:
        """The text's length in tokens, special ones left out."""
        return len(self._ids(text))

    def blocks(self, text: str) -> Iterator[bytes]:
        """The text's blocks."""
        return grouped(self._ids(text), BLOCK_TOKENS)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids


def text_of(request: Request) -> str | None:
    """The text of a request, None where it has lengths alone. A conversation so far begins each of its later turns."""
    if request.prompt is not None:
        return request.prompt
    if request.messages is not None:
        return "".join(_spoken(message) for message in request.messages)
    return None


def input_length(request: Request, tokens: TokenCounter) -> int:
    """The length said by the row, or else measured: 1 or more."""
    if request.input_tokens is not None:
        return request.input_tokens
    return max(1, tokens.length(text_of(request) or ""))


def _spoken(message: Message) -> str:
    content = message.get("content")
    said = content if isinstance(content, str) else json.dumps(content, sort_keys=True)
    return f"{message['role']}\n{said}\n"


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # JSON may hold half a surrogate pair
