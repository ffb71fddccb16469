"""The shape of a trace: enough to make another one like it, and nothing that a row of it said.

Lengths, shared prefixes and pauses are kept as a few quantiles each, tied together by a Gaussian copula (Nelsen, An
Introduction to Copulas, 2006): each quantity keeps its own distribution, all keep their rank correlations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats.blocks import chained_ids
from scoot_ray.load.formats.tokens import EstimatedTokens, TokenCounter, input_length, text_of
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import Request

Floats = npt.NDArray[np.float64]

LEVELS: Floats = np.concatenate([np.linspace(0.0, 0.99, 100), [0.995, 0.999, 1.0]])


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Several quantities at once: ``quantiles`` (levels, d) at LEVELS, ``correlation`` (d, d) of normal scores."""

    quantiles: Floats
    correlation: Floats

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """``count`` draws, shape (count, d)."""
        normal = rng.multivariate_normal(np.zeros(len(self.correlation)), self.correlation, count, method="eigh")
        levels: Floats = norm.cdf(normal)
        return np.column_stack([np.interp(levels[:, i], LEVELS, self.quantiles[:, i]) for i in range(levels.shape[1])])


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """What a trace is like.

    Openers are rows that begin a session or have none: ``borrowers``, the share ``borrowing`` of them, begin with
    blocks seen before, ``strangers`` do not; both are (input tokens, output tokens, blocks seen before).
    ``followers`` are later turns: (growth of the input, output tokens, share of the previous turn's blocks kept,
    pause in s). Each is None where there are none. ``turns`` (levels, 1) are per opener, ``named`` is the share of
    openers that have a session, ``gap_s`` and ``gap_cv`` are of their arrivals: None where there are no times.
    """

    strangers: Joint | None
    borrowers: Joint | None
    borrowing: float
    followers: Joint | None
    turns: Joint
    named: float
    gap_s: float | None
    gap_cv: float
    shares_prefixes: bool


def fit_shape(requests: Iterable[Request], tokens: TokenCounter | None = None) -> Shape:
    """Learn the shape of requests in order of time. Raises LoadError for fewer than two."""
    measure = tokens or EstimatedTokens()
    seen = _Seen()
    for request in requests:
        seen.add(request, measure)
    if len(seen.openers) + len(seen.followers) < 2:
        raise LoadError("trace: has fewer than two requests; allowed two or more to learn a shape from")
    gap_s, gap_cv = _gaps(seen.opened_s)
    borrowers = [opener for opener in seen.openers if opener[2]]
    return Shape(
        strangers=_joint([opener for opener in seen.openers if not opener[2]]),
        borrowers=_joint(borrowers),
        borrowing=len(borrowers) / len(seen.openers),
        followers=_joint(seen.followers),
        turns=_joint_of([(float(turns),) for turns in (*seen.turns.values(), *[1] * seen.nameless)]),
        named=len(seen.turns) / len(seen.openers),
        gap_s=gap_s,
        gap_cv=gap_cv,
        shares_prefixes=bool(seen.blocks),
    )


@dataclass(frozen=True, slots=True)
class _Turn:
    """What the next turn of a session is compared with."""

    at_s: float
    length: int
    ids: tuple[int, ...]


class _Seen:
    """Rows gone over so far."""

    def __init__(self) -> None:
        self.openers: list[tuple[float, ...]] = []
        self.followers: list[tuple[float, ...]] = []
        self.opened_s: list[float] = []
        self.turns: dict[str, int] = {}
        self.nameless = 0
        self.blocks: set[int] = set()
        self._latest: dict[str, _Turn] = {}

    def add(self, request: Request, tokens: TokenCounter) -> None:
        ids = _blocks(request, tokens)
        turn = _Turn(request.timestamp_s, input_length(request, tokens), ids)
        name = request.session
        before = self._latest.get(name) if name is not None else None
        if before is None:
            self.opened_s.append(turn.at_s)
            self.openers.append((turn.length, request.output_tokens, _leading(ids, self.blocks)))
        else:
            kept = _leading(ids, set(before.ids)) / len(before.ids) if before.ids else 0.0
            pause_s = max(0.0, turn.at_s - before.at_s)
            self.followers.append((turn.length - before.length, request.output_tokens, kept, pause_s))
        self._count(name, turn)
        self.blocks.update(ids)

    def _count(self, name: str | None, turn: _Turn) -> None:
        if name is None:
            self.nameless += 1
        else:
            self._latest[name] = turn
            self.turns[name] = self.turns.get(name, 0) + 1


def _blocks(request: Request, tokens: TokenCounter) -> tuple[int, ...]:
    text = text_of(request)
    ids = request.hash_ids if text is None else chained_ids(tokens.blocks(text))
    return ids[: -(-input_length(request, tokens) // BLOCK_TOKENS)]


def _leading(ids: Sequence[int], among: set[int]) -> int:
    """How many ids from the first on are ``among`` others."""
    return next((at for at, name in enumerate(ids) if name not in among), len(ids))


def _joint(rows: Sequence[tuple[float, ...]]) -> Joint | None:
    return _joint_of(rows) if rows else None


def _joint_of(rows: Sequence[tuple[float, ...]]) -> Joint:
    values: Floats = np.asarray(rows, dtype=np.float64)
    scores = norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))
    centred = scores - scores.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    unit = centred / np.where(size > 0, size, 1.0)
    correlation: Floats = unit.T @ unit
    np.fill_diagonal(correlation, 1.0)
    return Joint(np.quantile(values, LEVELS, axis=0), correlation)


def _gaps(times_s: Sequence[float]) -> tuple[float | None, float]:
    """The mean gap in s (None where all times are one) and the gaps' coefficient of variation."""
    gaps_s = np.diff(times_s)
    mean_s = float(gaps_s.mean()) if len(gaps_s) else 0.0
    return (mean_s, float(gaps_s.std()) / mean_s) if mean_s > 0 else (None, 1.0)
