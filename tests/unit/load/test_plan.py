"""What is sent to which engine, and which turn waits for which."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.arrivals import Schedule
from scoot_ray.load.client.answer import Answer, read_answer
from scoot_ray.load.client.dialect import Engine
from scoot_ray.load.client.target import Target
from scoot_ray.load.errors import LoadError
from scoot_ray.load.plan import OWN_FIELDS, CallMaker, make_plan
from scoot_ray.load.prompts import TokenPrompts
from scoot_ray.load.trace import Request, Usage

TEXT, LENGTHS = Request(0.0, None, 5, prompt="hello"), Request(0.0, 20, 5)
CHAT = Request(0.0, None, 5, messages=({"role": "user", "content": "hello"},))


def maker(**options: Any) -> CallMaker:
    return CallMaker("llama", TokenPrompts(range(100, 200), 0, "s"), "s", **options)


def body_of(request: Request, **options: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(maker(**options).make(request, 0, "0").body)
    return body


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
@pytest.mark.parametrize("request_", [TEXT, LENGTHS, CHAT])
def test_every_engine_is_told_the_length(engine: Engine, request_: Request) -> None:
    body = body_of(request_, engine=engine)
    assert (body["max_tokens"], body["min_tokens"], body["ignore_eos"]) == (5, 5, True)
    assert body["stream_options"] == {"include_usage": True}


def test_text_is_salted_where_the_engine_can() -> None:
    for engine, request, salted in (
        ("vllm", TEXT, True), ("vllm", CHAT, True), ("vllm", LENGTHS, False),
        ("sglang", TEXT, True), ("trtllm", TEXT, False), ("trtllm", CHAT, True),
    ):  # fmt: skip
        assert ("cache_salt" in body_of(request, engine=engine)) is salted


def test_an_adapter_is_named_as_the_engine_names_it() -> None:
    adapted = Request(0.0, 20, 5, adapter="sql")
    assert body_of(adapted)["model"] == "sql"
    assert body_of(adapted, engine="sglang")["model"] == "llama:sql"
    with pytest.raises(LoadError, match="lora_request"):
        body_of(adapted, engine="trtllm")


def test_the_extra_body_wins_over_sampling_and_neither_over_the_replay() -> None:
    sampled = Request(0.0, 20, 5, sampling={"temperature": 1.0, "top_k": 5, "max_tokens": 9, "stream": False})
    body = body_of(sampled, extra_body={"top_k": 7})
    assert (body["temperature"], body["top_k"], body["max_tokens"], body["stream"]) == (1.0, 7, 5, True)
    for name in OWN_FIELDS:
        with pytest.raises(LoadError, match=name):
            maker(extra_body={name: 1})


def test_a_whole_answer_is_asked_for_without_options_of_streams() -> None:
    body = body_of(LENGTHS, stream=False)
    assert body["stream"] is False
    assert "stream_options" not in body
    assert not maker(stream=False).make(LENGTHS, 0, "0").streamed


@given(st.lists(st.sampled_from([None, "a", "b"]), min_size=1, max_size=12), st.integers(1, 3))
def test_a_turn_comes_after_the_one_before_it_in_its_pass(names: list[str | None], passes: int) -> None:
    requests = [Request(float(row), 4, 1, session=name) for row, name in enumerate(names)]
    count = len(requests) * passes
    order, of_pass = np.arange(count) % len(requests), np.arange(count) // len(requests)
    timetable = Schedule(np.linspace(0.0, 1.0, count), order, of_pass, 1.0)
    plan = make_plan(requests, timetable, maker(), "wait", 0.5)
    for item in plan:
        earlier = [
            other.index
            for other in plan[: item.index]
            if names[item.index % len(names)] is not None
            and names[other.index % len(names)] == names[item.index % len(names)]
            and other.index // len(names) == item.index // len(names)
        ]
        assert item.after == (earlier[-1] if earlier else None)
        assert item.think_s == (0.5 if earlier else 0.0)
    assert all(item.after is None for item in make_plan(requests, timetable, maker()))


def test_nobody_thinks_for_less_than_no_time() -> None:
    with pytest.raises(LoadError, match="think_s"):
        make_plan([LENGTHS], Schedule(np.zeros(1), np.zeros(1, int), np.zeros(1, int), 1.0), maker(), "wait", -1.0)


keys = st.sampled_from(["choices", "usage", "text", "message", "content", "error", "prompt_tokens"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(keys, inner),
)


@given(documents)
def test_no_json_breaks_the_reading_of_an_answer(document: object) -> None:
    answer = read_answer(json.dumps(document).encode())
    assert answer.error in {None, "malformed", "in_stream", "empty"}


@given(st.binary(max_size=50))
def test_no_bytes_break_it_either(noise: bytes) -> None:
    assert read_answer(noise).error is not None


def test_reasoning_alone_is_an_answer() -> None:
    document = {
        "choices": [{"message": {"content": None, "reasoning": "hm"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 2, "completion_tokens": 1},
    }
    assert read_answer(json.dumps(document).encode()) == Answer(Usage(2, 1), None)


@pytest.mark.parametrize("header", [("", "x"), ("A b", "x"), ("A", "x\ny"), ("A:", "x")])
def test_what_is_no_header_is_refused(header: tuple[str, str]) -> None:
    with pytest.raises(LoadError, match="allowed Name: value"):
        Target(("http://a:1",), "m", headers=(header,))


def test_certificates_are_checked_or_not_but_not_both() -> None:
    with pytest.raises(LoadError, match="one of the two"):
        Target(("https://a:1",), "m", ca_file="ca.pem", insecure=True)
