"""What a trace is like, learnt from one pass in bounded memory: lengths, arrivals, shared prefixes, sessions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats.blocks import chained_ids
from scoot_ray.load.formats.tokens import EstimatedTokens, TokenCounter, input_length, text_of
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.tallies import Distribution, Histogram, Reuse, Timeline

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Arrived:
    """Arrivals. ``gap_cv`` is the gaps' standard deviation over their mean: 1 is Poisson, more is burstier."""

    span_s: float
    mean_rate: float
    peak_rate: float
    peak_over_s: float
    gap_cv: float
    out_of_order: int


@dataclass(frozen=True, slots=True)
class Shared:
    """Prefix sharing, as a cache without bounds would see it, in blocks of 512 tokens."""

    rows_with_blocks: int
    blocks_seen_before: float
    rows_begun_before: float


@dataclass(frozen=True, slots=True)
class Sessions:
    """Conversations: how many (an estimate beyond 262,144), their rows, and rows per conversation."""

    count: int
    rows: int
    turns: Distribution


@dataclass(frozen=True, slots=True)
class Census:
    """All of it; None where the trace does not say. Tokens for lengths."""

    rows: int
    text_rows: int
    measured_rows: int
    inputs: Distribution
    outputs: Distribution
    length_correlation: float | None
    arrivals: Arrived | None
    sharing: Shared | None
    sessions: Sessions | None
    input_doublings: tuple[tuple[int, int], ...]
    output_doublings: tuple[tuple[int, int], ...]
    timeline: tuple[int, ...]
    timeline_width_s: float


def take_census(requests: Iterable[Request], tokens: TokenCounter | None = None) -> Census:
    """Go over the requests once. Texts are measured by ``tokens`` where no row says their length.

    Raises LoadError where there are none.
    """
    taker = _Taker(tokens or EstimatedTokens())
    for request in requests:
        taker.add(request)
    return taker.census()


class _Taker:
    """The tallies of one pass."""

    def __init__(self, tokens: TokenCounter) -> None:
        self._tokens = tokens
        self._rows = self._text_rows = self._measured = self._session_rows = self._block_rows = 0
        self._inputs, self._outputs = Histogram(), Histogram()
        self._logs = _Correlation()
        self._clock = _Clock()
        self._blocks, self._beginnings, self._sessions = Reuse(), Reuse(), Reuse()

    def add(self, request: Request) -> None:
        self._rows += 1
        self._clock.add(request.timestamp_s)
        self._measure(request)
        if request.session is not None:
            self._session_rows += 1
            self._sessions.add(request.session)

    def census(self) -> Census:
        inputs, outputs = self._inputs.distribution(), self._outputs.distribution()
        if inputs is None or outputs is None:
            raise LoadError("trace: has no requests; allowed one or more")
        return Census(
            rows=self._rows,
            text_rows=self._text_rows,
            measured_rows=self._measured,
            inputs=inputs,
            outputs=outputs,
            length_correlation=self._logs.value(),
            arrivals=self._clock.arrived(),
            sharing=self._shared(),
            sessions=self._conversations(),
            input_doublings=tuple(self._inputs.doublings()),
            output_doublings=tuple(self._outputs.doublings()),
            timeline=tuple(self._clock.timeline.counts),
            timeline_width_s=self._clock.timeline.width_s,
        )

    def _measure(self, request: Request) -> None:
        """Lengths and blocks."""
        length, text = input_length(request, self._tokens), text_of(request)
        self._text_rows += text is not None
        self._measured += request.input_tokens is None
        self._inputs.add(length)
        self._outputs.add(request.output_tokens)
        self._logs.add(math.log(length), math.log(request.output_tokens))
        ids = request.hash_ids if text is None else chained_ids(self._tokens.blocks(text))
        for name in ids:
            self._blocks.add(name)
        if ids:
            self._block_rows += 1
            self._beginnings.add(ids[0])

    def _shared(self) -> Shared | None:
        blocks, beginnings = self._blocks.repeated, self._beginnings.repeated
        if blocks is None or beginnings is None:
            return None
        return Shared(self._block_rows, blocks_seen_before=blocks, rows_begun_before=beginnings)

    def _conversations(self) -> Sessions | None:
        turns = Histogram()
        for uses in self._sessions.uses():
            turns.add(uses)
        distribution = turns.distribution()
        return None if distribution is None else Sessions(self._sessions.names, self._session_rows, distribution)


class _Clock:
    """Gaps between arrivals and their number over time; a row earlier than the latest one has no gap."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self._gaps_us = Histogram()
        self._first_s: float | None = None
        self._latest_s = 0.0
        self._out_of_order = 0

    def add(self, time_s: float) -> None:
        if self._first_s is None:
            self._first_s = self._latest_s = time_s
        else:
            self._out_of_order += time_s < self._latest_s
            self._gaps_us.add(round(max(0.0, time_s - self._latest_s) * _MICROSECONDS))
            self._latest_s = max(self._latest_s, time_s)
        self.timeline.add(time_s - self._first_s)

    def arrived(self) -> Arrived | None:
        """None where all rows have one time."""
        gaps = self._gaps_us.distribution()
        if gaps is None or gaps.mean <= 0 or self._first_s is None:
            return None
        return Arrived(
            span_s=self._latest_s - self._first_s,
            mean_rate=_MICROSECONDS / gaps.mean,
            peak_rate=max(self.timeline.counts) / self.timeline.width_s,
            peak_over_s=self.timeline.width_s,
            gap_cv=gaps.std / gaps.mean,
            out_of_order=self._out_of_order,
        )


class _Correlation:
    """Pearson's, of pairs met one by one (Welford's sums, which keep their digits)."""

    def __init__(self) -> None:
        self._n = 0
        self._x = self._y = self._xx = self._yy = self._xy = 0.0

    def add(self, x: float, y: float) -> None:
        self._n += 1
        before_x, before_y = x - self._x, y - self._y
        self._x += before_x / self._n
        self._y += before_y / self._n
        self._xx += before_x * (x - self._x)
        self._yy += before_y * (y - self._y)
        self._xy += before_x * (y - self._y)

    def value(self) -> float | None:
        """None where one side does not vary."""
        spread = math.sqrt(self._xx * self._yy)
        return self._xy / spread if spread > 0 else None
