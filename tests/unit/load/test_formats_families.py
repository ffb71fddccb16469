"""Each format of others, by rows as their own documentation shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scoot_ray.load.errors import TraceError
from scoot_ray.load.formats import ReadOptions, TraceReader, read_trace
from scoot_ray.load.trace import Request

BURSTGPT_1 = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
BURSTGPT_2 = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"


def write(folder: Path, *rows: Any) -> Path:
    path = folder / "no-hint"
    path.write_text(rows[0] if isinstance(rows[0], str) else "".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path, **options: Any) -> tuple[str, list[Request]]:
    reader = TraceReader(path, ReadOptions(**options))
    requests = list(reader)
    return reader.format, requests


def test_burstgpt_without_sessions(tmp_path: Path) -> None:
    text = (
        BURSTGPT_1 + "5,ChatGPT,472,18,490,Conversation log\r\n45,GPT-4,1087,0,1087,API log\r\n50,GPT-4,0,0,0,API log\n"
    )
    trace = read_trace(write(tmp_path, text + "118.5,GPT-4,417,276,693,API log\n"))
    assert [(r.timestamp_s, r.input_tokens, r.output_tokens) for r in trace.requests] == [
        (0, 472, 18),
        (113.5, 417, 276),
    ]
    assert [r.request_class for r in trace.requests] == ["Conversation log", "API log"]
    assert trace.notes == (f"{trace.source}: 2 rows ask for no tokens, and are left out",)


def test_burstgpt_with_sessions(tmp_path: Path) -> None:
    text = BURSTGPT_2 + '5,77,3.5,ChatGPT,472,18,490,"Conversation log"\n9,,1.0,GPT-4,5,6,11,API log\n'
    form, requests = read(write(tmp_path, text))
    assert form == "BurstGPT"
    assert [r.session for r in requests] == ["77", None]


def bailian(chat: int, parent: int, time_s: float, ids: list[int], tokens: int) -> dict[str, Any]:
    row = {"chat_id": chat, "parent_chat_id": parent, "timestamp": time_s, "input_length": tokens}
    return {**row, "output_length": 9, "type": "search", "turn": 1, "hash_ids": ids}


def test_bailian_groups_blocks_and_follows_conversations(tmp_path: Path) -> None:
    first, later = list(range(40)), [*range(40), *range(100, 130)]
    path = write(
        tmp_path,
        bailian(159, -1, 61.114, first, 640),
        bailian(160, 159, 62.5, later, 1120),
        bailian(161, 160, 70.0, [*range(31), 999, *range(500, 508)], 640),
        bailian(162, 4000, 71.0, [7], 10),
    )
    form, requests = read(path)
    assert form == "Bailian"
    assert [r.session for r in requests] == ["159", "159", "159", "4000"]
    assert requests[0].timestamp_s == 61.114
    assert requests[0].request_class == "search"
    assert [len(r.hash_ids) for r in requests] == [2, 3, 2, 1]
    one, two, three, _ = (r.hash_ids for r in requests)
    assert one[0] == two[0]  # 32 blocks of 16 tokens are shared
    assert one[1] != two[1]  # the eight beyond them are not enough for a block of 512
    assert one[0] != three[0]  # the 32nd differs
    assert one == read(path)[1][0].hash_ids


def test_timed_traces_are_known_by_their_blocks(tmp_path: Path) -> None:
    short = {"timestamp": 1.5, "input_length": 12, "output_length": 3, "hash_ids": [1]}
    long = {"timestamp": 2.5, "input_length": 521, "output_length": 3, "hash_ids": list(range(33))}
    form, requests = read(write(tmp_path, short, long))
    assert form == "vLLM timed"
    assert [r.timestamp_s for r in requests] == [1.5, 2.5]
    assert [len(r.hash_ids) for r in requests] == [1, 2]
    mooncake = {"timestamp": 2500, "input_length": 521, "output_length": 3, "hash_ids": [1, 2]}
    form, requests = read(write(tmp_path, {**short, "timestamp": 1500}, mooncake))
    assert form == "native"
    assert requests[1].timestamp_s == 2.5


def test_custom_rows_need_a_length_from_somewhere(tmp_path: Path) -> None:
    path = write(tmp_path, {"prompt": "one", "output_tokens": 10}, {"prompt": "two"})
    with pytest.raises(TraceError, match=r":2: output_tokens: is missing; .*--output-tokens"):
        read_trace(path)
    form, requests = read(path, output_tokens=7)
    assert form == "vLLM custom"
    assert [(r.prompt, r.output_tokens, r.input_tokens) for r in requests] == [("one", 10, None), ("two", 7, None)]


def batch(url: str = "/v1/chat/completions", **body: Any) -> dict[str, Any]:
    return {"custom_id": "request-1", "method": "POST", "url": url, "body": {"model": "m", "max_tokens": 20, **body}}


def test_batch_files(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "hello"}]
    ids = list(range(600))
    path = write(
        tmp_path,
        batch(messages=said, temperature=0.5, stop=["."], user="nobody", max_completion_tokens=30),
        batch("/v1/completions", prompt="text", top_k=5),
        batch("/v1/completions", prompt=ids),
        batch("/v1/completions", prompt=ids[:512]),
    )
    form, (chat, text, tokens, shorter) = read(path)
    assert form == "OpenAI batch"
    assert chat.messages == tuple(said)
    assert (chat.output_tokens, chat.sampling) == (30, {"temperature": 0.5, "stop": ["."]})
    assert (text.prompt, text.output_tokens, text.sampling) == ("text", 20, {"top_k": 5})
    assert (tokens.input_tokens, len(tokens.hash_ids), tokens.prompt, tokens.sampling) == (600, 2, None, None)
    assert shorter.hash_ids == tokens.hash_ids[:1]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (batch("/v1/embeddings", input="x"), "url: is none that generates text"),
        (batch("/v1/completions"), "prompt: is empty or no text"),
        (batch(messages=[]), "messages: is no conversation"),
        (batch(prompt="x", max_tokens=None), "body.max_tokens: is missing"),
        (batch(prompt="x", temperature="warm"), "body.temperature: is text of 4 characters; allowed a finite number"),
        ({"custom_id": "a", "body": "b"}, "body: is missing or no object"),
    ],
)
def test_bad_batch_rows(tmp_path: Path, row: dict[str, Any], words: str) -> None:
    with pytest.raises(TraceError, match=words):
        read_trace(write(tmp_path, row))


CONVERSATION = {
    "id": "abc_0",
    "conversations": [
        {"from": "gpt", "value": "begun in the middle"},
        {"from": "human", "value": "question"},
        {"from": "gpt", "value": "answer " * 10},
        {"from": "human", "value": "and then?"},
        {"from": "gpt", "value": ""},
        {"from": "gpt", "value": "more"},
    ],
}


@pytest.mark.parametrize("indent", [None, 2])
def test_sharegpt_answers_become_turns(tmp_path: Path, indent: int | None) -> None:
    nameless = {"conversations": CONVERSATION["conversations"]}
    path = write(tmp_path, json.dumps([CONVERSATION, {"id": "b", "conversations": []}, nameless], indent=indent))
    reader = TraceReader(path)
    first, second, *others = list(reader)
    assert reader.format == "ShareGPT"
    assert reader.skipped == 1
    assert first.messages == ({"role": "user", "content": "question"},)
    assert second.messages is not None
    assert [message["role"] for message in second.messages] == ["user", "assistant", "user"]
    assert (first.output_tokens, second.output_tokens) == (18, 1)  # 70 and 4 bytes
    assert first.session == second.session == "abc_0"
    assert [other.session for other in others] == ["conversation 3"] * 2


def test_sharegpt_as_json_lines(tmp_path: Path) -> None:
    form, requests = read(write(tmp_path, CONVERSATION, CONVERSATION))
    assert (form, len(requests)) == ("ShareGPT", 4)


FULL = {
    "timestamp": 1,
    "input_length": 5,
    "output_length": 2,
    "session": "s",
    "adapter": "sql-lora",
    "sampling": {"temperature": 0.7, "seed": 3, "stop": "x", "logprobs": True, "response_format": {"type": "text"}},
    "cancel_after_ms": 1500,
    "class": "batch",
}


def test_native_rows_carry_what_requests_carry(tmp_path: Path) -> None:
    _, (request,) = read(write(tmp_path, FULL))
    assert (request.adapter, request.cancel_after_s, request.request_class) == ("sql-lora", 1.5, "batch")
    assert request.sampling == FULL["sampling"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sampling": {"beam_width": 4}}, "sampling: has an unknown field; allowed temperature, "),
        ({"sampling": [1]}, "sampling: is a JSON list of 1; allowed an object"),
        ({"sampling": {"top_k": 0.5}}, r"sampling.top_k: 0.5; allowed an integer"),
        ({"sampling": {"seed": True}}, r"sampling.seed: true; allowed an integer"),
        ({"cancel_after_ms": 0}, "cancel_after_ms: 0; allowed a positive number"),
        ({"adapter": 1.5}, "adapter: 1.5; allowed text"),
        ({"class": []}, "class: is a JSON list of 0; allowed text"),
    ],
)
def test_bad_native_rows(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(TraceError, match=words):
        read_trace(write(tmp_path, {**FULL, **change}))
