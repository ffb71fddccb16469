"""The traces that come with the project are what their README and generator say."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from scoot_ray.load.formats import read_trace
from scoot_ray.load.trace import Request

TRACES = Path(__file__).parents[3] / "traces"
BOUNDS = {
    "sql": (1000, (500, 2500), (30, 150)),
    "bot": (1000, (512, 4000), (50, 400)),
    "cls": (1000, (40, 2100), (1, 5)),
    "rec": (1000, (500, 1500), (10, 40)),
    "bot-small": (300, (64, 700), (16, 64)),
}


def requests_of(name: str) -> tuple[Request, ...]:
    return read_trace(TRACES / f"{name}.jsonl").requests


def test_the_generator_makes_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(TRACES / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert {path.stem for path in tmp_path.iterdir()} == set(BOUNDS)
    for name in BOUNDS:
        assert (tmp_path / f"{name}.jsonl").read_bytes() == (TRACES / f"{name}.jsonl").read_bytes()


@pytest.mark.parametrize("name", BOUNDS)
def test_lengths_and_blocks(name: str) -> None:
    rows, inputs, outputs = BOUNDS[name]
    requests = requests_of(name)
    assert len(requests) == rows
    for request in requests:
        assert request.input_tokens is not None
        assert inputs[0] <= request.input_tokens <= inputs[1]
        assert outputs[0] <= request.output_tokens <= outputs[1]
        if request.hash_ids:
            assert len(request.hash_ids) == -(-request.input_tokens // 512)
    assert (TRACES / f"{name}.jsonl").stat().st_size < 300_000


def test_conversations_grow_by_extending_their_prefix() -> None:
    sessions: dict[str | None, list[Request]] = {}
    for request in requests_of("bot"):
        sessions.setdefault(request.session, []).append(request)
    assert None not in sessions
    assert sum(len(turns) > 1 for turns in sessions.values()) > 100
    for turns in sessions.values():
        for before, after in pairwise(turns):
            assert (after.input_tokens or 0) >= (before.input_tokens or 0) + before.output_tokens
            assert after.hash_ids[: len(before.hash_ids)] == before.hash_ids


def test_half_of_the_small_trace_shares_the_system_prompt() -> None:
    requests = requests_of("bot-small")
    sharing = sum((request.input_tokens or 0) > 512 and request.hash_ids[0] == 0 for request in requests)
    assert 0.4 < sharing / len(requests) < 0.6
    assert all((request.input_tokens or 0) + request.output_tokens <= 2048 for request in requests)
