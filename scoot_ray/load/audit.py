"""The generator's judgement of itself: a load that was not sent as intended measured something else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoot_ray.load.trace import RequestRecord

MAX_SEND_LATENESS_P99_MS = 5.0
MAX_LOOP_LAG_P99_MS = 10.0


@dataclass(frozen=True, slots=True)
class Audit:
    """How well the load was generated. ``valid`` is False with a reason each for what went beyond its limit.

    ``client_cpu_share`` is the share of one core that the sending thread used.
    """

    send_lateness_p99_ms: float | None
    loop_lag_p99_ms: float | None
    client_cpu_share: float
    reasons: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """True where the figures can be believed."""
        return not self.reasons


def audit(records: Sequence[RequestRecord], loop_lags_s: Sequence[float], client_cpu_share: float) -> Audit:
    """Judge a replay by its records and by samples of its event loop's lag."""
    lateness_ms = _p99_ms([record.sent_s - record.scheduled_s for record in records if record.sent_s is not None])
    lag_ms = _p99_ms(loop_lags_s)
    reasons = []
    if lateness_ms is None:
        reasons.append("nothing was sent")
    elif lateness_ms > MAX_SEND_LATENESS_P99_MS:
        reasons.append(f"requests were sent late: p99 {lateness_ms:.1f} ms, allowed {MAX_SEND_LATENESS_P99_MS:g} ms")
    if lag_ms is not None and lag_ms > MAX_LOOP_LAG_P99_MS:
        reasons.append(f"the client's event loop lagged: p99 {lag_ms:.1f} ms, allowed {MAX_LOOP_LAG_P99_MS:g} ms")
    return Audit(lateness_ms, lag_ms, client_cpu_share, tuple(reasons))


def _p99_ms(values_s: Sequence[float]) -> float | None:
    return float(np.percentile(values_s, 99)) * 1e3 if len(values_s) else None
