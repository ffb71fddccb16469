"""A study's figures as gauges of Ray, from where Prometheus takes them.

Ray drops a gauge that is not set again within some twenty seconds. A thread of its own sets them, since the loop may be
waiting for a suggestion just then; it shows the state of the log, so a resumed run goes on where it was.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from ray.util.metrics import Gauge

from scoot_ray.cluster.readings import METRICS, Slots, readings
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved

PERIOD_S = 5.0
_logger = logging.getLogger(__name__)


class StudyGauges:
    """A Watcher that sets every gauge again and again until its context ends. Ray must have been joined."""

    def __init__(self, resolved: Resolved, run: str, slots: Callable[[], Slots], period_s: float = PERIOD_S) -> None:
        self._resolved, self._slots, self._period_s = resolved, slots, period_s
        self._log, self._over = Log(), threading.Event()
        self._thread = threading.Thread(target=self._repeat, name="study gauges", daemon=True)
        tags = {"study": resolved.study.name, "run": run}
        self._gauges = {
            metric: Gauge(metric.name, metric.description, (*tags, *([metric.tag] if metric.tag else ())))
            for metric in METRICS
        }
        for gauge in self._gauges.values():
            gauge.set_default_tags(tags)

    def __enter__(self) -> StudyGauges:
        """Start to set."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Set the last state and end; a thread that is stuck is left behind."""
        self._over.set()
        self._thread.join(timeout=2.0)

    def update(self, log: Log) -> None:
        """Take note of what has happened."""
        self._log = log

    def _repeat(self) -> None:
        while not self._over.wait(self._period_s):
            self._set()
        self._set()

    def _set(self) -> None:
        try:
            for reading in readings(self._resolved, self._log, self._slots()):
                tag = reading.metric.tag
                self._gauges[reading.metric].set(reading.value, {tag: reading.of} if tag else {})
        except Exception:
            _logger.debug("the gauges could not be set", exc_info=True)  # a study does not end for its dashboard
