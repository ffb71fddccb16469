from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.sse import DONE, Event, EventParser, Repeats, has_content, is_error, usage_of
from scoot_ray.load.trace import Usage

newlines = st.sampled_from(["\n", "\r\n", "\r"])
fields = st.sampled_from(["data: a", "data:b", "data:", "data", ": ping", ":", "event: error", "id: 1", "", "retry: 5"])
texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(st.one_of(fields, texts.map("data: {}".format)), max_size=30))
    return "".join(line + draw(newlines) for line in lines).encode()


def parse(chunks: list[bytes]) -> list[Event]:
    parser = EventParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)] + parser.finish()
    return [event._replace(end=0) for event in events]


@given(streams(), st.lists(st.integers(0, 400)))
def test_events_do_not_depend_on_where_the_stream_is_cut(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in pairwise(places)]
    assert parse(chunks) == parse([stream]) == parse([bytes((byte,)) for byte in stream])


@given(streams(), st.lists(st.integers(0, 400)))
def test_an_event_ends_where_the_byte_that_completes_it_stands(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole, cut, single = EventParser(), EventParser(), EventParser()
    ends = [event.end for event in whole.feed(stream)]
    chunks = [(start, stream[start:end]) for start, end in pairwise(places)]
    assert [start + event.end for start, chunk in chunks for event in cut.feed(chunk)] == ends
    bytewise = [(at, bytes((byte,))) for at, byte in enumerate(stream)]
    assert [at + event.end for at, byte in bytewise for event in single.feed(byte)] == ends


@given(st.lists(texts), newlines)
def test_what_was_sent_comes_back(payloads: list[str], newline: str) -> None:
    stream = "".join(f": ping{newline}data: {payload}{newline}{newline}" for payload in payloads)
    assert [event.data.decode() for event in parse([stream.encode()])] == payloads


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(noise: bytes) -> None:
    parse([noise, noise])


def test_lines_of_one_event_are_joined_and_its_kind_kept() -> None:
    assert parse([b"event: error\ndata: a\ndata: b\n\ndata: c\n\n"]) == [Event(b"error", b"a\nb"), Event(b"", b"c")]


def test_an_event_that_the_end_completes_counts_and_a_cut_line_does_not() -> None:
    assert parse([b"data: [DONE]\n"]) == [Event(b"", DONE)]
    assert parse([b"data: [DONE"]) == []
    assert parse([b"\xef\xbb\xbfdata: a\n\n"]) == [Event(b"", b"a")]


def of(payload: object, compact: bool = False) -> Event:
    return Event(b"", json.dumps(payload, separators=(",", ":") if compact else None).encode())


@pytest.mark.parametrize("compact", [True, False])
@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"text": "a"}, True),
        ({"text": ""}, False),
        ({"text": '"'}, True),
        ({"delta": {"content": "\n"}}, True),
        ({"delta": {"content": ""}}, False),
        ({"delta": {"content": None}}, False),
        ({"delta": {"role": "assistant", "content": ""}}, False),
        ({"delta": {"reasoning_content": "hm"}}, True),
        ({"delta": {"reasoning": "hm", "content": None}}, True),
        ({"delta": {"role": "assistant"}}, False),
        ({"delta": {}, "finish_reason": "length"}, False),
        ({"text": "", "logprobs": {"content": [], "text_offset": [1]}}, False),
    ],
)
def test_content_is_text_and_nothing_else(choice: object, expected: bool, compact: bool) -> None:
    assert has_content(of({"choices": [choice], "usage": None}, compact)) is expected


@given(st.text())
def test_generated_text_is_never_taken_for_protocol(text: str) -> None:
    quoting = '{"error": {"x": 1}, "usage": {"prompt_tokens": 1}, "finish_reason": "abort", "text": ""}' + text
    event = of({"choices": [{"text": quoting, "finish_reason": None}], "error": None, "usage": None})
    assert has_content(event)
    assert not is_error(event)
    assert usage_of(event) is None
    assert not has_content(of({"id": quoting, "choices": [{"delta": {}}]}))


events = st.builds(
    lambda where, text, usage, error, reason: of(
        {"id": "a", "choices": [{**where(text), "finish_reason": reason}], "usage": usage, "error": error}
    ),
    st.sampled_from([lambda text: {"text": text}, lambda text: {"delta": {"content": text}}]),
    st.one_of(st.text(max_size=5), st.sampled_from(['"', "\\", '\\"', "", '", "error": {"a": "'])),
    st.sampled_from([None, None, {"prompt_tokens": 1, "completion_tokens": 2}]),
    st.sampled_from([None, None, None, {"message": "x"}]),
    st.sampled_from([None, None, "length", "abort"]),
)


@given(st.lists(events, max_size=30))
def test_a_repeat_means_what_the_long_way_finds(stream: list[Event]) -> None:
    repeats = Repeats()
    for event in stream:
        plain = has_content(event) and not is_error(event) and usage_of(event) is None
        if event in repeats:
            assert plain
        elif plain:
            repeats.learn(event)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_no_bytes_break_the_search_for_repeats(lesson: bytes, other: bytes) -> None:
    repeats = Repeats()
    for data in (lesson, b'"text": "' + lesson, other, b'"text": "' + other):
        assert isinstance(Event(b"", data) in repeats, bool)
        repeats.learn(Event(b"", data))


def test_a_stream_of_one_shape_is_repeats_from_the_second_event_on() -> None:
    repeats = Repeats()
    repeats.learn(of({"choices": [{"text": "one", "finish_reason": None}], "usage": None}))
    assert of({"choices": [{"text": "zwei ü", "finish_reason": None}], "usage": None}) in repeats
    assert of({"choices": [{"text": "", "finish_reason": None}], "usage": None}) not in repeats
    assert of({"choices": [{"text": "one", "finish_reason": "abort"}], "usage": None}) not in repeats


@pytest.mark.parametrize(
    "event",
    [
        of({"error": {"message": "x"}}),
        of({"error": "x"}, compact=True),
        of({"object": "error", "message": "x"}),
        of({"choices": [{"text": "", "finish_reason": "abort"}]}),
        of({"choices": [{"text": "", "finish_reason": "error"}]}),
        Event(b"error", b"anything"),
    ],
)
def test_errors_are_seen(event: Event) -> None:
    assert is_error(event)


def test_usage_is_read_where_it_can_be() -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": None}
    assert usage_of(of({"choices": [], "usage": usage})) == Usage(7, 3)
    assert usage_of(of({"choices": [], "usage": {"total_tokens": 9}})) is None
    assert usage_of(Event(b"", b'{"usage": {"prompt_tokens": 1')) is None
    assert usage_of(of({"usage": None})) is None
