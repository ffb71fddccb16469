from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats import read_trace
from scoot_ray.load.trace import Request
from scoot_ray.load.traces.census import take_census
from scoot_ray.load.traces.shape import fit_shape
from scoot_ray.load.traces.synthesis import generate

TRACES = Path(__file__).parents[3] / "traces"
REAL = Path(__file__).parents[4] / "shared" / "traces"


def requests_of(name: str) -> tuple[Request, ...]:
    path = REAL / name if name.endswith((".csv", "1000.jsonl")) else TRACES / name
    if not path.exists():
        pytest.skip("the real traces are not beside the project")
    return read_trace(path).requests


@pytest.mark.parametrize(
    "name",
    ["bot.jsonl", "sql.jsonl", "cls.jsonl", "mooncake_synthetic_1000.jsonl", "AzureLLMInferenceTrace_code.csv"],
)
def test_a_synthetic_trace_is_like_the_real_one(name: str) -> None:
    real = requests_of(name)
    made = generate(fit_shape(real), 5000, seed=3)
    was, now = take_census(real), take_census(made)
    assert now.inputs.mean == pytest.approx(was.inputs.mean, rel=0.08)
    assert now.outputs.mean == pytest.approx(was.outputs.mean, rel=0.08)
    assert now.outputs.p99 == pytest.approx(was.outputs.p99, rel=0.15)
    assert was.length_correlation is not None
    assert now.length_correlation == pytest.approx(was.length_correlation, abs=0.12)
    assert (was.sharing is None) == (now.sharing is None)
    if was.sharing is not None and now.sharing is not None:
        assert now.sharing.blocks_seen_before == pytest.approx(was.sharing.blocks_seen_before, abs=0.05)
        assert now.sharing.rows_begun_before == pytest.approx(was.sharing.rows_begun_before, abs=0.05)
    assert (was.sessions is None) == (now.sessions is None)
    if was.sessions is not None and now.sessions is not None:
        assert now.sessions.turns.mean == pytest.approx(was.sessions.turns.mean, rel=0.1)


def test_burstiness_and_rate_are_kept() -> None:
    rng = np.random.default_rng(5)
    times = np.cumsum(rng.gamma(0.25, 2.0, 4000)).tolist()
    made = take_census(generate(fit_shape(Request(time, 10, 10) for time in times), 4000, seed=1)).arrivals
    assert made is not None
    assert made.gap_cv == pytest.approx(2, rel=0.15)
    assert made.mean_rate == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("name", ["bot.jsonl", "cls.jsonl"])
def test_another_rate(name: str) -> None:
    made = generate(fit_shape(requests_of(name)), 20_000, seed=1, rate=50.0)
    steady = [request for request in made if 100 <= request.timestamp_s < 350]  # sessions under way, others beginning
    assert len(steady) / 250 == pytest.approx(50, rel=0.1)


def test_blocks_fit_the_lengths_and_sessions_extend_themselves() -> None:
    made = generate(fit_shape(requests_of("bot.jsonl")), 800, seed=2)
    assert all(len(request.hash_ids) == -(-(request.input_tokens or 0) // 512) for request in made)
    assert [request.timestamp_s for request in made] == sorted(request.timestamp_s for request in made)
    latest: dict[str | None, Request] = {}
    kept = 0
    for request in made:
        if (before := latest.get(request.session)) is not None:
            kept += request.hash_ids[: len(before.hash_ids)] == before.hash_ids
        latest[request.session] = request
    assert kept / (len(made) - len(latest)) > 0.9


def test_the_same_seed_makes_the_same_trace() -> None:
    shape = fit_shape(requests_of("cls.jsonl"))
    assert generate(shape, 50, seed=4) == generate(shape, 50, seed=4) != generate(shape, 50, seed=5)


def test_regular_arrivals_constant_lengths_and_no_times() -> None:
    made = generate(fit_shape(Request(float(n), 7, 3) for n in range(50)), 20)
    assert {(request.input_tokens, request.output_tokens) for request in made} == {(7, 3)}
    assert np.diff([request.timestamp_s for request in made]) == pytest.approx(1.0)
    timeless = [Request(0.0, None, 3, prompt="x" * size) for size in (4, 4000, 9)]
    assert {request.timestamp_s for request in generate(fit_shape(timeless), 20)} == {0.0}


def test_too_little_to_learn_from_and_silly_wishes() -> None:
    with pytest.raises(LoadError, match="fewer than two"):
        fit_shape([Request(0.0, 1, 1)])
    shape = fit_shape([Request(0.0, 1, 1), Request(1.0, 1, 1)])
    with pytest.raises(LoadError, match="rows: 0"):
        generate(shape, 0)
    with pytest.raises(LoadError, match="rate: -1"):
        generate(shape, 5, rate=-1.0)
