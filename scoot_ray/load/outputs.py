"""What a replay leaves in files: the JSON document, a record per request, and a result as ``vllm bench serve`` has it.

Files are checked before the load and written after it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from scoot_ray.load.bottleneck import ServerReport
from scoot_ray.load.errors import LoadError
from scoot_ray.load.intervals import Interval
from scoot_ray.load.measure import Measurement
from scoot_ray.load.metrics import counts_of, from_send_metrics, request_latencies_s, successes, tokens_of
from scoot_ray.load.records import record_to_json
from scoot_ray.load.trace import RequestRecord

Json: TypeAlias = dict[str, Any]

PARQUET = ".parquet"
_RECORD_SUFFIXES = (".jsonl", PARQUET)


def check_outputs(json_out: str | None, records_out: str | None, result_out: str | None) -> None:
    """Find out before the load what could not be written after it.

    Raises:
        LoadError: a folder that cannot be written to, a format that is not known, or one whose library is missing.
    """
    for option, out in (("json", json_out), ("records", records_out), ("save_result", result_out)):
        if out is not None and not (option == "json" and out == "-") and not os.access(Path(out).parent, os.W_OK):
            raise LoadError(f"{option}: {out}: its folder cannot be written to; allowed a writable path")
    if records_out is None:
        return
    if Path(records_out).suffix not in _RECORD_SUFFIXES:
        raise LoadError(f"records: {records_out}; allowed names that end in {' or '.join(_RECORD_SUFFIXES)}")
    if records_out.endswith(PARQUET) and importlib.util.find_spec("pyarrow") is None:
        raise LoadError(
            f"records: {records_out}: Parquet needs pyarrow; pip install 'scoot-ray[parquet]', or use .jsonl"
        )


def replay_document(measurement: Measurement, intervals: dict[str, Interval], server: ServerReport | None) -> Json:
    """Every request's times (absolute ``time.monotonic`` seconds) and the summary.

    The summary is numbers by name, but for ``intervals`` (low and high of 95%), ``server`` (the engine's own account)
    and ``bound_by``.
    """
    audit = measurement.replay.audit
    records = measurement.replay.records
    own = {
        **asdict(audit),
        "delayed_turns": measurement.delayed_turns,
        "reused": measurement.reused,
        "warmup_requests": measurement.warmup.sent,
    }
    summary: Json = {
        **measurement.metrics,
        **from_send_metrics(records),
        **tokens_of(records),
        **counts_of(records),
        **{name: value for name, value in own.items() if isinstance(value, int | float)},
        "intervals": {name: list(interval) for name, interval in intervals.items()},
    }
    if server is not None:
        summary |= {"server": dict(server.figures), "bound_by": server.bound_by, "because": server.because}
    return {
        "requests": [record_to_json(record) for record in records],
        "summary": summary,
        "valid": audit.valid,
    }


def write_json(out: str, document: Json, option: str = "json") -> None:
    """Write a document to a path, or to stdout for ``-``. Raises LoadError where that fails."""
    text = json.dumps(document, allow_nan=False) + "\n"
    if out == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        Path(out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise LoadError(f"{option}: {out}: cannot be written: {error.strerror}; allowed a writable path") from error


def record_row(record: RequestRecord) -> Json:
    """One request as a row: ``record_to_json`` flattened, what was asked, and its latencies in ms (None: has none)."""
    latencies_s = request_latencies_s(record) if record.error is None else {}
    whole = record_to_json(record)
    usage = whole.pop("usage") or {}
    whole.pop("class", None)
    return {
        **whole,
        "request_class": record.request_class,
        "waited_ms": record.waited_s * 1e3,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
        "replica": record.replica,
        **{f"{name}_ms": _ms(latencies_s.get(name)) for name in ("ttft", "tpot", "e2el")},
    }


def write_records(out: str, records: Sequence[RequestRecord]) -> None:
    """Write ``record_row`` of each request as JSON lines or Parquet, by the name's ending.

    Raises:
        LoadError: the file cannot be written.
    """
    rows = [record_row(record) for record in records]
    try:
        if out.endswith(PARQUET):
            _write_parquet(out, rows)
        else:
            Path(out).write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows), encoding="utf-8")
    except OSError as error:
        raise LoadError(f"records: {out}: cannot be written: {error.strerror}; allowed a writable path") from error


def _write_parquet(out: str, rows: Sequence[Json]) -> None:
    import pyarrow as pa  # noqa: PLC0415 - an extra: most installations do not have it
    import pyarrow.parquet as pq  # noqa: PLC0415 - the same

    integers = ("i", "status", "input_tokens", "output_tokens", "prompt_tokens", "completion_tokens", "replica")
    texts = ("error", "request_class")
    kinds = {"ev": pa.list_(pa.float64()), **dict.fromkeys(texts, pa.string()), **dict.fromkeys(integers, pa.int64())}
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in record_row(_ANY)])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), out)


_ANY = RequestRecord(index=0, scheduled_s=0.0, sent_s=None)  # names the columns of a file without rows


def vllm_result(measurement: Measurement, model: str, rate: float | None, burstiness: float) -> Json:
    """The document that ``vllm bench serve --save-result`` writes, by its keys, for tools that read those.

    TTFT and E2EL count from the sending, as there; ours, from the scheduled time, stand beside them as
    ``from_schedule_…``. What cannot be computed is null.
    """
    records, metrics = measurement.replay.records, measurement.metrics
    tokens = tokens_of(records)
    peak_tokens_per_s, peak_requests = _peaks(records)
    from_send = {name.removeprefix("from_send_"): value for name, value in from_send_metrics(records).items()}
    latencies = {name: value for name, value in metrics.items() if name.endswith("_ms")}
    return {
        "date": datetime.now().astimezone().strftime("%Y%m%d-%H%M%S"),
        "endpoint_type": "openai",
        "backend": "openai",
        "label": None,
        "model_id": model,
        "tokenizer_id": model,
        "num_prompts": len(records),
        "request_rate": "inf" if rate is None else rate,
        "burstiness": burstiness,
        "max_concurrency": None,
        "duration": metrics.get("duration_s"),
        "completed": metrics["completed"],
        "failed": metrics["failed"],
        "total_input_tokens": tokens["total_input_tokens"],
        "total_output_tokens": tokens["total_output_tokens"],
        **{name: metrics.get(name) for name in _RATES},
        "max_output_tokens_per_s": peak_tokens_per_s,
        "max_concurrent_requests": peak_requests,
        "rtfx": 0.0,
        **dict.fromkeys(_LATENCY_KEYS),
        **latencies,
        **from_send,
        **{f"from_schedule_{name}": value for name, value in latencies.items() if name in from_send},
    }


_RATES = ("request_throughput", "request_goodput", "output_throughput", "total_token_throughput")
_LATENCY_KEYS = tuple(
    f"{statistic}_{latency}_ms"
    for latency in ("ttft", "tpot", "itl", "e2el")
    for statistic in ("mean", "median", "std", "p99")
)


def _peaks(records: Sequence[RequestRecord]) -> tuple[float, int]:
    """Most events of content, and most requests under way, in any one second from the first sending on."""
    done = [record for record in successes(records) if record.sent_s is not None and record.done_s is not None]
    if not done:
        return 0.0, 0
    sent_s = np.array([record.sent_s for record in done])
    start_s = sent_s.min()
    first, last = ((times - start_s).astype(int) for times in (sent_s, np.array([record.done_s for record in done])))
    under_way = np.zeros(last.max() + 2, dtype=int)
    np.add.at(under_way, first, 1)
    np.add.at(under_way, last + 1, -1)
    events_s = np.concatenate([record.token_times_s for record in done])
    per_second = np.bincount((events_s - start_s).astype(int)) if len(events_s) else np.zeros(1)
    return float(per_second.max()), int(np.cumsum(under_way).max())


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
