from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.errors import LoadError
from scoot_ray.load.plan import CHAT, COMPLETIONS, CallMaker, Endpoint
from scoot_ray.load.prompts import TokenPrompts, warmup_stand_in
from scoot_ray.load.trace import Request

VOCABULARY = tuple(range(1000, 1200))
requests = st.builds(
    Request,
    st.just(0.0),
    st.integers(1, 1700),
    st.integers(1, 5),
    st.lists(st.integers(0, 3), max_size=4).map(tuple),
)


def common(left: list[int], right: list[int]) -> int:
    return next((i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


@given(requests, requests, st.integers(0, 99), st.text(max_size=5))
def test_prefixes_are_shared_exactly_as_hash_ids_say(one: Request, two: Request, seed: int, salt: str) -> None:
    prompts = TokenPrompts(VOCABULARY, seed, salt)
    left, right = prompts.token_ids(one, 0), prompts.token_ids(two, 1)
    assert (len(left), len(right)) == (one.input_tokens, two.input_tokens)
    assert set(left) <= set(VOCABULARY)
    blocks = common(list(one.hash_ids), list(two.hash_ids))
    shared = min(512 * blocks, len(left), len(right))
    assert left[:shared] == right[:shared]
    # Beyond, tokens agree only by chance: never for 16 in a row, which is a block of the engine's cache.
    assert common(left, right) < shared + 16
    assert left == TokenPrompts(VOCABULARY, seed, salt).token_ids(one, 0)


def test_salt_seed_pass_and_row_all_keep_prompts_apart() -> None:
    row = Request(0.0, 40, 1)
    prompt = tuple(TokenPrompts(VOCABULARY, 0, "a").token_ids(row, 0))
    others = [
        TokenPrompts(VOCABULARY, 0, "b").token_ids(row, 0),
        TokenPrompts(VOCABULARY, 1, "a").token_ids(row, 0),
        TokenPrompts(VOCABULARY, 0, "a").token_ids(row, 1),
        TokenPrompts(VOCABULARY, 0, "a").token_ids(row, 0, trace_pass=1),
    ]
    assert len({prompt, *map(tuple, others)}) == 5


def test_a_later_pass_shares_prefixes_within_itself_alone() -> None:
    prompts, row = TokenPrompts(VOCABULARY, 0, "a"), Request(0.0, 512, 1, hash_ids=(9,))
    assert prompts.token_ids(row, 0, 1) == prompts.token_ids(row, 5, 1) != prompts.token_ids(row, 0, 0)


def test_no_vocabulary_and_no_length_are_refused() -> None:
    with pytest.raises(LoadError, match="vocabulary"):
        TokenPrompts((), 0, "a")
    with pytest.raises(LoadError, match="request 3: input_tokens"):
        TokenPrompts(VOCABULARY, 0, "a").token_ids(Request(0.0, None, 1), 3)


def test_warm_up_stand_ins_share_no_text() -> None:
    text = Request(0.0, None, 3, prompt="one two three four")
    stand_in = warmup_stand_in(text, 0, "a", 0)
    assert stand_in.prompt is not None
    assert len(stand_in.prompt.split()) == 4
    assert stand_in.prompt != warmup_stand_in(text, 0, "a", 1).prompt
    chat = warmup_stand_in(Request(0.0, None, 3, messages=({"role": "system", "content": "secret"},)), 0, "a", 0)
    assert "secret" not in str(chat.messages)
    lengths = Request(0.0, 5, 3, hash_ids=(1,))
    assert warmup_stand_in(lengths, 0, "a", 0) is lengths


PROMPT = Request(0.0, None, 3, prompt="text")
MESSAGES = Request(0.0, None, 3, messages=({"role": "user", "content": "hi"},))
LENGTHS = Request(0.0, 30, 3)


def maker(endpoint: Endpoint) -> CallMaker:
    return CallMaker("m", TokenPrompts(VOCABULARY, 0, "s"), "s", endpoint)


@pytest.mark.parametrize(
    ("endpoint", "request_", "path"),
    [
        ("auto", PROMPT, COMPLETIONS),
        ("auto", MESSAGES, CHAT),
        ("auto", LENGTHS, COMPLETIONS),
        ("chat", PROMPT, CHAT),
        ("chat", MESSAGES, CHAT),
        ("completions", PROMPT, COMPLETIONS),
        ("completions", LENGTHS, COMPLETIONS),
    ],
)
def test_each_row_finds_its_endpoint(endpoint: Endpoint, request_: Request, path: str) -> None:
    call = maker(endpoint).make(request_, 0, "7")
    body = json.loads(call.body)
    assert (call.path, call.request_id, call.output_tokens) == (path, "7", 3)
    assert ("messages" in body) == (path == CHAT)
    assert body["min_tokens"] == body["max_tokens"] == 3
    assert body["model"] == "m"


@pytest.mark.parametrize(("endpoint", "request_"), [("chat", LENGTHS), ("completions", MESSAGES)])
def test_a_row_its_endpoint_cannot_take_is_refused(endpoint: Endpoint, request_: Request) -> None:
    with pytest.raises(LoadError, match=f"endpoint: {endpoint} for request 4"):
        maker(endpoint).make(request_, 4, "4")


def test_text_carries_the_salt_beside_it() -> None:
    bodies = [json.loads(maker("auto").make(PROMPT, 0, "0", trace_pass).body) for trace_pass in (0, 1)]
    assert [body["prompt"] for body in bodies] == ["text", "text"]
    assert bodies[0]["cache_salt"] != bodies[1]["cache_salt"]
