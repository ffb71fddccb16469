from __future__ import annotations

import importlib.util
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from scoot_ray.load.audit import Vitals, audit
from scoot_ray.load.errors import LoadError
from scoot_ray.load.figures.bottleneck import explain
from scoot_ray.load.figures.goodput import parse_goodput
from scoot_ray.load.figures.intervals import intervals_of
from scoot_ray.load.figures.metrics import metrics_of
from scoot_ray.load.figures.outputs import (
    check_outputs,
    record_row,
    replay_document,
    vllm_result,
    write_json,
    write_records,
)
from scoot_ray.load.figures.progress import plain, progress_on, state
from scoot_ray.load.figures.tables import show
from scoot_ray.load.hooks import Progress
from scoot_ray.load.measure import Measurement
from scoot_ray.load.replay import ReplayResult
from scoot_ray.load.selection import Selection
from scoot_ray.load.trace import RequestRecord
from scoot_ray.load.warmup import WarmupReport
from tests.unit.load.test_bottleneck import window
from tests.unit.load.test_load_metrics import failure, success

# The keys of one file that `vllm bench serve --save-result --percentile-metrics ttft,tpot,itl,e2el` (0.32) wrote.
VLLM_KEYS = {
    "date", "endpoint_type", "backend", "label", "model_id", "tokenizer_id", "num_prompts", "request_rate",
    "burstiness", "max_concurrency", "duration", "completed", "failed", "total_input_tokens", "total_output_tokens",
    "request_throughput", "request_goodput", "output_throughput", "total_token_throughput", "max_output_tokens_per_s",
    "max_concurrent_requests", "rtfx",
    *(f"{statistic}_{latency}_ms" for statistic in ("mean", "median", "std", "p99")
      for latency in ("ttft", "tpot", "itl", "e2el")),
}  # fmt: skip


def measured(*records: RequestRecord) -> Measurement:
    metrics = metrics_of(records, offered_s=2.0, goodput=parse_goodput(["ttft:1s"]))
    vitals = (Vitals(np.array([0.001]), np.empty(0), cpu_s=0.25, elapsed_s=2.5),)
    result = ReplayResult(records, audit(records, vitals), vitals, load_s=2.0, drain_s=0.5)
    return Measurement(metrics, result, WarmupReport(sent=8), notes=("a note",), server=window(*[(9, 9, 0.5)] * 8))


MIXED = measured(*(success(i, 10.0 + i, 0.2 + i / 100, [0.1, 0.1]) for i in range(12)), failure(12, 11.0))


def test_the_document_has_the_promised_shape_and_explains_itself() -> None:
    document = replay_document(MIXED, intervals_of(MIXED.replay.records), explain(MIXED.server))
    assert set(document) == {"requests", "summary", "valid"}
    summary = document["summary"]
    assert (summary["completed"], summary["error_http_503"], summary["warmup_requests"]) == (12, 1, 8)
    assert summary["tokens_per_event"] == 1
    assert summary["client_cpu_share"] == 0.1
    low, high = summary["intervals"]["p95_ttft_ms"]
    assert low <= summary["p95_ttft_ms"] <= high
    assert summary["bound_by"] == "sequences"
    assert summary["server"]["running_max"] == 9
    json.dumps(document, allow_nan=False)


def test_a_server_without_an_account_leaves_no_trace_in_the_document() -> None:
    summary = replay_document(MIXED, {}, None)["summary"]
    assert not {"server", "bound_by", "because"} & set(summary)


def test_the_saved_result_has_vllms_keys_and_counts_from_the_sending() -> None:
    result = vllm_result(MIXED, "m", rate=6.5, burstiness=1.0)
    assert set(result) >= VLLM_KEYS
    assert (result["num_prompts"], result["completed"], result["failed"]) == (13, 12, 1)
    assert result["mean_ttft_ms"] == pytest.approx(result["from_schedule_mean_ttft_ms"] - 1)
    assert result["mean_tpot_ms"] == pytest.approx(100)
    assert (result["max_output_tokens_per_s"], result["max_concurrent_requests"]) == (3.0, 1)
    json.dumps(result, allow_nan=False)


