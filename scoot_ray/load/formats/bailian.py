"""Alibaba's Bailian usage traces, and timed traces as ``vllm bench serve`` takes them by default.

Both give seconds and blocks of 16 tokens; Bailian's add conversations and the request's type. 32 blocks become one of
ours (512 tokens), named after all blocks up to its end: sharing is kept in steps of 512 tokens, what is shared beyond
the last full step is lost.
"""

from __future__ import annotations

from dataclasses import replace

from scoot_ray.load.formats import fields
from scoot_ray.load.formats.blocks import chained_ids, grouped
from scoot_ray.load.formats.records import Row
from scoot_ray.load.formats.source import Place
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Request

SMALL_BLOCK_TOKENS = 16
_REMEMBERED_CHATS = 1 << 18


def parse_timed(row: Row, place: Place) -> tuple[Request, ...]:
    """One request of seconds, lengths and blocks of 16 tokens. Raises TraceError."""
    ids = fields.hash_ids(row.get("hash_ids"), place)
    return (
        Request(
            timestamp_s=fields.number(row.get("timestamp"), "timestamp", place, "a finite number of seconds"),
            input_tokens=fields.count(row.get("input_length"), "input_length", place),
            output_tokens=fields.count(row.get("output_length"), "output_length", place),
            hash_ids=chained_ids(grouped(ids, BLOCK_TOKENS // SMALL_BLOCK_TOKENS)),
        ),
    )


def has_small_blocks(row: Row) -> bool:
    """Whether a row has as many ids as blocks of 16 tokens make, and more than blocks of 512 could."""
    ids, tokens = row.get("hash_ids"), row.get("input_length")
    if not isinstance(ids, list) or not isinstance(tokens, int):
        return False
    full = tokens // SMALL_BLOCK_TOKENS
    return len(ids) in {full, full + 1} and len(ids) > -(-tokens // BLOCK_TOKENS)


class BailianParser:
    """Keeps which conversation each chat belongs to: the 262,144 latest chats, for a trace may be of any length."""

    __slots__ = ("_roots",)

    def __init__(self) -> None:
        self._roots: dict[str, str] = {}

    def __call__(self, row: Row, place: Place) -> tuple[Request, ...]:
        """One request. Raises TraceError."""
        chat = fields.label(row.get("chat_id"), "chat_id", place)
        parent = fields.label(row.get("parent_chat_id", -1), "parent_chat_id", place)
        request_class = fields.label(row.get("type"), "type", place)
        (request,) = parse_timed(row, place)
        return (replace(request, session=self._session(chat, parent), request_class=request_class),)

    def _session(self, chat: str | None, parent: str | None) -> str | None:
        """The first chat of the conversation."""
        if chat is None:
            return None
        root = chat if parent in {None, "-1"} else self._roots.get(str(parent), str(parent))
        self._roots[chat] = root
        if len(self._roots) > _REMEMBERED_CHATS:
            del self._roots[next(iter(self._roots))]
        return root
