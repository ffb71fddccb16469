from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats.native import native_line
from scoot_ray.load.formats.tokens import TokenizerFile
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.anonymize import anonymized

SALT, OTHER = b"a salt of its own", b"another salt here"
FULL = Request(
    timestamp_s=1000.5,
    input_tokens=600,
    output_tokens=7,
    hash_ids=(1, 2),
    session="alice@example.org",
    adapter="secret-lora",
    sampling={"stop": ["secret"]},
    cancel_after_s=3.0,
    request_class="secret-class",
)
requests = st.lists(
    st.builds(
        Request,
        st.floats(0, 1e6),
        st.integers(1, 3000),
        st.integers(1, 9),
        st.lists(st.integers(0, 3), max_size=4).map(tuple),
        session=st.sampled_from([None, "a", "b"]),
    ),
    max_size=8,
)


def leading(left: Sequence[int], right: Sequence[int]) -> int:
    return next((at for at, (a, b) in enumerate(zip(left, right, strict=False)) if a != b), min(len(left), len(right)))


@given(requests)
def test_what_belongs_together_stays_together(rows: list[Request]) -> None:
    out = list(anonymized(rows, SALT))
    assert [(row.input_tokens, row.output_tokens) for row in out] == [(r.input_tokens, r.output_tokens) for r in rows]
    blocks = [row.hash_ids[: -(-(row.input_tokens or 0) // 512)] for row in rows]
    for (one, two), (was_one, was_two) in zip(pairwise(out), pairwise(range(len(rows))), strict=True):
        assert leading(one.hash_ids, two.hash_ids) == leading(blocks[was_one], blocks[was_two])
        assert (one.session == two.session) == (rows[was_one].session == rows[was_two].session)
        assert two.timestamp_s - one.timestamp_s == pytest.approx(
            rows[was_two].timestamp_s - rows[was_one].timestamp_s, abs=1e-6
        )


def test_nothing_else_is_kept() -> None:
    (row,) = anonymized([FULL], SALT)
    assert set(json.loads(native_line(row))) == {"timestamp", "input_length", "output_length", "hash_ids", "session"}
    assert row.timestamp_s == 0.0
    assert not set(row.hash_ids) & {1, 2}
    assert not any(word in native_line(row) for word in ("alice", "secret"))


def test_names_of_two_salts_have_nothing_in_common() -> None:
    (one,), (two,), (same,) = (list(anonymized([FULL], salt)) for salt in (SALT, OTHER, SALT))
    assert one == same
    assert not set(one.hash_ids) & set(two.hash_ids)
    assert one.session != two.session


def test_a_short_salt_is_refused() -> None:
    with pytest.raises(LoadError, match="salt: has 3 bytes"):
        list(anonymized([FULL], b"abc"))


def conversation(*texts: str) -> Request:
    roles = ("user", "assistant")
    said = tuple({"role": roles[n % 2], "content": text} for n, text in enumerate(texts))
    return Request(0.0, None, 5, messages=said, session="s")


def test_texts_become_lengths_and_shared_prefixes() -> None:
    question, answer = "why? " * 500, "because " * 500
    first, later = anonymized([conversation(question), conversation(question, answer, "and?")], SALT)
    assert all(row.prompt is None and row.messages is None for row in (first, later))
    assert (first.input_tokens, later.input_tokens) == (627, 1632)
    assert first.hash_ids[0] == later.hash_ids[0]
    assert len(later.hash_ids) == 4
    assert first.session == later.session


class Words:
    """A tokenizer of words."""

    def length(self, text: str) -> int:
        return len(text.split())

    def blocks(self, text: str) -> Iterator[bytes]:
        words = text.split()
        return (" ".join(words[at : at + 512]).encode() for at in range(0, len(words), 512))


def test_a_tokenizer_measures_better() -> None:
    (row,) = anonymized([Request(0.0, None, 5, prompt="one two three")], SALT, Words())
    assert (row.input_tokens, len(row.hash_ids)) == (3, 1)
    (said,) = anonymized([Request(0.0, 700, 5, prompt="word " * 2000)], SALT, Words())
    assert (said.input_tokens, len(said.hash_ids)) == (700, 2)


def test_half_a_surrogate_pair_is_text_too() -> None:
    (row,) = anonymized([Request(0.0, None, 5, prompt=json.loads('"\\ud800"'), session=json.loads('"\\ud801"'))], SALT)
    assert (row.input_tokens, len(row.hash_ids)) == (1, 1)


def test_a_tokenizer_that_is_none_is_refused() -> None:
    with pytest.raises(LoadError, match=r"tokenizer: (nowhere: cannot be read|needs the extra)"):
        TokenizerFile("nowhere")
