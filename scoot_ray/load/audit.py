"""The generator's judgement of itself: a load that was not sent as intended measured something else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from scoot_ray.load.trace import RequestRecord

MAX_SEND_LATENESS_P99_MS = 5.0
MAX_LOOP_LAG_P99_MS = 10.0
MAX_RECEIVE_LAG_P99_MS = 10.0
MAX_CPU_SHARE = 0.95
MIN_CPU_JUDGED_S = 2.0
"""A shorter replay is all start and end: its share of a core says nothing."""

REMEDY = "more client processes, a lower rate or a less busy machine would help"

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Vitals:
    """What one client process noticed of itself: samples of its lags in seconds, and what it used.

    ``loop_lags_s`` is how late timers were served, ``receive_lags_s`` an estimate of how late readable sockets were
    noticed, ``cpu_s`` the CPU time of the sending thread.
    """

    loop_lags_s: Floats
    receive_lags_s: Floats
    cpu_s: float
    elapsed_s: float
    connections_opened: int = 0

    @property
    def cpu_share(self) -> float:
        """Share of one core that the sending thread used."""
        return self.cpu_s / max(self.elapsed_s, 1e-9)


@dataclass(frozen=True, slots=True)
class Audit:
    """How well the load was generated. ``valid`` is False with a reason each for what went beyond its limit.

    ``client_cpu_share`` is the busiest process's share of a core. Lateness is counted from when a request was due,
    which for a session's turn that waits is when it may be sent; such waiting is no fault of the client.
    """

    send_lateness_p99_ms: float | None
    loop_lag_p99_ms: float | None
    receive_lag_p99_ms: float | None
    client_cpu_share: float
    client_processes: int
    connections_opened: int
    connections_failed: int
    reasons: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """True where the figures can be believed."""
        return not self.reasons


def audit(records: Sequence[RequestRecord], vitals: Sequence[Vitals]) -> Audit:
    """Judge a replay by its records and by what each client process noticed of itself."""
    lateness_ms = _p99_ms(
        np.array([record.sent_s - record.scheduled_s for record in records if record.sent_s is not None])
    )
    lag_ms = _p99_ms(np.concatenate([np.empty(0), *(one.loop_lags_s for one in vitals)]))
    receive_ms = _p99_ms(np.concatenate([np.empty(0), *(one.receive_lags_s for one in vitals)]))
    limits = (
        ("requests were sent late", lateness_ms, MAX_SEND_LATENESS_P99_MS),
        ("the client's event loop lagged", lag_ms, MAX_LOOP_LAG_P99_MS),
        ("answers were noticed late", receive_ms, MAX_RECEIVE_LAG_P99_MS),
    )
    reasons = [] if lateness_ms is not None else ["nothing was sent"]
    reasons += [
        f"{what}: p99 {value_ms:.1f} ms, allowed {limit_ms:g} ms; {REMEDY}"
        for what, value_ms, limit_ms in limits
        if value_ms is not None and value_ms > limit_ms
    ]
    judged = [one.cpu_share for one in vitals if one.elapsed_s >= MIN_CPU_JUDGED_S]
    if judged and max(judged) > MAX_CPU_SHARE:
        reasons.append(f"the client used {max(judged):.0%} of a core, allowed {MAX_CPU_SHARE:.0%}; {REMEDY}")
    return Audit(
        send_lateness_p99_ms=lateness_ms,
        loop_lag_p99_ms=lag_ms,
        receive_lag_p99_ms=receive_ms,
        client_cpu_share=max((one.cpu_share for one in vitals), default=0.0),
        client_processes=len(vitals),
        connections_opened=sum(one.connections_opened for one in vitals),
        connections_failed=sum(record.error == "connect" for record in records),
        reasons=tuple(reasons),
    )


def _p99_ms(values_s: Floats) -> float | None:
    return float(np.percentile(values_s, 99)) * 1e3 if len(values_s) else None
