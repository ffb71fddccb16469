"""How much of a load's prompts a prefix cache could have held. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from scoot_ray.load.arrivals import Schedule
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Request


def shareable_prefix(requests: Sequence[Request], timetable: Schedule) -> float | None:
    """The share of all prompt tokens that an earlier arrival's prompt began with, as ``hash_ids`` say.

    What an endless prefix cache on a single server would find; 0 without hash ids. None where prompts are text, whose
    tokens only the server can compare.
    """
    if any(request.input_tokens is None or request.prompt is not None for request in requests):
        return None
    children: dict[tuple[int, int], int] = {}
    shared = total = 0
    for row, trace_pass in zip(timetable.rows.tolist(), timetable.passes.tolist(), strict=True):
        request = requests[row]
        known = _known_blocks(children, -trace_pass, request.hash_ids)
        shared += min(known * BLOCK_TOKENS, request.input_tokens or 0)
        total += request.input_tokens or 0
    return shared / total if total else None


def _known_blocks(children: dict[tuple[int, int], int], root: int, hash_ids: Sequence[int]) -> int:
    """How many leading blocks the trie has; the others are added. Nodes count up from 1, passes have roots below."""
    node, known = root, 0
    for depth, hash_id in enumerate(hash_ids):
        edge = (node, hash_id)
        if edge in children:
            known = depth + 1
        node = children.setdefault(edge, len(children) + 1)
    return known
