"""Records to metrics, by the names of ``vllm bench serve``. Pure.

With t_sched, t_sent, t_1 … t_E (events with content) and t_done of a request whose server counted N output tokens:

- TTFT = t_1 - t_sched, E2EL = t_done - t_sched: what a user who came at t_sched waited. The same from t_sent stands
  under ``from_send_*``.
- TPOT = (t_E - t_1) / (N - 1). Outputs of one token, or in one event, have none; they are counted.
- ITL: each gap between events, divided among the tokens it brought. Servers say N alone, so the N - 1 tokens after
  the first are spread evenly over the E - 1 gaps.
- Throughput = completed / (last completion - first sending).

Latencies are of successes alone, in ms. A request that its user gave up on (``cancelled``) is neither a success nor a
failure: it is counted, and left out of everything but ``offered_rate``. A metric that cannot be computed is absent; an
answer that was not streamed has E2EL alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import numpy as np
import numpy.typing as npt

from scoot_ray.load.figures.goodput import Limit
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
    done = successes(records)
    failed = sum(record.error not in {None, CANCELLED} for record in records)
    metrics: dict[str, float] = {"completed": len(done), "failed": failed}
    if done or failed:
        metrics["error_rate"] = failed / (len(done) + failed)
    if offered_s:
        metrics["offered_rate"] = len(records) / offered_s
    metrics |= _throughput(records, done, goodput)
    for name, values in latencies_ms(done).items():
        metrics |= statistics(name, values)
    return metrics


def from_send_metrics(records: Sequence[RequestRecord]) -> dict[str, float]:
    """Compute TTFT's and E2EL's statistics counted from the sending, as ``from_send_{statistic}_{latency}_ms``."""
    done = [(record, record.sent_s) for record in successes(records) if record.sent_s is not None]
    values = {
        "ttft": [record.token_times_s[0] - sent_s for record, sent_s in done if record.token_times_s],
        "e2el": [record.done_s - sent_s for record, sent_s in done if record.done_s is not None],
    }
    return {
        f"from_send_{key}": value
        for name, values_s in values.items()
        for key, value in statistics(name, np.asarray(values_s) * 1e3).items()
    }


def counts_of(records: Sequence[RequestRecord]) -> dict[str, int]:
    """Count what the metrics leave out or take on trust: failures by kind (``error_…``), cancellations, odd usage.

    ``usage_missing`` successes have no count of tokens from the server, ``usage_mismatch`` ones another than asked
    for; ``tpot_left_out`` ones have no TPOT; ``cancelled`` requests were given up by their user.
    """
    done = successes(records)
    errors = Counter(f"error_{record.error}" for record in records if record.error not in {None, CANCELLED})
    return {
        "usage_missing": sum(record.usage is None for record in done),
        "usage_mismatch": sum(_mismatched(record) for record in done),
        "tpot_left_out": sum(tpot_s(record) is None for record in done),
        CANCELLED: sum(record.error == CANCELLED for record in records),
        **dict(sorted(errors.items())),
    }


def tokens_of(records: Sequence[RequestRecord]) -> dict[str, float]:
    """Tokens of the successes: totals as the server counted them, and how many came with each event of content.

    ``tokens_per_event`` above 1 says that the server sends several tokens at once: ITL then is spread over them.
    """
    usages = [(record, record.usage) for record in successes(records) if record.usage is not None]
    totals: dict[str, float] = {
        "total_input_tokens": sum(usage.prompt_tokens for _, usage in usages),
        "total_output_tokens": sum(usage.completion_tokens for _, usage in usages),
    }
    streamed = [
        (len(record.token_times_s), usage.completion_tokens) for record, usage in usages if record.token_times_s
    ]
    if streamed:
        totals["tokens_per_event"] = sum(tokens for _, tokens in streamed) / sum(events for events, _ in streamed)
    return totals


def successes(records: Iterable[RequestRecord]) -> list[RequestRecord]:
    """The requests that were answered in full."""
    return [record for record in records if record.error is None]


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


def current_latencies_ms(recent: Iterable[RequestRecord]) -> tuple[float | None, float | None]:
    """Median TTFT and TPOT of a few successes: quick enough for a look in the middle of a load."""
    latencies = [request_latencies_s(record) for record in recent]
    ttfts_s, tpots_s = ([one[name] for one in latencies if name in one] for name in ("ttft", "tpot"))
    return (median(ttfts_s) * 1e3 if ttfts_s else None), (median(tpots_s) * 1e3 if tpots_s else None)


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
        rates["request_goodput"] = sum(is_good(request_latencies_s(record), goodput) for record in done)
    return {"duration_s": duration_s, **{name: amount / duration_s for name, amount in rates.items()}}


def is_good(latencies_s: Mapping[str, float], goodput: Sequence[Limit]) -> bool:
    """Whether every limit holds; a latency the request does not have cannot break one."""
    return all(latencies_s.get(limit.latency, 0.0) * 1e3 <= limit.at_most_ms for limit in goodput)


def statistics(name: str, values_ms: Floats) -> dict[str, float]:
    """Mean, median, standard deviation and percentiles of a latency's samples, by the metrics' names."""
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
