"""Any stream that a server may write, cut anywhere and whole in time: no false success, no false failure, ever."""

from __future__ import annotations

import base64
import json
from collections import Counter
from dataclasses import dataclass
from itertools import cycle, islice, pairwise
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from scoot_ray.load.metrics import counts_of, metrics_of
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.trace import CANCELLED, RequestRecord
from tests.contract.golden import CLOSE_S, FAULTS, HARMLESS, Golden, call, fly, plan_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
FULL_STREAM = 10_000


@dataclass(frozen=True)
class Part:
    """One piece of a stream's text, and what it says."""

    text: str
    tokens: int = 0
    says: str | None = None


def event(payload: object) -> str:
    return f"data: {json.dumps(payload, ensure_ascii=False)}\n\n"


def choice(text: str, **other: Any) -> str:
    return event({"id": "c", "choices": [{"index": 0, "text": text, "finish_reason": None, **other}], "usage": None})


texts = st.one_of(st.text(min_size=1, max_size=6), st.sampled_from(["日本", '"', "\\", 'data: [DONE]\n\n{"error": 1}']))
contents = texts.map(lambda text: Part(choice(text), tokens=1))
noises = st.sampled_from(
    [
        Part(": ping\n\n"), Part(":\n"),
        Part("event: ping\ndata: {}\n\n"), Part("id: 7\nretry: 10\n\n"), Part(choice("")),
        Part(event({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}})),
        Part(event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})),
    ]
)  # fmt: skip
faults = st.sampled_from(
    [
        Part(event({"error": {"message": "no"}}), says="in_stream"),
        Part(event({"object": "error", "message": "no"}), says="in_stream"),
        Part('event: error\ndata: "no"\n\n', says="in_stream"),
        Part(choice("", finish_reason="abort"), says="in_stream"),
        Part("data: [DONE]\n\n", says="done"),
    ]
)


@dataclass(frozen=True)
class Script:
    """The writes of one answer, its verdict, and which write completes each token."""

    writes: list[tuple[float, bytes]]
    end: str
    error: str | None
    token_writes: list[int]

    def behaviour(self) -> dict[str, Any]:
        return {
            "writes": [[delay_s, base64.b64encode(data).decode()] for delay_s, data in self.writes],
            "end": self.end,
        }


def verdict(parts: list[Part]) -> tuple[str | None, int]:
    """Say what a stream of these parts is, and how many of its tokens count."""
    tokens = 0
    for part in parts:
        if part.says == "done":
            return (None if tokens else "empty"), tokens
        if part.says is not None:
            return part.says, tokens
        tokens += part.tokens
    return "cut", tokens


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    parts = draw(st.lists(st.one_of(contents, contents, noises), max_size=12))
    parts += draw(
        st.one_of(st.just([Part("data: [DONE]\n\n", says="done")]), st.lists(st.one_of(faults, noises), max_size=3))
    )
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    encoded = [part.text.replace("\n", newline).encode() for part in parts]
    body = b"".join(encoded)
    end = draw(st.sampled_from(["keep", "close", "abort"]))
    chunks = _cut(draw, body)
    frames = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks if chunk]
    complete = end == "keep" or draw(st.booleans())
    head = HEAD + (b"\r\n" if end == "keep" else b"Connection: close\r\n\r\n")
    wire = head + b"".join(frames) + (b"0\r\n\r\n" if complete else b"")
    writes = [(draw(st.sampled_from([0.0, 0.0, 0.002])), data) for data in _cut(draw, wire) if data]
    error, tokens = verdict(parts)
    if end == "abort" and error is not None:
        writes.append((0.05, b""))  # or the reset may overtake what was written
    ends = _ends(encoded, parts)[:tokens]
    return Script(writes, end, error, [_write_of(len(head) + _on_wire(at, frames, chunks), writes) for at in ends])


def _cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in pairwise([0, *places, len(data)])]


