"""A synthetic trace of a given shape: pure, seeded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats.fields import LARGEST_COUNT
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.shape import Floats, Shape

_DONORS_TRIED = 16
_SESSIONS_AT_ONCE = 1024


def generate(shape: Shape, rows: int, seed: int = 0, rate: float | None = None) -> tuple[Request, ...]:
    """``rows`` requests in order of time, at ``rate`` per second; by default at the shape's own, or all at 0 s.

    The rate is reached once as many sessions end as begin: a higher one has more sessions, none in more of a hurry.
    Equal arguments give equal traces. Raises LoadError for fewer rows than one or a rate that is not positive.
    """
    if rows < 1:
        raise LoadError(f"rows: {rows}; allowed 1 or more")
    if rate is not None and not 0 < rate < np.inf:
        raise LoadError(f"rate: {rate}; allowed a positive number of requests per second")
    rng = np.random.default_rng(seed)
    drafts: list[_Draft] = []
    for session in _sessions(shape, rng, rate):
        drafts += session
        if len(drafts) >= rows:
            break
    kept = sorted(drafts[:rows], key=lambda draft: draft.at_s)  # sessions stay whole but for the last one
    return tuple(_with_blocks(kept, rng) if shape.shares_prefixes else map(_bare, kept))


@dataclass(frozen=True, slots=True)
class _Draft:
    """A request without its blocks yet.

    ``kept`` is how many of its first blocks are another's; a follower's is the share of its session's previous turn's.
    """

    at_s: float
    length: int
    output_tokens: int
    kept: float
    session: str | None
    follows: bool


def _sessions(shape: Shape, rng: np.random.Generator, rate: float | None) -> Iterator[list[_Draft]]:
    """Yield sessions, one after the other in order of their beginnings, without end."""
    at_s, number = 0.0, 0
    while True:
        turns = np.rint(shape.turns.draw(_SESSIONS_AT_ONCE, rng)[:, 0]).astype(int)
        gaps_s = _gaps_s(shape, rng, rate, float(turns.mean()))
        openers = _openers(shape, rng)
        named = (turns > 1) | (rng.random(_SESSIONS_AT_ONCE) < shape.named)
        for gap_s, count, opener, has_name in zip(gaps_s, turns, openers, named, strict=True):
            at_s += float(gap_s)
            number += 1
            yield _session(shape, rng, (at_s, *map(float, opener)), int(count), f"g{number}" if has_name else None)


def _openers(shape: Shape, rng: np.random.Generator) -> Floats:
    """First turns, shape (_SESSIONS_AT_ONCE, 3)."""
    borrows = rng.random(_SESSIONS_AT_ONCE) < shape.borrowing
    openers = np.empty((_SESSIONS_AT_ONCE, 3))
    for kind, where in ((shape.borrowers, borrows), (shape.strangers, ~borrows)):
        if kind is not None:
            openers[where] = kind.draw(int(where.sum()), rng)
    return openers


def _gaps_s(shape: Shape, rng: np.random.Generator, rate: float | None, turns: float) -> Sequence[float]:
    """Gamma gaps between sessions with the shape's mean and coefficient of variation."""
    mean_s = turns / rate if rate is not None else shape.gap_s
    if mean_s is None:
        return [0.0] * _SESSIONS_AT_ONCE
    if shape.gap_cv == 0:
        return [mean_s] * _SESSIONS_AT_ONCE
    k = shape.gap_cv**-2
    drawn: list[float] = rng.gamma(k, mean_s / k, _SESSIONS_AT_ONCE).tolist()
    return drawn


def _session(
    shape: Shape, rng: np.random.Generator, opener: tuple[float, ...], turns: int, name: str | None
) -> list[_Draft]:
    at_s, length, output, kept = opener
    drafts = [_Draft(at_s, _count(length), _count(output), kept, name, follows=False)]
    if shape.followers is None or turns < 2:
        return drafts
    for growth, output_tokens, share, pause_s in shape.followers.draw(turns - 1, rng).tolist():
        last = drafts[-1]
        longer, later_s = _count(last.length + growth), last.at_s + pause_s
        drafts.append(_Draft(later_s, longer, _count(output_tokens), share, name, follows=True))
    return drafts


def _with_blocks(drafts: Sequence[_Draft], rng: np.random.Generator) -> Iterator[Request]:
    """Name the blocks: a row's first ones are those of an earlier row, the others are new.

    An opener takes them from any earlier row with enough blocks, so that what is popular grows more so.
    """
    rows: list[tuple[int, ...]] = []
    latest: dict[str, tuple[int, ...]] = {}
    fresh = 0
    for draft in drafts:
        needed = -(-draft.length // BLOCK_TOKENS)
        if draft.follows and draft.session in latest:
            before = latest[draft.session]
            shared = before[: min(needed, round(draft.kept * len(before)))]
        else:
            shared = _borrowed(rows, min(needed, round(draft.kept)), rng)
        ids = (*shared, *range(fresh, fresh + needed - len(shared)))
        fresh += needed - len(shared)
        rows.append(ids)
        if draft.session is not None:
            latest[draft.session] = ids
        yield replace(_bare(draft), hash_ids=ids)


def _borrowed(rows: Sequence[tuple[int, ...]], blocks: int, rng: np.random.Generator) -> tuple[int, ...]:
    """The first ``blocks`` of an earlier row, of the longest one tried where none has so many."""
    if not blocks or not rows:
        return ()
    places: list[int] = rng.integers(0, len(rows), _DONORS_TRIED).tolist()
    longest: tuple[int, ...] = ()
    for ids in (rows[place] for place in places):
        if len(ids) >= blocks:
            return ids[:blocks]
        longest = max(longest, ids, key=len)
    return longest


def _bare(draft: _Draft) -> Request:
    return Request(draft.at_s, draft.length, draft.output_tokens, session=draft.session)


def _count(value: float) -> int:
    return min(LARGEST_COUNT, max(1, round(value)))
