"""What may be shown of a private trace: lengths, times, and which rows belong together. Nothing else is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats.blocks import block_id, chained_ids
from scoot_ray.load.formats.tokens import EstimatedTokens, TokenCounter, input_length, text_of
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Request

FEWEST_SALT_BYTES = 16


def anonymized(requests: Iterable[Request], salt: bytes, tokens: TokenCounter | None = None) -> Iterator[Request]:
    """Yield the requests with renamed blocks and sessions, counted from the first one's time, and without all else.

    Names are keyed hashes: equal within outputs of one salt, and neither linked to those of another nor guessed from
    a likely text without it. A text's length is measured by ``tokens`` where the row does not say it. Raises
    LoadError for a salt of fewer than 16 bytes.
    """
    if len(salt) < FEWEST_SALT_BYTES:
        raise LoadError(f"salt: has {len(salt)} bytes; allowed {FEWEST_SALT_BYTES} or more")
    measure = tokens or EstimatedTokens()
    keys = _Keys(salt)
    start_s: float | None = None
    for request in requests:
        start_s = request.timestamp_s if start_s is None else start_s
        length = input_length(request, measure)
        yield Request(
            timestamp_s=request.timestamp_s - start_s,
            input_tokens=length,
            output_tokens=request.output_tokens,
            hash_ids=keys.blocks(request, measure)[: -(-length // BLOCK_TOKENS)],
            session=keys.session(request.session),
        )


class _Keys:
    """Two keys out of one salt, so that a block's name says nothing of a session's."""

    __slots__ = ("_blocks", "_sessions")

    def __init__(self, salt: bytes) -> None:
        self._blocks = hashlib.blake2b(salt, person=b"blocks").digest()
        self._sessions = hashlib.blake2b(salt, person=b"sessions").digest()

    def blocks(self, request: Request, tokens: TokenCounter) -> tuple[int, ...]:
        text = text_of(request)
        if text is not None:
            return chained_ids(tokens.blocks(text), self._blocks)
        return tuple(block_id(str(name).encode(), self._blocks) for name in request.hash_ids)

    def session(self, name: str | None) -> str | None:
        return None if name is None else f"s{block_id(name.encode(errors='surrogatepass'), self._sessions):x}"
