"""What a simulated service must do as a real one does, and for the same reasons."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.figures.metrics import metrics_of
from scoot_ray.load.trace import Request
from scoot_ray.search import Config
from scoot_ray.simulator.engine import EngineDied
from scoot_ray.simulator.service import Load, replay
from scoot_ray.simulator.settings import VERSIONS, Version
from tests.unit.simulator.services import figures, requests, run, service

CONFIGS = st.fixed_dictionaries(
    {
        "max_num_seqs": st.sampled_from([1, 4, 32, 256]),
        "max_num_batched_tokens": st.sampled_from([256, 512, 4096]),
        "block_size": st.sampled_from([16, 32]),
        "enable_prefix_caching": st.booleans(),
    }
)


@given(
    config=CONFIGS,
    version=st.sampled_from(VERSIONS),
    lengths=st.lists(st.tuples(st.integers(1, 2_000), st.integers(1, 300), st.integers(0, 3)), min_size=1, max_size=60),
    rate=st.sampled_from([1.0, 20.0, 500.0]),
    gpu=st.sampled_from(["A10", "A100-80G"]),
)
@settings(deadline=None, max_examples=60)
def test_every_request_gets_every_token_and_every_block_comes_back(
    config: dict[str, int | bool], version: Version, lengths: list[tuple[int, int, int]], rate: float, gpu: str
) -> None:
    """On the small GPU the cache overflows: what was thrown out is computed again, and nothing is lost."""
    offered = tuple(
        Request(0.0, prompt, output, hash_ids=tuple(range(shared, shared + prompt // 512 + 1)))
        for prompt, output, shared in lengths
    )
    small: Config = {"max_model_len": 2_400, **config}
    if version == "0.4.2" or config["max_num_batched_tokens"] < 2_400:
        small = {**small, "enable_chunked_prefill": not config["enable_prefix_caching"]}
    if not small.get("enable_chunked_prefill", True):
        small = {**small, "max_num_batched_tokens": 4096}
    model = "Llama-2-7b-hf"
    replayed = run(service(gpu, model=model, version=version), small, offered, rate)
    assert [len(record.token_times_s) for record in replayed.records] == [one[1] for one in _as_sent(replayed, offered)]
    assert all(record.error is None for record in replayed.records)
    for record in replayed.records:
        assert record.token_times_s[0] > record.scheduled_s
        assert list(record.token_times_s) == sorted(record.token_times_s)
    asked = sum(record.input_tokens or 0 for record in replayed.records)
    made = sum(record.output_tokens for record in replayed.records)
    # Every token sent was paid for: computed once, but for the last of each answer and what the cache had.
    paid = asked + made - len(replayed.records)
    if replayed.preemptions == 0:
        assert replayed.computed_tokens == paid - replayed.hit_tokens
    else:
        assert replayed.computed_tokens + replayed.hit_tokens > paid


def _as_sent(replayed: object, offered: tuple[Request, ...]) -> list[tuple[int, int]]:
    records = replayed.records  # type: ignore[attr-defined]  # a Replayed
    return [(record.input_tokens, record.output_tokens) for record in records]


def test_a_small_cache_throws_out_and_recomputes() -> None:
    crowded = run(service("A10", model="Llama-2-7b-hf"), {"max_model_len": 2_400}, requests(100, 900, 300), 50.0)
    assert crowded.preemptions > 0
    assert all(record.error is None for record in crowded.records)


@pytest.mark.parametrize("version", VERSIONS)
def test_equal_seeds_give_equal_records_and_others_do_not(version: Version) -> None:
    noisy = service(version=version, noise=0.03)
    offered = requests()
    assert run(noisy, {}, offered, seed=1) == run(noisy, {}, offered, seed=1)
    assert run(noisy, {}, offered, seed=1).records != run(noisy, {}, offered, seed=2).records
    quiet = service(version=version)
    assert run(quiet, {}, offered, seed=1) == run(quiet, {}, offered, seed=2)


def test_the_arrival_order_matters() -> None:
    offered = requests()
    assert run(service(), {}, offered, order=0).records != run(service(), {}, offered, order=1).records


@pytest.mark.parametrize("version", VERSIONS)
def test_more_gpus_never_hurt_a_compute_bound_service(version: Version) -> None:
    offered = requests(prompt=1_500, output=20)
    mean_e2el_ms = [
        figures(service(gpus=gpus, version=version), {"tensor_parallel_size": gpus}, offered, 12.0)["mean_e2el_ms"]
        for gpus in (1, 2, 4)
    ]
    assert mean_e2el_ms == sorted(mean_e2el_ms, reverse=True)


def test_replicas_spread_the_load() -> None:
    offered = requests(prompt=1_500, output=20)
    one = figures(service(gpus=1), {}, offered, 12.0)
    two = figures(service(gpus=2), {"tensor_parallel_size": 1}, offered, 12.0)
    assert two["mean_ttft_ms"] < one["mean_ttft_ms"]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_larger_batch_raises_throughput_until_memory_binds(version: Version) -> None:
    """A10, 7B: some 14,000 tokens of cache hold about thirty requests of 450 tokens."""
    offered = requests(300, 300, 200)
    throughput = {
        seqs: figures(service("A10", model="Llama-2-7b-hf", version=version), {"max_num_seqs": seqs}, offered, 100.0)[
            "output_throughput"
        ]
        for seqs in (1, 4, 16, 64, 256)
    }
    assert throughput[1] < throughput[4] < throughput[16] < throughput[64]
    assert throughput[256] == pytest.approx(throughput[64], rel=0.1)


def test_ttft_and_tpot_trade_off_through_max_num_seqs() -> None:
    offered = requests(400, 200, 200)
    few, many = (figures(service(), {"max_num_seqs": seqs}, offered, 20.0) for seqs in (16, 256))
    assert few["mean_ttft_ms"] > 2 * many["mean_ttft_ms"]
    assert few["mean_tpot_ms"] < many["mean_tpot_ms"]


@pytest.mark.parametrize("version", VERSIONS)
def test_prefix_caching_helps_exactly_where_prefixes_are_shared(version: Version) -> None:
    with_cache: Config = {"enable_prefix_caching": True}
    without: Config = {"enable_prefix_caching": False}
    shared, own = requests(prompt=600, shared_blocks=2), requests(prompt=1_600)
    fast = figures(service(version=version), with_cache, shared, 12.0)["mean_ttft_ms"]
    assert fast < 0.7 * figures(service(version=version), without, shared, 12.0)["mean_ttft_ms"]
    # At a rate that throws no sequence out: one that is finds its own prefix again.
    alone = figures(service(version=version), with_cache, own, 1.0)["mean_ttft_ms"]
    assert alone == pytest.approx(figures(service(version=version), without, own, 1.0)["mean_ttft_ms"], rel=1e-9)


def test_whole_prefills_stall_decodes_where_chunks_do_not() -> None:
    offered = requests(300, 1_500, 100)
    whole = figures(service(version="0.4.2"), {}, offered, 4.0)
    chunked = figures(service(), {"max_num_batched_tokens": 512}, offered, 4.0)
    assert chunked["p99_itl_ms"] < whole["p99_itl_ms"]


def test_waiting_for_more_prompts_gives_the_decodes_their_time() -> None:
    offered = requests(400, 1_000, 100)
    at_once, later = (
        figures(service(version="0.4.2"), {"scheduler_delay_factor": factor}, offered, 6.0) for factor in (0.0, 2.0)
    )
    assert later["mean_tpot_ms"] < at_once["mean_tpot_ms"]
    assert later["mean_ttft_ms"] > at_once["mean_ttft_ms"]


def test_graphs_save_launches_in_small_steps() -> None:
    offered = requests(50, 100, 100)
    graphs, eager = (
        figures(service(model="Llama-2-7b-hf", accelerator="H100"), {"enforce_eager": eager}, offered, 2.0)
        for eager in (False, True)
    )
    assert graphs["mean_tpot_ms"] <= eager["mean_tpot_ms"]


def test_stages_overlap_where_there_are_requests_enough() -> None:
    """Two stages double what passes, but not the speed of one request."""
    offered = requests(300, 1_000, 50)
    one, two = (run(service(gpus=gpus), {"pipeline_parallel_size": gpus}, offered, 100.0).virtual_s for gpus in (1, 2))
    assert two < 0.75 * one
    lone = requests(1, 1_000, 50)
    alone_one, alone_two = (
        figures(service(gpus=gpus), {"pipeline_parallel_size": gpus}, lone)["mean_e2el_ms"] for gpus in (1, 2)
    )
    assert alone_two >= alone_one


def test_ranks_of_data_parallelism_share_the_load() -> None:
    offered = requests(300, 1_000, 50)
    one = run(service(gpus=1), {}, offered, 100.0).virtual_s
    two = run(service(gpus=2), {"data_parallel_size": 2}, offered, 100.0).virtual_s
    assert two < 0.65 * one


def test_an_interval_of_streaming_makes_fewer_events_of_the_same_tokens() -> None:
    offered = requests(20, 100, 40)
    every, fourth = (run(service(), {"stream_interval": interval}, offered).records for interval in (1, 4))
    for one, other in zip(every, fourth, strict=True):
        assert other.usage == one.usage
        assert len(other.token_times_s) == 1 + -(-(one.output_tokens - 1) // 4)


def test_a_request_that_takes_too_long_is_given_up() -> None:
    replayed = run(service("A10", model="Llama-2-7b-hf"), {"max_num_seqs": 1}, requests(50), 20.0, timeout_s=10.0)
    errors = {record.error for record in replayed.records}
    assert errors == {None, "timeout"}


def test_a_turn_waits_for_the_answer_before_it_where_sessions_wait() -> None:
    offered = tuple(Request(0.0, 800, 200, session="s") for _ in range(5))
    arrivals = schedule(Arrivals("poisson", 50.0), offered, count=5, seed=0)
    booted = service().boot({})
    free, waiting = (
        replay(booted, 1, Load(offered, arrivals, 600.0, sessions, 1.5), 0.0, (0,)).records
        for sessions in ("independent", "wait")
    )
    assert [record.scheduled_s for record in free] == arrivals.offsets_s.tolist()
    for turn, after in zip(waiting[1:], waiting, strict=False):
        assert after.done_s is not None
        assert turn.scheduled_s == pytest.approx(after.done_s + 1.5)


def test_a_threshold_cuts_long_prompts_even_where_chunks_are_off() -> None:
    config: Config = {"enable_chunked_prefill": False, "long_prefill_token_threshold": 256}
    records = run(service(), config, requests(40, 900, 20), 20.0).records
    assert all(record.error is None for record in records)


def test_what_is_given_up_last_takes_its_time() -> None:
    stuck = run(service(), {"max_num_seqs": 1}, requests(30, 1_000, 400), 50.0, timeout_s=5.0)
    assert stuck.virtual_s >= max(record.scheduled_s for record in stuck.records) + 5.0


def test_who_goes_away_is_cancelled_not_failed() -> None:
    offered = tuple(Request(0.0, 500, 400, cancel_after_s=0.5 if number % 2 else None) for number in range(20))
    records = run(service(), {}, offered, 5.0).records
    assert {record.error for record in records} == {None, "cancelled"}
    metrics = metrics_of(records)
    assert metrics["error_rate"] == 0


def test_chunks_with_prefix_caching_kill_0_4_2_under_load() -> None:
    both: Config = {"enable_chunked_prefill": True, "enable_prefix_caching": True}
    with pytest.raises(EngineDied, match="AsyncEngineDeadError"):
        run(service(version="0.4.2"), both, requests(prompt=600, shared_blocks=1))
    run(service(), both, requests(prompt=600, shared_blocks=1))


def test_memory_runs_out_under_load_where_too_little_was_left() -> None:
    greedy: Config = {"gpu_memory_utilization": 0.99, "max_num_batched_tokens": 8192, "max_model_len": 2048}
    with pytest.raises(EngineDied) as died:
        run(service("A10", model="Llama-2-7b-hf"), greedy, requests(200, 1_000, 20), 200.0)
    assert any("OutOfMemoryError" in line for line in died.value.log)


def test_a_mixture_reads_more_experts_the_more_tokens_there_are() -> None:
    few, many = (
        figures(service("H100", 4, "Mixtral-8x7B-v0.1"), {"tensor_parallel_size": 4}, requests(60, 50, 100), rate)
        for rate in (0.5, 50.0)
    )
    assert few["mean_tpot_ms"] < 0.7 * many["mean_tpot_ms"]