def test_a_saved_result_of_failures_alone_has_all_keys_and_no_false_zeros() -> None:
    result = vllm_result(measured(failure(0, 1.0)), "m", rate=None, burstiness=1.0)
    assert set(result) >= VLLM_KEYS
    assert result["mean_ttft_ms"] is None
    assert result["duration"] is None
    assert result["request_rate"] == "inf"


def test_records_are_a_line_each(tmp_path: Path) -> None:
    out = tmp_path / "records.jsonl"
    write_records(str(out), MIXED.replay.records)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 13
    assert rows[0]["ttft_ms"] == pytest.approx(200)
    assert rows[0]["completion_tokens"] == len(rows[0]["ev"]) == 3
    assert (rows[12]["error"], rows[12]["ttft_ms"], rows[12]["done"]) == ("http_503", None, None)
    assert all(row.keys() == rows[0].keys() for row in rows)
    classed = record_row(replace(MIXED.replay.records[0], request_class="batch", waited_s=0.25))
    assert (classed["request_class"], classed["waited_ms"]) == ("batch", 250)
    assert classed.keys() == rows[0].keys()


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow (extra: parquet) is not installed")
def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    out = tmp_path / "records.parquet"
    for records in (MIXED.replay.records, ()):
        write_records(str(out), records)
        assert pq.read_table(out).to_pylist() == [record_row(record) for record in records]


def test_parquet_without_its_library_is_refused_before_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(LoadError, match=r"records: r\.parquet: Parquet needs pyarrow; pip install 'scoot-ray\[parquet"):
        check_outputs(None, "r.parquet", None)


@pytest.mark.parametrize(
    ("outs", "words"),
    [
        (("nowhere/x.json", None, None), "json: nowhere/x.json: its folder cannot be written to"),
        ((None, "nowhere/x.jsonl", None), "records: nowhere/x.jsonl: its folder"),
        ((None, None, "nowhere/x.json"), "save_result: nowhere/x.json: its folder"),
        ((None, None, "-/x"), "save_result: -/x: its folder"),
        ((None, "x.csv", None), "records: x.csv; allowed names that end in .jsonl or .parquet"),
    ],
)
def test_what_cannot_be_written_is_refused_before_the_load(
    outs: tuple[str | None, str | None, str | None], words: str
) -> None:
    with pytest.raises(LoadError) as caught:
        check_outputs(*outs)
    assert words in str(caught.value)


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"json: .* cannot be written: Is a directory"):
        write_json(str(tmp_path), {})
    with pytest.raises(LoadError, match=r"records: .* cannot be written: Is a directory"):
        write_records(str(tmp_path), ())


def test_the_table_shows_figures_with_intervals_and_what_bound() -> None:
    console = Console(file=io.StringIO(), width=120)
    show(console, MIXED, Selection((), dropped=3), intervals_of(MIXED.replay.records), explain(MIXED.server))
    text = console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    low, high = intervals_of(MIXED.replay.records)["mean_ttft_ms"]
    assert f"{low:.0f}–{high:.0f}" in text
    for words in ("completed 12", "error_http_503 1", "3 dropped", "note: a note", "bound by: sequences: "):
        assert words in text


def progress(elapsed_s: float) -> Progress:
    return Progress(planned=9, sent=5, completed=3, failed=1, elapsed_s=elapsed_s, ttft_ms=120.4, tpot_ms=9.6)


def test_progress_says_what_is_under_way_and_the_latencies_of_now() -> None:
    assert state(progress(1.0)) == "1 under way, 1 failed, TTFT 120 ms, TPOT 10 ms"
    assert state(Progress(9, 2, 0, 0, 1.0)) == "2 under way"


def test_without_a_terminal_progress_is_a_plain_line_now_and_then() -> None:
    console = Console(file=io.StringIO(), width=120)
    show_line = plain(console, "replaying")
    for elapsed_s in (0.1, 9.9, 10.0, 10.1, 19.0, 20.5):
        show_line(progress(elapsed_s))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # a StringIO
    assert [line.split(":")[0] for line in lines] == ["replaying, 10 s", "replaying, 20 s"]


def test_on_a_terminal_progress_is_live_and_leaves_nothing_behind() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with progress_on(console, "at 5 requests/s") as on_progress:
        on_progress(progress(1.0))
    assert "at 5 requests/s" in console.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
