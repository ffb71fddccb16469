"""What is sent: token ids for rows of lengths, text as it is, and the warm-up's disjoint stand-ins.

Token ids are a pure function of (seed, salt, pass, ``hash_ids``, row): equal hash ids share tokens within one pass of
one measurement, and nothing is shared with another salt, so that a measurement never meets the prefixes an earlier one
left in the server's cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from scoot_ray.load.errors import LoadError
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Request
from scoot_ray.load.vocabulary import PASSAGE

_WORDS = tuple(PASSAGE.split())
_WARMUP_WORDS = 64


class TokenPrompts:
    """Makes the prompts of one measurement; blocks already drawn are kept."""

    __slots__ = ("_blocks", "_ids", "_key")

    def __init__(self, token_ids: Sequence[int], seed: int, salt: str) -> None:
        if not token_ids:
            raise LoadError("vocabulary: has no token ids; allowed one or more")
        self._ids: npt.NDArray[np.int64] = np.asarray(token_ids, dtype=np.int64)
        self._key = f"{seed}/{salt}"
        self._blocks: dict[tuple[int, int], npt.NDArray[np.int64]] = {}

    def token_ids(self, request: Request, row: int, trace_pass: int = 0) -> list[int]:
        """Exactly ``input_tokens`` ids: a block for each hash id, the last one cut, then tokens of the row's own.

        ``row`` is the request's place in the trace. Raises LoadError for a request without a length.
        """
        if request.input_tokens is None:
            raise LoadError(f"request {row}: input_tokens is missing; allowed a length, where there is no text")
        shared = [self._block(trace_pass, hash_id) for hash_id in request.hash_ids]
        own = request.input_tokens - BLOCK_TOKENS * len(shared)
        if own > 0:
            shared.append(self._draw(f"row/{trace_pass}/{row}", own))
        tokens: list[int] = np.concatenate(shared)[: request.input_tokens].tolist()
        return tokens

    def _block(self, trace_pass: int, hash_id: int) -> npt.NDArray[np.int64]:
        key = (trace_pass, hash_id)
        if key not in self._blocks:
            self._blocks[key] = self._draw(f"block/{trace_pass}/{hash_id}", BLOCK_TOKENS)
        return self._blocks[key]

    def _draw(self, name: str, count: int) -> npt.NDArray[np.int64]:
        return self._ids[_rng(f"{self._key}/{name}").integers(0, len(self._ids), count)]


def warmup_stand_in(request: Request, seed: int, salt: str, turn: int) -> Request:
    """Return a request of about the same shape that shares no text with the measured ones.

    Lengths stay as they are (the salt keeps their tokens apart); text is replaced by random words.
    """
    if request.prompt is None and request.messages is None:
        return request
    words = len(request.prompt.split()) if request.prompt is not None else request.input_tokens or _WARMUP_WORDS
    text = " ".join(_rng(f"{seed}/{salt}/words/{turn}").choice(_WORDS, max(words, 1)))
    if request.prompt is not None:
        return replace(request, prompt=text)
    return replace(request, messages=({"role": "user", "content": text},))


def _rng(key: str) -> np.random.Generator:
    digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest)))
