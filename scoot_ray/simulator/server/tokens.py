"""The simulated tokenizer: four characters of text are one token, and tokens become words of a passage.

Ids depend on the text alone, so equal beginnings of prompts share their prefixes.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from zlib import crc32

from scoot_ray.load.vocabulary import PASSAGE

CHARACTERS_PER_TOKEN = 4
_SPECIAL = 3  # ids below are left alone, as those of <unk>, <s> and </s>

WORDS = tuple(json.dumps(f" {word}")[1:-1].encode() for word in PASSAGE.split())
"""What the tokens of an answer say, in turn; as they stand inside a JSON string."""


def tokenize(text: str, vocabulary: int) -> list[int]:
    """Return the ids of a text, all below ``vocabulary``."""
    pieces = (text[at : at + CHARACTERS_PER_TOKEN] for at in range(0, len(text), CHARACTERS_PER_TOKEN))
    return [_SPECIAL + crc32(piece.encode()) % (vocabulary - _SPECIAL) for piece in pieces]


def prefix_keys(tokens: Sequence[int], unit_tokens: int, salt: str) -> list[int]:
    """Name every whole unit of a prompt by all tokens up to its end; no two salts share a name."""
    packed = array("q", tokens)
    size = unit_tokens * packed.itemsize
    content = packed.tobytes()
    key, keys = hash(salt), []
    for end in range(size, len(content) + 1, size):
        key = hash((key, content[end - size : end]))
        keys.append(key)
    return keys
