"""Names of prefix blocks: integers that are equal where, and only where, the prefix up to the block's end is.

Collisions are those of 53 bits, the integers that every JSON reader keeps exact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence

_BITS = 53


def block_id(data: bytes, key: bytes = b"") -> int:
    """The name of ``data``, an integer of 53 bits; with a key (up to 64 bytes) nobody without it can tell or guess."""
    digest = hashlib.blake2b(data, key=key, digest_size=8).digest()
    return int.from_bytes(digest) >> (64 - _BITS)


def chained_ids(blocks: Iterable[bytes], key: bytes = b"") -> tuple[int, ...]:
    """One name a block, of all blocks up to it."""
    names: list[int] = []
    for block in blocks:
        before = names[-1] if names else 0
        names.append(block_id(before.to_bytes(8) + block, key))
    return tuple(names)


def grouped(values: Sequence[int], size: int) -> Iterator[bytes]:
    """Each ``size`` values as one block; the last may have fewer."""
    for start in range(0, len(values), size):
        yield ",".join(map(str, values[start : start + size])).encode()
