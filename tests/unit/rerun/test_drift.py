"""When to tune again: chance and long traces raise no alarm, other traffic and another engine do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from scoot_ray.load.trace import Request
from scoot_ray.rerun.changes import changes_of
from scoot_ray.rerun.drift import Drift, hardware_drifts, service_drifts
from scoot_ray.rerun.endpoint import Endpoint, ServedModel
from scoot_ray.rerun.promises import held, overall, wanted_of
from scoot_ray.rerun.traffic import rate_changes, rate_of, shape_of, traffic_changes
from scoot_ray.search import SLO


def requests(seed: int, count: int = 400, prompt: float = 300.0, topics: int = 20) -> list[Request]:
    rng = np.random.default_rng(seed)
    lengths, outputs = rng.lognormal(np.log(prompt), 0.5, count), rng.lognormal(4.0, 0.5, count)
    return [
        Request(at * 0.2, 512 + int(length), 1 + int(output), hash_ids=(int(rng.integers(topics)), 1000 + at))
        for at, (length, output) in enumerate(zip(lengths, outputs, strict=True))
    ]


def drifted(then: Sequence[Request], now: Sequence[Request]) -> list[str]:
    return [change.what.partition(" (")[0] for change in traffic_changes(shape_of(then), shape_of(now))]


@pytest.mark.parametrize("seed", range(5))
def test_another_day_of_the_same_traffic_is_no_drift(seed: int) -> None:
    assert drifted(requests(seed), requests(seed + 100, count=900)) == []


def test_longer_prompts_and_lost_prefixes_are_told_apart() -> None:
    assert drifted(requests(0), requests(1, prompt=900.0)) == ["prompt tokens", "share of the prompt seen before"]
    assert drifted(requests(0), requests(1, topics=100_000)) == ["share of the prompt seen before"]


def test_a_difference_that_is_certain_but_small_is_none() -> None:
    then, now = requests(0, count=3000), requests(1, count=3000, prompt=325.0)
    assert stats.ks_2samp(shape_of(then).inputs, shape_of(now).inputs).pvalue < 1e-3
    assert drifted(then, now) == []


def test_texts_have_their_prefixes_compared_too() -> None:
    opening = "You are a helpful assistant. " * 200
    alike = [Request(0.1 * at, None, 20, prompt=f"{opening}{at}") for at in range(60)]
    apart = [Request(0.1 * at, None, 20, prompt=f"{at}{opening}") for at in range(60)]
    assert drifted(alike, apart) == ["share of the prompt seen before"]


def test_rates_count_from_a_tenth_on() -> None:
    assert rate_of(requests(0)) == pytest.approx(5.0)
    assert [*rate_changes(5.0, 5.4)] == [*rate_changes(5.0, None)] == []
    assert [change.now for change in rate_changes(5.0, 4.0)] == ["4"]


def result(**changes: Any) -> dict[str, Any]:
    config = {"max_num_seqs": 64, "block_size": 16, "enable_prefix_caching": True}
    return {
        "simulated": False,
        "engine": {"engine_version": "0.9.1", "max_model_len": 4096, "replicas": 1},
        "serving": {"model": "/models/Llama-2-7b-hf", "args": {"gpu_memory_utilization": 0.9}},
        "recommended": {"config": config, "confirmed": True},
        "objectives": [
            {"metric": "mean_ttft_ms", "direction": "minimize"},
            {"metric": "request_throughput", "direction": "maximize"},
        ],
        "slos": ["ttft:p99<500ms"],
        "confirmation": [
            {
                "config": config,
                "promises": [
                    {"metric": "mean_ttft_ms", "bound": 120.0},
                    {"metric": "request_throughput", "bound": 4.5},
                    {"metric": "p99_ttft_ms", "bound": None},
                    {"metric": "error_rate", "bound": 0.0},
                ],
                "runs": [{"order": 1}, {"order": 2}],
            }
        ],
        **changes,
    }


def drifts(endpoint: Endpoint, **changes: Any) -> list[Drift]:
    return [*service_drifts(result(**changes), "Llama-2-7b-hf", endpoint, "chat")]


SAME = Endpoint(
    (ServedModel("chat", "meta-llama/Llama-2-7b-hf", 4096),),
    "0.9.1",
    {"block_size": "16", "enable_prefix_caching": "True", "gpu_memory_utilization": "0.90", "num_gpu_blocks": "900"},
)


def test_the_service_that_was_proved_has_not_drifted_nor_one_that_tells_nothing() -> None:
    assert drifts(SAME) == []
    assert [one.topic for one in drifts(Endpoint())] == ["model"]  # only its name is known
    assert [*service_drifts(result(), "chat", Endpoint(), "chat")] == []


def test_each_drift_is_named_and_only_tuning_cures_it() -> None:
    other = Endpoint(
        (ServedModel("chat", "Llama-3-8B", 8192),), "0.10.0", {"block_size": "32", "enable_prefix_caching": "False"}
    )
    found = drifts(other)
    assert [one.topic for one in found] == ["engine", "model", "length", "flags", "flags"]
    assert [one.asks_to_tune for one in found] == [True, True, True, False, False]
    assert found[3].change.what == "--block-size"
    assert all(one.means for one in found)


def test_simulated_versions_are_compared_with_each_other_alone() -> None:
    proved = {"simulated": True, "engine": {"engine_version": "0.9.1 (simulated)", "max_model_len": 4096}}
    here = ServedModel("chat", "Llama-2-7b-hf")
    assert [one.topic for one in drifts(Endpoint((here,), "0.9.1+simulated"), **proved)] == []
    assert [one.topic for one in drifts(Endpoint((here,), "0.4.2+simulated"), **proved)] == ["engine"]
    assert [one.topic for one in drifts(Endpoint((here,), "0.9.1"), **proved)] == ["simulation"]


def test_gpus_are_compared_where_both_are_known() -> None:
    old, new = ["A100, driver 535"] * 2, ["A100, driver 550"]
    assert [one.topic for one in hardware_drifts(old, new)] == ["hardware"]
    assert [*hardware_drifts(None, new)] == [*hardware_drifts(old, None)] == [*hardware_drifts(old, old[:1])] == []


def test_environments_differ_where_both_noted_something() -> None:
    then = {"python": "3.11.1", "packages": {"ray": "2.60", "old": "1"}, "gpus": ["A", "B"], "trace_sha256": "x"}
    now = {"python": "3.11.2", "packages": {"ray": "2.60"}, "gpus": ["A", "C"], "trace_sha256": "y", "new": "1"}
    assert [(one.what, one.then, one.now) for one in changes_of(then, now)] == [
        ("python", "3.11.1", "3.11.2"),
        ("gpus", "A, B", "A, C"),
    ]


GOOD = {"mean_ttft_ms": 100.0, "request_throughput": 5.0, "p99_ttft_ms": 480.0, "error_rate": 0.0}


def test_slos_bounds_and_the_error_rate_are_wanted() -> None:
    wanted = [(one.kind, one.limit) for one in wanted_of(result())]
    assert wanted == [
        ("slo", SLO("p99_ttft_ms", "<", 500.0)),
        ("promise", SLO("mean_ttft_ms", "<=", 120.0)),
        ("promise", SLO("request_throughput", ">=", 4.5)),
        ("slo", SLO("error_rate", "<=", 0.01)),
    ]


def test_what_was_not_confirmed_promises_its_slos_alone_and_without_them_nothing() -> None:
    unproved = {"recommended": {"config": {}, "confirmed": False}}
    assert [one.kind for one in wanted_of(result(**unproved))] == ["slo", "slo"]
    assert wanted_of(result(**unproved, slos=[])) == ()
    assert wanted_of(result(recommended=None, slos=[])) == ()


def test_a_figure_is_judged_and_its_interval_says_how_surely() -> None:
    found = held(wanted_of(result()), GOOD, {"p99_ttft_ms": (300.0, 600.0), "mean_ttft_ms": (90.0, 110.0)}, valid=True)
    assert overall(found) == "holds"
    assert [one.sure for one in found] == [False, True, False, False]
    slow = held(wanted_of(result()), {**GOOD, "mean_ttft_ms": 121.0}, {}, valid=True)
    assert [one.verdict for one in slow] == ["holds", "broken", "holds", "holds"]
    assert overall(slow) == "broken"
    assert overall(held(wanted_of(result()), {"error_rate": 1.0}, {}, valid=True)) == "broken"


def test_a_late_client_has_measured_nothing() -> None:
    found = held(wanted_of(result()), GOOD, {}, valid=False)
    assert {one.verdict for one in found} == {"invalid"} == {overall(found)}
