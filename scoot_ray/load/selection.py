"""Which requests of a trace are replayed: a window of rows, and those that fit the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from scoot_ray.load.errors import LoadError
from scoot_ray.load.trace import Request

BLOCK_TOKENS = 512
"""Tokens named by one of ``hash_ids`` (the Mooncake convention)."""

TooLong: TypeAlias = Literal["drop", "clip"]


@dataclass(frozen=True, slots=True)
class Selection:
    """What is left of a trace, and how many requests were left out or shortened."""

    requests: tuple[Request, ...]
    dropped: int = 0
    clipped: int = 0


def window(requests: Sequence[Request], offset: int = 0, rows: int | None = None) -> tuple[Request, ...]:
    """``rows`` requests (all by default) from the ``offset``-th on. Raises LoadError where none are left."""
    if offset < 0 or (rows is not None and rows < 1):
        raise LoadError(f"window: offset {offset}, rows {rows}; allowed offset 0 or more and rows 1 or more")
    chosen = tuple(requests[offset : None if rows is None else offset + rows])
    if not chosen:
        raise LoadError(f"window: offset {offset} leaves no request; allowed less than {len(requests)}")
    return chosen


def fit(requests: Sequence[Request], max_model_len: int | None, too_long: TooLong = "drop") -> Selection:
    """Drop or clip the requests whose input and output together exceed ``max_model_len`` tokens.

    Clipping keeps the output and shortens the input as far as one token; only then the output. Text of unknown
    length is left as it is, and text is never cut: such a row is dropped. Raises LoadError where nothing is left.
    """
    if max_model_len is None:
        return Selection(tuple(requests))
    if max_model_len < 2:
        raise LoadError(f"max_model_len: {max_model_len}; allowed 2 or more")
    kept: list[Request] = []
    clipped = 0
    for request in requests:
        if (request.input_tokens or 0) + request.output_tokens <= max_model_len:
            kept.append(request)
        elif too_long == "clip" and request.prompt is None and request.messages is None:
            kept.append(_clip(request, max_model_len))
            clipped += 1
    if not kept:
        raise LoadError(
            f"max_model_len: {max_model_len} leaves none of {len(requests)} requests; allowed more, or clip"
        )
    return Selection(tuple(kept), dropped=len(requests) - len(kept), clipped=clipped)


def _clip(request: Request, max_model_len: int) -> Request:
    output_tokens = min(request.output_tokens, max_model_len - 1)
    input_tokens = min(request.input_tokens or 1, max_model_len - output_tokens)
    blocks = -(-input_tokens // BLOCK_TOKENS)
    return replace(request, input_tokens=input_tokens, output_tokens=output_tokens, hash_ids=request.hash_ids[:blocks])
