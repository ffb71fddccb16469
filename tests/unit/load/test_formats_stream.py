"""The reading itself: broken rows, arrays in pieces, what is written comes back, and no prompt in any error."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.errors import TraceError
from scoot_ray.load.formats import ReadOptions, TraceReader, source
from scoot_ray.load.formats.native import native_line, parse_native
from scoot_ray.load.formats.records import array_items
from scoot_ray.load.formats.source import Place, Source
from scoot_ray.load.trace import Request

GOOD = '{"input_length": 1, "output_length": 1}\n'
BROKEN = GOOD + '{"input_length": 1,\n' + GOOD + "\n\xff\n" + '{"output_length": 3}\n' + GOOD


def write(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_text(text, encoding="latin-1")
    return path


def test_broken_rows_are_left_out_counted_and_said(tmp_path: Path) -> None:
    reader = TraceReader(write(tmp_path, BROKEN), ReadOptions(max_broken=3))
    assert len(list(reader)) == reader.read == 3
    assert reader.broken == 3
    assert reader.first_errors[0].startswith(f"{reader.path}:2: line: is not JSON at column 20; allowed ")
    assert [error.split(":")[1] for error in reader.first_errors] == ["2", "5", "6"]
    assert reader.notes() == (f"{reader.path}: 3 broken rows are left out, such as {reader.first_errors[0]}",)
    assert len(list(reader)) == 3  # once more, from the beginning


def test_one_broken_row_too_many_is_refused(tmp_path: Path) -> None:
    reader = TraceReader(write(tmp_path, BROKEN), ReadOptions(max_broken=2))
    with pytest.raises(TraceError, match=r":6: input_length: is missing; .*\(broken rows: 3, allowed 2\)"):
        list(reader)


def test_a_broken_first_line_hides_no_format(tmp_path: Path) -> None:
    path = write(tmp_path, '{"prompt": "half\n{"prompt": "x", "output_tokens": 1}\n')
    reader = TraceReader(path, ReadOptions(max_broken=1))
    assert len(list(reader)) == 1
    assert reader.format == "vLLM custom"


def test_endless_lines_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD + '{"prompt": "' + "x" * 300 + '"}\n' + GOOD)
    with patch.object(source, "LONGEST_LINE_BYTES", 100):
        reader = TraceReader(path, ReadOptions(max_broken=1))
        assert len(list(reader)) == 2
        assert reader.first_errors[0].startswith(f"{path}:2: line: is longer than")


values = st.dictionaries(
    st.text(max_size=5),
    st.integers() | st.text(max_size=20) | st.lists(st.none() | st.text(max_size=3), max_size=3),
    max_size=4,
)


@given(st.lists(values, max_size=6), st.sampled_from([None, 0, 2]), st.booleans(), st.integers(1, 40))
def test_arrays_are_read_in_pieces(items: list[Any], indent: int | None, ascii_only: bool, block: int) -> None:
    data = f" \n{json.dumps(items, indent=indent, ensure_ascii=ascii_only)}\n".encode(errors="surrogatepass")
    with patch.object(source, "_BLOCK_BYTES", block):
        records = list(array_items(Source(io.BufferedReader(io.BytesIO(data)), "f")))
    assert [record[1] for record in records if not isinstance(record, TraceError)] == items
    places = [record[0].line for record in records if not isinstance(record, TraceError)]
    assert places == sorted(places)
    if indent is None:
        assert set(places) <= {2}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[\n{"conversations": []},\n{"id": \n', r":[34]: item: is not JSON at column"),
        ('[\n{"conversations": []}\n{"a": 1}]', ":3: item: is not JSON at column 1;"),
        ('[{"conversations": []},', ":1: item: is not JSON at column 24;"),
        ("[", ":1: item: is not JSON at column 2;"),
        ("[1]", ":1: item: is a JSON int"),
        ("[]", "has no requests"),
        ('[{"conversations": [{"from": "nobody", "value": "x"}]}]', "conversations: has a turn that is none"),
        ('[{"conversations": 5}]', "conversations: is missing or no list"),
        ("[" * 100_000, "item: is not JSON"),
    ],
)
def test_bad_arrays(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(TraceError, match=words):
        list(TraceReader(write(tmp_path, text)))


SECRET = "my account number is nobody's business"
LEAKY: list[Any] = [
    {"prompt": SECRET, "output_length": SECRET},
    {"prompt": [SECRET], "output_tokens": 1},
    {"prompt": SECRET, "messages": SECRET, "output_length": 1},
    {"timestamp": SECRET, "input_length": 1, "output_length": 1},
    {"input_length": 1, "output_length": 1, "hash_ids": SECRET},
    {"input_length": 1, "output_length": 1, "session": [SECRET]},
    {"input_length": 1, "output_length": 1, "sampling": {SECRET: 1}},
    {"input_length": 1, "output_length": 1, "sampling": {"stop": {SECRET: 1}}},
    {"custom_id": "a", "body": {"prompt": {"text": SECRET}, "max_tokens": 5}},
    {"custom_id": "a", "url": SECRET, "body": {"prompt": SECRET, "max_tokens": 5}},
    {"conversations": [{"from": SECRET, "value": SECRET}]},
    f'{{"prompt": "{SECRET}", "output_tokens": }}',
    f'{{"prompt": "\\q{SECRET}"}}',
    f'[{{"conversations": "{SECRET}"}}, {{"a": "{SECRET}" "b"}}]',
    f"Timestamp,Request tokens,Response tokens\n{SECRET},1,1",
    f"Timestamp,Request tokens,Response tokens\n1,{SECRET},1",
    f"TIMESTAMP,ContextTokens,GeneratedTokens\n{SECRET},1,1",
    f"{SECRET},2",
]


@pytest.mark.parametrize("row", LEAKY)
def test_no_error_quotes_text(tmp_path: Path, row: Any) -> None:
    path = write(tmp_path, row if isinstance(row, str) else json.dumps(row))
    with pytest.raises(TraceError) as caught:
        list(TraceReader(path))
    error: BaseException | None = caught.value
    while error is not None:
        assert not any(word in str(error) for word in ("account", "business"))
        error = error.__cause__


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
requests = st.builds(
    Request,
    st.integers(-(10**9), 10**12).map(lambda us: us / 1e6),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.lists(st.integers(0, 2**53), max_size=4).map(tuple),
    session=st.none() | texts,
    adapter=st.none() | texts,
    sampling=st.none() | st.fixed_dictionaries({"temperature": st.floats(0, 2), "seed": st.integers()}),
    cancel_after_s=st.none() | st.integers(1, 10**6).map(lambda ms: ms / 1e3),
    request_class=st.none() | texts,
)
texted = st.builds(
    Request,
    st.just(0.0),
    st.none() | st.integers(1, 9),
    st.integers(1, 9),
    prompt=texts,
)


@given(requests | texted)
def test_what_is_written_comes_back(request: Request) -> None:
    line = native_line(request)
    assert line.endswith("}\n")
    assert line.count("\n") == 1
    (back,) = parse_native(json.loads(line), Place("f", 1))
    assert back.timestamp_s == pytest.approx(request.timestamp_s, abs=1e-6)
    assert Request(request.timestamp_s, *[getattr(back, name) for name in Request.__slots__[1:]]) == request


FOREIGN_KEYS = ["timestamp", "input_length", "output_length", "cancel_after_ms", "class", "chat_id", "parent_chat_id"]
FOREIGN_KEYS += ["type", "output_tokens", "custom_id", "url", "body", "conversations", "id"]
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from([*Request.__slots__, *FOREIGN_KEYS])
wild_rows = st.lists(st.dictionaries(KEYS, anything, max_size=6), max_size=3)
wild_text = wild_rows.map(lambda rows: "\n".join(map(json.dumps, rows))) | wild_rows.map(json.dumps)
HEADERS = ["TIMESTAMP,ContextTokens,GeneratedTokens\n", "Timestamp,Request tokens,Response tokens\n"]
wild_tables = st.builds(str.__add__, st.sampled_from(HEADERS), st.text('0123456789-:.,eT" \n', max_size=40))


@given(st.binary(max_size=60) | (wild_text | wild_tables).map(str.encode))
def test_whatever_is_in_a_file_a_mistake_is_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "wild"
    path.write_bytes(data)
    said, requests = "", []
    try:
        requests = list(TraceReader(path, ReadOptions(max_broken=2, output_tokens=3)))
    except TraceError as error:
        said = str(error)
    assert bool(said) != bool(requests)
    assert not said or (said.startswith(f"{path}:") and "\n" not in said)
    assert all(json.loads(native_line(request)) for request in requests)
