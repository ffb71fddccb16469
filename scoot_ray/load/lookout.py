"""Keeps account of a replay under way for a caller who wants to know whether it is hopeless."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from scoot_ray.load.client.exchange import Exchange
from scoot_ray.load.figures.standing import Planned, Tally, UnderWay
from scoot_ray.load.hooks import HOPELESS, Hooks
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.trace import RequestRecord

LOOK_S = 1.0
_BEHIND_S = 0.25
"""What has arrived may lie in a socket for some milliseconds: the account is of a moment before."""


class Lookout:
    """A tally of one replay that costs nothing where nobody asks. ``start_s`` is of the monotonic clock."""

    def __init__(self, plan: Sequence[ScheduledCall], hooks: Hooks) -> None:
        self._ask = hooks.hopeless
        planned = {} if self._ask is None else {item.index: _planned(item) for item in plan}
        self._tally = None if self._ask is None else Tally(planned, hooks.goodput)
        self._next_s = 0.0
        self.start_s = 0.0

    def ended(self, record: RequestRecord) -> None:
        """Take in a request that has ended."""
        if self._tally is not None:
            self._tally.ended(record, self.start_s)

    def reason_to_end(self, in_flight: Iterable[Exchange]) -> str | None:
        """HOPELESS where whoever asked says so; looks about once a second."""
        now_s = time.monotonic() - _BEHIND_S
        if self._ask is None or self._tally is None or now_s < max(self._next_s, self.start_s):
            return None
        self._next_s = now_s + LOOK_S
        exchanges = list(in_flight)
        # Streams are read when there is time: the account is of the last moment of which all is known.
        known_s = min([now_s, *(since_s for one in exchanges if (since_s := one.unread_since_s) is not None)])
        records = [exchange.record() for exchange in exchanges]
        for record in records:
            if record.done_s is not None or record.error is not None:
                self.ended(record)
        under_way = [one for record in records if (one := _under_way(record, self.start_s)) is not None]
        return HOPELESS if self._ask(self._tally.standing(known_s - self.start_s, under_way)) else None


def _under_way(record: RequestRecord, start_s: float) -> UnderWay | None:
    if record.sent_s is None or record.done_s is not None or record.error is not None:
        return None
    first_s, last_s = (record.token_times_s[i] - start_s if record.token_times_s else None for i in (0, -1))
    return UnderWay(record.index, record.scheduled_s - start_s, record.sent_s - start_s, first_s, last_s)


def _planned(item: ScheduledCall) -> Planned:
    return Planned(item.at_s, item.call.output_tokens, item.call.cancel_after_s is not None)
