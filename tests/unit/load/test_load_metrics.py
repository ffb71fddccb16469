from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.errors import LoadError
from scoot_ray.load.goodput import Limit, parse_goodput
from scoot_ray.load.metrics import (
    counts_of,
    current_latencies_ms,
    from_send_metrics,
    itl_s,
    metrics_of,
    tokens_of,
    tpot_s,
)
from scoot_ray.load.trace import CANCELLED, RequestRecord, Usage

STATISTICS = ("mean", "median", "std", "p50", "p90", "p95", "p99")


def success(index: int, at_s: float, ttft_s: float, gaps_s: list[float], tokens: int | None = None) -> RequestRecord:
    times_s = tuple((at_s + ttft_s + np.concatenate([[0.0], np.cumsum(gaps_s)])).tolist())
    return RequestRecord(
        index=index,
        scheduled_s=at_s,
        sent_s=at_s + 0.001,
        token_times_s=times_s,
        done_s=times_s[-1] + 0.002,
        status=200,
        usage=Usage(11, len(times_s) if tokens is None else tokens),
        input_tokens=11,
        output_tokens=len(times_s) if tokens is None else tokens,
    )


def failure(index: int, at_s: float, error: str = "http_503") -> RequestRecord:
    return RequestRecord(index=index, scheduled_s=at_s, sent_s=at_s, error=error, token_times_s=(at_s + 1e-9,))


times = st.floats(0.001, 5.0)
records = st.lists(st.tuples(times, times, st.lists(times, max_size=6), st.booleans()), max_size=12).map(
    lambda rows: [
        success(i, 100 + at, ttft, gaps) if ok else failure(i, 100 + at) for i, (at, ttft, gaps, ok) in enumerate(rows)
    ]
)


def test_one_request_by_hand() -> None:
    metrics = metrics_of([success(0, 10.0, 0.5, [0.1, 0.3])], offered_s=2.0)
    assert metrics["mean_ttft_ms"] == pytest.approx(500)
    assert metrics["mean_tpot_ms"] == pytest.approx(200)
    assert metrics["p99_itl_ms"] == pytest.approx(100 + 0.99 * 200)
    assert metrics["mean_e2el_ms"] == pytest.approx(902)
    assert metrics["duration_s"] == pytest.approx(0.901)
    assert metrics["request_throughput"] == pytest.approx(1 / 0.901)
    assert metrics["output_throughput"] == pytest.approx(3 / 0.901)
    assert metrics["total_token_throughput"] == pytest.approx(14 / 0.901)
    assert metrics["offered_rate"] == 0.5
    assert (metrics["completed"], metrics["failed"], metrics["error_rate"]) == (1, 0, 0.0)
    assert from_send_metrics([success(0, 10.0, 0.5, [0.1])])["from_send_mean_ttft_ms"] == pytest.approx(499)


@given(records)
def test_metrics_are_finite_or_absent_and_never_about_failures(rows: list[RequestRecord]) -> None:
    metrics = metrics_of(rows, offered_s=10.0, goodput=(Limit("ttft", 1000.0),))
    assert all(math.isfinite(value) for value in metrics.values())
    done = [row for row in rows if row.error is None]
    assert metrics["completed"] + metrics["failed"] == len(rows)
    assert metrics == pytest.approx(metrics_of(rows[::-1], offered_s=10.0, goodput=(Limit("ttft", 1000.0),)))
    latencies = {name: value for name, value in metrics.items() if name.endswith("_ms")}
    assert latencies == {name: value for name, value in metrics_of(done).items() if name.endswith("_ms")}
    assert ("mean_ttft_ms" in metrics) == ("request_goodput" in metrics) == bool(done)
    if done:
        assert 0 <= metrics["request_goodput"] <= metrics["request_throughput"]
        ttfts = [(row.token_times_s[0] - row.scheduled_s) * 1e3 for row in done]
        for rank in (50, 90, 95, 99):
            assert metrics[f"p{rank}_ttft_ms"] == pytest.approx(np.quantile(ttfts, rank / 100, method="linear"))


@given(st.lists(times, min_size=1, max_size=8), st.integers(2, 40))
def test_token_latencies_add_up_to_the_stream(gaps_s: list[float], tokens: int) -> None:
    record = success(0, 0.0, 0.1, gaps_s, tokens)
    assert itl_s(record).sum() == pytest.approx(sum(gaps_s))
    assert len(itl_s(record)) == max(tokens - 1, len(gaps_s))
    assert tpot_s(record) == pytest.approx(sum(gaps_s) / (tokens - 1))


def test_outputs_without_a_tpot_are_left_out_and_counted() -> None:
    one_token, one_event, usual = success(0, 0, 1, []), success(1, 0, 1, [], tokens=9), success(2, 0, 1, [0.1, 0.1])
    metrics = metrics_of([one_token, one_event, usual])
    assert metrics["mean_tpot_ms"] == pytest.approx(100)
    assert counts_of([one_token, one_event, usual])["tpot_left_out"] == 2
    alone = metrics_of([one_token])
    assert "mean_ttft_ms" in alone
    assert not [name for name in alone if "tpot" in name or "itl" in name]


