from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from scoot_ray.load.errors import TraceError
from scoot_ray.load.formats import read_trace

REAL = Path(__file__).parents[4] / "shared" / "traces"
needs_real_traces = pytest.mark.skipif(not REAL.is_dir(), reason="the real traces are not beside the project")


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "trace"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def test_native_rows_are_sorted_and_start_at_zero(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        rows(
            {"timestamp": 2500, "input_length": 7, "output_length": 3, "hash_ids": [4, 5], "session": "a"},
            {"timestamp": 1000, "input_length": 8, "output_length": 2, "session_id": 12, "unknown": 1},
        ),
    )
    trace = read_trace(path)
    assert [request.timestamp_s for request in trace.requests] == [0.0, 1.5]
    assert [request.input_tokens for request in trace.requests] == [8, 7]
    assert [request.session for request in trace.requests] == ["12", "a"]
    assert trace.requests[1].hash_ids == (4, 5)
    assert trace.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert trace.source == str(path)


def test_text_rows_need_no_length(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    path = write(tmp_path, "\n" + rows({"prompt": "x", "output_length": 1}, {"messages": messages, "output_length": 2}))
    first, second = read_trace(path).requests
    assert (first.prompt, first.input_tokens) == ("x", None)
    assert second.messages == tuple(messages)


def test_azure_of_both_years(tmp_path: Path) -> None:
    old = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:17:03.9799600,4808,10\r\n"
    old += "2023-11-16 18:17:04.0319600,3180,8\r\n"
    new = "TIMESTAMP,ContextTokens,GeneratedTokens\n2024-05-10 02:00:00.009930+02:00,5,1\n2024-05-10 00:00:01,6,2\n"
    assert read_trace(write(tmp_path, old)).requests[1].timestamp_s == pytest.approx(0.052, abs=1e-5)
    requests = read_trace(write(tmp_path, new)).requests
    assert [request.input_tokens for request in requests] == [5, 6]
    assert requests[1].timestamp_s == pytest.approx(0.99007)


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = write(tmp_path, b"\xef\xbb\xbf" + rows({"input_length": 1, "output_length": 1}).encode())
    assert len(read_trace(path).requests) == 1


def test_a_limit_reads_the_first_rows_and_hashes_all(tmp_path: Path) -> None:
    path = write(tmp_path, rows(*({"input_length": n, "output_length": 1} for n in range(1, 6))) + "no JSON here\n")
    trace = read_trace(path, limit=2)
    assert [request.input_tokens for request in trace.requests] == [1, 2]
    assert trace.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


GOOD = '{"input_length": 1, "output_length": 1}\n'
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "is empty"),
        ("\n \n", 1, "is empty"),
        (AZURE, 1, "no requests"),
        ("a,b,c\n1,2,3\n", 1, "allowed JSON lines of objects, an array"),
        ("[1]\n", 1, "is a JSON int; allowed an array of objects"),
        (GOOD + "{oops\n", 2, "is not JSON"),
        (GOOD + "[" * 100_000 + "\n", 2, "is not JSON"),
        (GOOD + "[1]\n", 2, "is a JSON list"),
        ('{"output_length": 1}\n', 1, "input_length: is missing"),
        ('{"input_length": 1}\n', 1, "output_length: is missing"),
        ('{"input_length": 0, "output_length": 1}\n', 1, "input_length: 0; allowed an integer from 1"),
        ('{"input_length": true, "output_length": 1}\n', 1, "input_length: true"),
        ('{"input_length": 1.5, "output_length": 1}\n', 1, "input_length: 1.5"),
        ('{"input_length": 1, "output_length": 99999999999}\n', 1, "output_length: 99999999999"),
        ('{"input_length": 1, "output_length": 1, "timestamp": NaN}\n', 1, "timestamp: NaN"),
        ('{"input_length": 1, "output_length": 1, "hash_ids": ["a"]}\n', 1, "hash_ids"),
        ('{"input_length": 1, "output_length": 1, "session": {}}\n', 1, "session"),
        ('{"prompt": "", "output_length": 1}\n', 1, "prompt: is empty"),
        ('{"messages": [{}], "output_length": 1}\n', 1, "objects with a role"),
        ('{"prompt": "a", "messages": [{"role": "user"}], "output_length": 1}\n', 1, "one of the two"),
        (AZURE + "2023-11-16 18:17:03,1\n", 2, "has 2 columns; allowed 3"),
        (AZURE + "yesterday,1,1\n", 2, "TIMESTAMP: is text of 9 characters"),
        (AZURE + "2023-11-16 18:17:03,1,0\n", 2, "GeneratedTokens: 0"),
        (AZURE + "2023-11-16 18:17:03,-1,5\n", 2, 'ContextTokens: "-1"'),
        (GOOD.encode() + b"\xff\n", 2, "is not UTF-8"),
    ],
)
def test_a_bad_row_is_named_in_one_line(tmp_path: Path, text: str | bytes, line: int, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: ")
    assert words in message
    assert "; allowed " in message
    assert "\n" not in message
    assert len(message) < len(str(path)) + 240


def test_unreadable_files_and_silly_limits(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(TraceError, match="cannot be read"):
            read_trace(path)
    with pytest.raises(TraceError, match="limit"):
        read_trace(write(tmp_path, GOOD), limit=0)


@needs_real_traces
def test_the_real_traces() -> None:
    azure = read_trace(REAL / "AzureLLMInferenceTrace_code.csv")
    assert len(azure.requests) == 8819
    assert azure.requests[1].timestamp_s == pytest.approx(0.052, abs=1e-5)
    mooncake = read_trace(REAL / "mooncake_synthetic_1000.jsonl")
    assert len(mooncake.requests) == 1000
    assert mooncake.requests[0].timestamp_s == 0.0
    assert all(len(r.hash_ids) == -(-(r.input_tokens or 0) // 512) for r in mooncake.requests)
