"""Where a load stands before it is over: what has ended, what is under way, what is still to be sent. Pure.

All times are seconds from the load's start. A :class:`Tally` is kept while the load runs, at little cost for each
request; its :class:`Standing` is a value, from which ``bounds`` tells what the metrics can still become.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.metrics import Floats, is_good, output_tokens, request_latencies_s
from scoot_ray.load.trace import CANCELLED, RequestRecord

PER_REQUEST = ("ttft", "tpot", "e2el")


class Planned(NamedTuple):
    """A request of the plan: when it is due, the tokens it asks for, and whether its user may go away."""

    due_s: float
    output_tokens: int
    may_leave: bool = False


class UnderWay(NamedTuple):
    """A request that was sent and has not ended. ``first_s`` and ``last_s`` are its tokens' so far, if it has any."""

    number: int
    due_s: float
    sent_s: float
    first_s: float | None = None
    last_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """A load at ``now_s``, of which ``planned`` requests were to be sent.

    ``settled_ms`` are the latencies of the successes (as in the metrics), ``itl_s`` and ``itl_tokens`` the sum and the
    number of the times between their tokens, ``good`` those that kept the limits of the goodput. Requests under way
    have ``started`` where a token has come, else they are ``waiting``; ``started_tpot_ms`` is what their last token
    proves. ``due_s`` of each kind is sorted but for the started. ``sent_s`` and ``first_s`` are when each request was
    sent and each first token came. ``may_leave`` of those that have not ended may be given up by their users.
    """

    now_s: float
    first_sent_s: float
    last_done_s: float
    planned: int
    completed: int
    failed: int
    cancelled: int
    may_leave: int
    good: int
    output_tokens: int
    tokens_left: int
    itl_s: float
    itl_tokens: int
    settled_ms: Mapping[str, Floats]
    started_due_s: Floats
    started_ttft_ms: Floats
    started_tpot_ms: Floats
    waiting_due_s: Floats
    unsent_due_s: Floats
    sent_s: Floats
    first_s: Floats


class Tally:
    """Keeps account of a load under way. Not a value: tell it of every request that ends."""

    def __init__(self, plan: Mapping[int, Planned], goodput: Sequence[Limit] = ()) -> None:
        self._left, self._planned, self._goodput = dict(plan), len(plan), tuple(goodput)
        self._settled_ms: dict[str, list[float]] = {name: [] for name in PER_REQUEST}
        self._sent_s: list[float] = []
        self._first_s: list[float] = []
        self._done_s = -math.inf
        self._completed = self._failed = self._cancelled = self._good = 0
        self._output_tokens = self._itl_tokens = 0
        self._itl_s = 0.0

    def ended(self, record: RequestRecord, start_s: float = 0.0) -> None:
        """Take in a request that has ended; ``start_s`` is the load's start on the record's clock. Once is enough."""
        if self._left.pop(record.index, None) is None:
            return
        if record.sent_s is not None:
            self._sent_s.append(record.sent_s - start_s)
        if record.token_times_s:
            self._first_s.append(record.token_times_s[0] - start_s)
        if record.error is not None:
            self._cancelled += record.error == CANCELLED
            self._failed += record.error != CANCELLED
            return
        self._succeeded(record, start_s)

    def standing(self, now_s: float, under_way: Iterable[UnderWay]) -> Standing:
        """The load at ``now_s``, with the requests under way; all others of the plan are still to be sent."""
        open_ones = list(under_way)
        started = [(one, one.first_s, one.last_s) for one in open_ones if one.first_s is not None]
        numbers = {one.number for one in open_ones}
        sent_s = [*self._sent_s, *(one.sent_s for one in open_ones)]
        return Standing(
            now_s=now_s,
            first_sent_s=min(sent_s, default=now_s),
            last_done_s=self._done_s,
            planned=self._planned,
            completed=self._completed,
            failed=self._failed,
            cancelled=self._cancelled,
            may_leave=sum(one.may_leave for one in self._left.values()),
            good=self._good,
            output_tokens=self._output_tokens,
            tokens_left=sum(one.output_tokens for one in self._left.values()),
            itl_s=self._itl_s,
            itl_tokens=self._itl_tokens,
            settled_ms={name: np.array(values) for name, values in self._settled_ms.items()},
            started_due_s=np.array([one.due_s for one, _, _ in started]),
            started_ttft_ms=np.array([(first_s - one.due_s) * 1e3 for one, first_s, _ in started]),
            started_tpot_ms=np.array([self._tpot_ms(one.number, first_s, last_s) for one, first_s, last_s in started]),
            waiting_due_s=np.sort(np.array([one.due_s for one in open_ones if one.first_s is None])),
            unsent_due_s=np.sort([one.due_s for index, one in self._left.items() if index not in numbers]),
            sent_s=np.sort(sent_s),
            first_s=np.sort([*self._first_s, *(first_s for _, first_s, _ in started)]),
        )

    def _succeeded(self, record: RequestRecord, start_s: float) -> None:
        latencies_s = request_latencies_s(record)
        for name, value_s in latencies_s.items():
            self._settled_ms[name].append(value_s * 1e3)
        self._completed += 1
        self._good += is_good(latencies_s, self._goodput)
        self._output_tokens += output_tokens(record)
        if len(record.token_times_s) > 1:
            self._itl_s += record.token_times_s[-1] - record.token_times_s[0]
            self._itl_tokens += max(output_tokens(record), len(record.token_times_s)) - 1
        if record.done_s is not None:
            self._done_s = max(self._done_s, record.done_s - start_s)

    def _tpot_ms(self, index: int, first_s: float, last_s: float | None) -> float:
        """What the last token proves: the rest could come at once, and no more tokens than were asked for."""
        later = self._left[index].output_tokens - 1 if index in self._left else 0
        return 0.0 if last_s is None or later < 1 else (last_s - first_s) / later * 1e3


def together(parts: Sequence[Standing]) -> Standing:
    """The standing of a load that several processes send: their sums, at the earliest of their moments."""
    if len(parts) == 1:
        return parts[0]
    by_name = {one.name: [getattr(part, one.name) for part in parts] for one in fields(Standing)}
    settled = by_name.pop("settled_ms")
    merged = {
        **{name: min(by_name.pop(name)) for name in ("now_s", "first_sent_s")},
        "last_done_s": max(by_name.pop("last_done_s")),
        "settled_ms": {name: np.concatenate([one[name] for one in settled]) for name in PER_REQUEST},
    }
    for name, values in by_name.items():
        array = isinstance(values[0], np.ndarray)
        merged[name] = np.concatenate(values) if array else sum(values)
        if name in {"waiting_due_s", "unsent_due_s", "sent_s", "first_s"}:
            merged[name] = np.sort(merged[name])
    return Standing(**merged)