def test_nothing_and_failures_alone_have_no_latencies() -> None:
    assert metrics_of([]) == {"completed": 0, "failed": 0}
    assert metrics_of([failure(0, 1.0), failure(1, 1.0)]) == {"completed": 0, "failed": 2, "error_rate": 1.0}


def test_failures_count_against_goodput_and_throughput() -> None:
    rows = [success(0, 0.0, 0.4, [0.1]), success(1, 0.0, 0.6, [0.1]), failure(2, 0.0)]
    metrics = metrics_of(rows, goodput=parse_goodput(["ttft:500ms", "tpot:150 e2el:1s"]))
    assert metrics["request_goodput"] * metrics["duration_s"] == pytest.approx(1)
    assert metrics["request_throughput"] * metrics["duration_s"] == pytest.approx(2)


def test_all_promised_names() -> None:
    metrics = metrics_of([success(0, 0.0, 0.4, [0.1])], offered_s=1.0, goodput=parse_goodput(["ttft:1s"]))
    names = {f"{statistic}_{latency}_ms" for statistic in STATISTICS for latency in ("ttft", "tpot", "itl", "e2el")}
    names |= {"request_throughput", "output_throughput", "total_token_throughput", "request_goodput"}
    assert set(metrics) == names | {"completed", "failed", "error_rate", "duration_s", "offered_rate"}


def test_tokens_nobody_counted_make_no_token_throughput() -> None:
    uncounted = replace(success(0, 0.0, 0.4, [0.1, 0.1]), usage=None)
    metrics = metrics_of([uncounted, success(1, 0.0, 0.4, [0.1])])
    assert "output_throughput" not in metrics
    assert metrics["mean_tpot_ms"] == pytest.approx(100)
    assert counts_of([uncounted])["usage_missing"] == 1


def test_odd_usage_and_errors_are_counted_by_kind() -> None:
    rows = [
        replace(success(0, 0.0, 0.4, [0.1]), output_tokens=5),
        replace(success(1, 0.0, 0.4, [0.1]), input_tokens=12),
        replace(success(2, 0.0, 0.4, [0.1]), input_tokens=None),
        failure(3, 0.0, "cut"),
        failure(4, 0.0, "cut"),
    ]
    counts = counts_of(rows)
    assert counts["usage_mismatch"] == 2
    assert counts["error_cut"] == 2


def test_a_cancelled_request_is_counted_and_neither_good_nor_bad() -> None:
    rows = [success(0, 0.0, 0.4, [0.1]), failure(1, 0.0), failure(2, 0.0, CANCELLED)]
    metrics = metrics_of(rows, offered_s=1.0, goodput=parse_goodput(["ttft:500ms"]))
    assert (metrics["completed"], metrics["failed"], metrics["error_rate"]) == (1, 1, 0.5)
    assert metrics["offered_rate"] == 3
    counts = counts_of(rows)
    assert counts["cancelled"] == 1
    assert "error_cancelled" not in counts
    assert metrics_of(rows[2:]) == {"completed": 0, "failed": 0}


def test_an_answer_that_was_not_streamed_has_the_whole_latency_alone() -> None:
    whole = replace(success(0, 0.0, 0.4, [0.1]), token_times_s=())
    metrics = metrics_of([whole])
    assert metrics["mean_e2el_ms"] == pytest.approx(502)
    assert not [name for name in metrics if any(latency in name for latency in ("ttft", "tpot", "itl"))]
    assert from_send_metrics([whole])["from_send_mean_e2el_ms"] == pytest.approx(501)
    assert "tokens_per_event" not in tokens_of([whole])
    assert current_latencies_ms([whole]) == (None, None)


def test_tokens_are_the_servers_count_over_successes() -> None:
    paired = success(0, 0.0, 0.4, [0.1] * 3, tokens=8)
    assert tokens_of([paired, failure(1, 0.0)]) == {
        "total_input_tokens": 11,
        "total_output_tokens": 8,
        "tokens_per_event": 2.0,
    }
    ttft_ms, tpot_ms = current_latencies_ms([paired])
    assert ttft_ms == pytest.approx(400)
    assert tpot_ms == pytest.approx(300 / 7)


def test_goodput_is_read_in_every_promised_form() -> None:
    assert parse_goodput(["ttft:500ms tpot:50ms e2el:10s"]) == (
        Limit("ttft", 500.0),
        Limit("tpot", 50.0),
        Limit("e2el", 10_000.0),
    )
    assert parse_goodput(["tpot:50", "ttft:.5s"]) == (Limit("tpot", 50.0), Limit("ttft", 500.0))
    assert parse_goodput([]) == ()


@pytest.mark.parametrize(
    "text", ["ttft", "ttft:", "itl:5", "ttft:-1", "ttft:0", "ttft:5m", "ttft:5ms;x", "ttft:1 ttft:2"]
)
def test_bad_goodput_is_refused(text: str) -> None:
    with pytest.raises(LoadError, match="goodput: "):
        parse_goodput([text])
