"""Records to metrics, by the names of ``vllm bench serve``. Pure.

With t_sched, t_sent, t_1 … t_E (events with content) and t_done of a request whose server counted N output tokens:

- TTFT = t_1 - t_sched, E2EL = t_done - t_sched: what a user who came at t_sched waited. The same from t_sent stands
  under ``from_send_*``.
- TPOT = (t_E - t_1) / (N - 1). Outputs of one token, or in one event, have none; they are counted.
- ITL: each gap between events, divided among the tokens it brought. Servers say N alone, so the N - 1 tokens after
  the first are spread evenly over the E - 1 gaps.
- Throughput = completed / (last completion - first sending).

Latencies are of successes alone, in ms. A metric that cannot be computed is absent. Requests that their users cancelled
are neither completed nor failed, and no part of the error rate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from scoot_ray.load.goodput import Limit
from scoot_ray.load.trace import CANCELLED, RequestRecord

Floats = npt.NDArray[np.float64]

PERCENTILES = (50, 90, 95, 99)
LATENCIES = ("ttft", "tpot", "itl", "e2el")


def metrics_of(
    records: Sequence[RequestRecord], *, offered_s: float | None = None, goodput: Sequence[Limit] = ()
) -> dict[str, float]:
    """Compute all metrics of one replay.

    ``offered_s`` is the time over which the requests were offered (for ``offered_rate``); ``request_goodput`` is there
    if ``goodput`` has limits. Percentiles interpolate linearly.
    """
    done = [record for record in records if record.error is None]
    failed = sum(record.error is not None and record.error != CANCELLED for record in records)
    metrics: dict[str, float] = {"completed": len(done), "failed": failed}
    if done or failed:
        metrics["error_rate"] = failed / (len(done) + failed)
    if offered_s:
        metrics["offered_rate"] = len(records) / offered_s
    metrics |= _throughput(records, done, goodput)
    for name, values in latencies_ms(done).items():
        metrics |= _statistics(name, values)
    return metrics


def from_send_metrics(records: Sequence[RequestRecord]) -> dict[str, float]:
    """Compute TTFT's and E2EL's statistics counted from the sending, as ``from_send_{statistic}_{latency}_ms``."""
    done = [record for record in records if record.error is None]
    values = {
        "ttft": [record.token_times_s[0] - record.sent_s for record in done if record.sent_s and record.token_times_s],
        "e2el": [record.done_s - record.sent_s for record in done if record.sent_s is not None and record.done_s],
    }
    return {
        f"from_send_{key}": value
        for name, values_s in values.items()
        for key, value in _statistics(name, np.asarray(values_s) * 1e3).items()
    }


def counts_of(records: Sequence[RequestRecord]) -> dict[str, int]:
    """Count what the metrics leave out or take on trust: failures by kind (``error_…``), cancellations, odd usage.

    ``usage_missing`` successes have no count of tokens from the server, ``usage_mismatch`` ones another than asked
    for; ``tpot_left_out`` ones have no TPOT.
    """
    done = [record for record in records if record.error is None]
    errors = Counter(f"error_{record.error}" for record in records if record.error not in {None, CANCELLED})
    return {
        "cancelled": sum(record.error == CANCELLED for record in records),
        "usage_missing": sum(record.usage is None for record in done),
        "usage_mismatch": sum(_mismatched(record) for record in done),
        "tpot_left_out": sum(tpot_s(record) is None for record in done),
        **dict(sorted(errors.items())),
    }


def latencies_ms(done: Iterable[RequestRecord]) -> dict[str, Floats]:
    """All samples of each latency over the successes ``done``: per request, ITL per token."""
    samples: dict[str, list[Floats]] = {name: [] for name in LATENCIES}
    for record in done:
        of_request = request_latencies_s(record)
        for name, value in of_request.items():
            samples[name].append(np.array([value]))
        samples["itl"].append(itl_s(record))
    return {name: np.concatenate(parts) * 1e3 if parts else np.empty(0) for name, parts in samples.items()}


def request_latencies_s(record: RequestRecord) -> dict[str, float]:
    """TTFT, TPOT and E2EL of one success, as far as it has them."""
    latencies = {"ttft": record.token_times_s[0] - record.scheduled_s} if record.token_times_s else {}
    tpot = tpot_s(record)
    if tpot is not None:
        latencies["tpot"] = tpot
    if record.done_s is not None:
        latencies["e2el"] = record.done_s - record.scheduled_s
    return latencies


def tpot_s(record: RequestRecord) -> float | None:
    """Seconds per output token after the first; None where one token or one event was all."""
    tokens = output_tokens(record)
    if tokens < 2 or len(record.token_times_s) < 2:
        return None
    return (record.token_times_s[-1] - record.token_times_s[0]) / (tokens - 1)


def itl_s(record: RequestRecord) -> Floats:
    """Seconds from token to token, shape (max(N, E) - 1,) or empty where one event was all."""
    gaps_s = np.diff(record.token_times_s)
    if not len(gaps_s):
        return np.empty(0)
    later_tokens = max(output_tokens(record) - 1, len(gaps_s))
    per_gap = np.diff(np.arange(len(gaps_s) + 1) * later_tokens // len(gaps_s))
    return np.repeat(gaps_s / per_gap, per_gap)


def output_tokens(record: RequestRecord) -> int:
    """N: tokens as the server counted them, or events with content where it did not."""
    return record.usage.completion_tokens if record.usage is not None else len(record.token_times_s)


def _throughput(
    records: Sequence[RequestRecord], done: Sequence[RequestRecord], goodput: Sequence[Limit]
) -> dict[str, float]:
    sent_s = [record.sent_s for record in records if record.sent_s is not None]
    done_s = [record.done_s for record in done if record.done_s is not None]
    duration_s = max(done_s) - min(sent_s) if done_s and sent_s else 0.0
    if duration_s <= 0:
        return {}
    rates: dict[str, float] = {"request_throughput": len(done)}
    usages = [record.usage for record in done if record.usage is not None]
    if len(usages) == len(done):
        generated = sum(usage.completion_tokens for usage in usages)
        rates["output_throughput"] = generated
        rates["total_token_throughput"] = generated + sum(usage.prompt_tokens for usage in usages)
    if goodput:
        rates["request_goodput"] = sum(_is_good(request_latencies_s(record), goodput) for record in done)
    return {"duration_s": duration_s, **{name: amount / duration_s for name, amount in rates.items()}}


def _is_good(latencies_s: Mapping[str, float], goodput: Sequence[Limit]) -> bool:
    """Whether every limit holds; a latency the request does not have cannot break one."""
    return all(latencies_s.get(limit.latency, 0.0) * 1e3 <= limit.at_most_ms for limit in goodput)


def _statistics(name: str, values_ms: Floats) -> dict[str, float]:
    if not len(values_ms):
        return {}
    percentiles = np.percentile(values_ms, PERCENTILES)
    return {
        f"mean_{name}_ms": float(np.mean(values_ms)),
        f"median_{name}_ms": float(np.median(values_ms)),
        f"std_{name}_ms": float(np.std(values_ms)),
        **{f"p{rank}_{name}_ms": float(value) for rank, value in zip(PERCENTILES, percentiles, strict=True)},
    }


def _mismatched(record: RequestRecord) -> bool:
    if record.usage is None:
        return False
    inputs_differ = record.input_tokens is not None and record.usage.prompt_tokens != record.input_tokens
    return inputs_differ or record.usage.completion_tokens != record.output_tokens