def _ends(encoded: list[bytes], parts: list[Part]) -> list[int]:
    """Where in the body each token's event is complete."""
    at, ends = 0, []
    for data, part in zip(encoded, parts, strict=True):
        at += len(data)
        ends += [at] * part.tokens
    return ends


def _on_wire(at: int, frames: list[bytes], chunks: list[bytes]) -> int:
    """How many bytes behind the head must have been written for the body's first ``at`` to be there."""
    wire = 0
    for frame, chunk in zip(frames, [chunk for chunk in chunks if chunk], strict=True):
        if at <= len(chunk):
            return wire + len(frame) - len(chunk) - 2 + at
        at -= len(chunk)
        wire += len(frame)
    return wire


def _write_of(wire: int, writes: list[tuple[float, bytes]]) -> int:
    for number, (_, data) in enumerate(writes):
        wire -= len(data)
        if wire <= 0:
            return number
    raise AssertionError("the token was never written")


@settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each example is a replay: shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(scripts(), min_size=20, max_size=20))
def test_every_stream_gets_its_verdict_and_its_times(golden: Golden, streams: list[Script]) -> None:
    golden.script(**{f"_{number}": script.behaviour() for number, script in enumerate(streams)})
    records = fly(golden.target(timeout_s=20.0), plan_of(len(streams), gap_s=0.002)).records
    log = golden.log()
    for script, record in zip(streams, records, strict=True):
        sent_s = log[str(record.index)]["sent"]
        if script.end == "abort" and record.error == "cut":  # a reset may overtake what was written before it
            continue
        assert record.error == script.error, script
        assert len(record.token_times_s) == len(script.token_writes), script
        for seen_s, write in zip(record.token_times_s, script.token_writes, strict=True):
            assert -1e-3 <= seen_s - sent_s[write] < CLOSE_S
        assert (record.done_s is None) == (record.error is not None)


def test_ten_thousand_requests_are_all_accounted_for(golden: Golden) -> None:
    """Half of them well, half of them badly; of the ones that hang, half have users who go away."""
    quick = [name for name in FAULTS if name not in {"hang", "stall", "stall_with_pings"}]
    good = [name for name in HARMLESS if name not in {"reasoning", "split", "open_end", "slow_head"}]
    mixed = [name for pair in zip(cycle(good), quick * 8, strict=False) for name in pair]
    mixed += ["hang", "stall", "stall_with_pings", "open_end", "slow_head"]
    behaviours = list(islice(cycle(mixed), FULL_STREAM))
    golden.script(**{f"_{index}": name for index, name in enumerate(behaviours)})
    gone = {index for index, name in enumerate(behaviours) if name == "hang" and index % 2}
    plan = [
        ScheduledCall(index, index / 1000, call(index, tokens=2, cancel_after_s=1.0 if index in gone else None))
        for index in range(FULL_STREAM)
    ]
    records = fly(golden.target(timeout_s=15.0, stall_s=4.0), plan, drain_s=120.0).records
    log = golden.log()
    assert len(log) == FULL_STREAM
    for record, behaviour in zip(records, behaviours, strict=True):
        expected = CANCELLED if record.index in gone else FAULTS.get(behaviour)
        assert record.error == expected, behaviour
        if expected is None:
            _check_times(record, log[str(record.index)]["sent"])
    _check_sums(records, Counter(record.error for record in records))


def _check_times(record: RequestRecord, sent_s: list[float]) -> None:
    assert len(record.token_times_s) == len(sent_s)
    assert all(seen_s >= at_s - 1e-3 for seen_s, at_s in zip(record.token_times_s, sent_s, strict=True))


def _check_sums(records: tuple[RequestRecord, ...], errors: Counter[str | None]) -> None:
    metrics, counts = metrics_of(records), counts_of(records)
    assert metrics["completed"] == errors[None]
    assert counts["cancelled"] == errors[CANCELLED]
    assert metrics["failed"] == FULL_STREAM - errors[None] - errors[CANCELLED]
    assert sum(count for name, count in counts.items() if name.startswith("error_")) == metrics["failed"]
