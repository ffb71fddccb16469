"""What a load generator reported, held against what the server did. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Log: TypeAlias = Mapping[str, Mapping[str, Any]]
"""The server's: request id to ``received`` (s) and ``sent`` (s, one per token)."""


class Reported(NamedTuple):
    """One request as a tool saw it, in ``time.monotonic`` seconds; ``scheduled_s`` None where it does not say."""

    request_id: str
    scheduled_s: float | None
    sent_s: float
    token_times_s: Sequence[float]


class Judgement(NamedTuple):
    """Errors in ms, cost in ms of CPU per 1,000 tokens, CPU as a share of a core; None where it cannot be said."""

    ttft_p50: float | None
    ttft_p99: float | None
    tpot_p99: float | None
    lag_p50: float | None
    lag_p99: float | None
    late_p99: float | None
    cpu_ms: float | None
    cpu_share: float | None


def judge_times(reported: Sequence[Reported], log: Log, cpu_ms: float, cpu_share: float) -> Judgement:
    """Compare request by request and token by token."""
    ttft, tpot, lag, late = [], [], [], []
    for request in reported:
        truth = log.get(request.request_id)
        if truth is None or len(truth["sent"]) != len(request.token_times_s):
            continue
        seen, sent = np.asarray(request.token_times_s), np.asarray(truth["sent"])
        ttft.append(abs((seen[0] - request.sent_s) - (sent[0] - truth["received"])))
        tpot.append(abs((seen[-1] - seen[0]) - (sent[-1] - sent[0])) / max(len(sent) - 1, 1))
        lag.append(seen - sent)
        if request.scheduled_s is not None:
            late.append(truth["received"] - request.scheduled_s)
    lags = np.concatenate(lag) if lag else np.empty(0)
    return Judgement(
        _ms(ttft, 50), _ms(ttft, 99), _ms(tpot, 99), _ms(lags, 50), _ms(lags, 99), _ms(late, 99), cpu_ms, cpu_share
    )


def judge_percentiles(reported_ms: Mapping[int, float], log: Log, cpu_ms: float, cpu_share: float) -> Judgement:
    """Compare the percentiles of TTFT that a tool reports (rank to ms) with the server's own."""
    truth_ms = [(entry["sent"][0] - entry["received"]) * 1e3 for entry in log.values() if entry["sent"]]
    errors = {rank: abs(value - float(np.percentile(truth_ms, rank))) for rank, value in reported_ms.items()}
    return Judgement(errors.get(50), errors.get(99), None, None, None, None, cpu_ms, cpu_share)


def _ms(values_s: Any, rank: int) -> float | None:
    return float(np.percentile(values_s, rank)) * 1e3 if len(values_s) else None
