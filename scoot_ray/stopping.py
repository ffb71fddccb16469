"""What ends a run before its time: a signal, the deadline, failures of ours that do not stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

from scoot_ray.log import Log
from scoot_ray.study import Study
from scoot_ray.tune import RetryPolicy


class Stop:
    """Ends the loop on SIGINT, SIGTERM, the deadline, or too many failures of ours; ``reason`` says which.

    ``over`` may be set to what tells that nothing can be started before the deadline any more; ``in_time`` is whether
    the end was that or the deadline, as the study asks. ``hung_up`` says that nobody reads the events any more, which
    ends it as SIGTERM does.
    """

    def __init__(self, study: Study, hung_up: Callable[[], bool] = lambda: False) -> None:
        self._deadline, self._retries, self._hung_up = study.budget.deadline, RetryPolicy(), hung_up
        self.over: Callable[[], str | None] = lambda: None
        self.signal: int | None = None
        self.reason: str | None = None
        self.in_time = False

    def requested(self, log: Log) -> bool:
        """Whether the loop should end now."""
        if self.signal is not None:
            self.reason = f"interrupted by {signal.Signals(self.signal).name}"
        elif self._hung_up():
            self.reason = "--events: nobody reads standard output any more"
        elif self._deadline is not None and datetime.now(UTC) >= self._deadline.astimezone(UTC):
            self.reason, self.in_time = f"budget.deadline {self._deadline.isoformat()} has passed", True
        elif (exhausted := self._retries.exhausted(log)) is not None:
            self.reason = exhausted
        else:
            self.reason = self.over()
            self.in_time = self.reason is not None
        return self.reason is not None

    @property
    def interrupted(self) -> bool:
        """Whether a signal asked for the end, or the reader has gone."""
        return self.signal is not None or self._hung_up()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM instead of dying of them; a second SIGINT is not waited for."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number
