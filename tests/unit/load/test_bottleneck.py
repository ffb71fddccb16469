from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.bottleneck import NO_ACCOUNT, Limits, ServerWindow, explain
from scoot_ray.load.prefixes import shareable_prefix
from scoot_ray.load.server_metrics import Sample
from scoot_ray.load.trace import Request

COUNTERS = {"preemptions": 5.0, "prefix_queries": 100.0, "prefix_hits": 10.0, "queue_s": 1.0, "queued": 10.0}


def window(
    *states: tuple[float, float, float], preemptions: float = 0.0, shareable: float | None = None
) -> ServerWindow:
    """Samples of (running, waiting, kv_usage), one a second, between one before and one after the load."""
    grown = {
        "preemptions": 5.0 + preemptions,
        "prefix_queries": 300.0,
        "prefix_hits": 60.0,
        "queue_s": 9.0,
        "queued": 30.0,
    }
    samples = [Sample(0.0, {"running": 0.0, "waiting": 0.0, "kv_usage": 0.0, **COUNTERS})]
    samples += [
        Sample(at + 1.0, {"running": running, "waiting": waiting, "kv_usage": kv, **COUNTERS})
        for at, (running, waiting, kv) in enumerate(states)
    ]
    after = Sample(len(states) + 60.0, {"running": 0.0, "waiting": 0.0, "kv_usage": 0.0, **grown})
    return ServerWindow((*samples, after), len(states) + 0.5, shareable)


@pytest.mark.parametrize(
    ("seen", "limits", "bound_by", "evidence"),
    [
        (window(*[(20, 30, 0.97)] * 8), Limits(256), "kv_memory", "97% full"),
        (window(*[(20, 0, 0.6)] * 8, preemptions=3), Limits(256), "kv_memory", "3 preemptions"),
        (window(*[(64, 30, 0.4)] * 8), Limits(64), "sequences", "which is max_num_seqs (64)"),
        (window(*[(64, 30, 0.4), (62, 20, 0.4)] * 4), Limits(), "sequences", "most likely max_num_seqs"),
        (window(*[(30, 30, 0.4)] * 8), Limits(256, 512), "token_budget", "max_num_batched_tokens (512)"),
        (window(*[(10, 20, 0.4), (40, 30, 0.4), (15, 9, 0.4)] * 4), Limits(), "token_budget", "40% full"),
        (window(*[(n * 5, 0, 0.4) for n in range(12)]), Limits(256), "compute", "in the last"),
        (window(*[(9, 0, 0.3), (11, 1, 0.3)] * 6), Limits(256), "none", "up to 11 sequences ran"),
        (window(*[(0, 0, 0.0)] * 8), Limits(256), "none", "no request was seen waiting"),
    ],
)
def test_each_limit_is_recognised_by_its_evidence(
    seen: ServerWindow, limits: Limits, bound_by: str, evidence: str
) -> None:
    report = explain(seen, limits)
    assert report is not None
    assert report.bound_by == bound_by
    assert evidence in report.because
    assert "\n" not in report.because


def test_figures_are_of_the_load_alone() -> None:
    report = explain(window((10, 5, 0.2), (20, 5, 0.4), preemptions=2, shareable=0.3))
    assert report is not None
    assert report.figures == pytest.approx(
        {
            "samples": 2,
            "running_mean": 15,
            "running_max": 20,
            "waiting_mean": 5,
            "waiting_max": 5,
            "queued_share": 0.25,
            "kv_usage_mean": 0.3,
            "kv_usage_max": 0.4,
            "preemptions": 2,
            "prefix_hit_share": 0.25,
            "mean_queue_ms": 400,
            "prefix_shareable_share": 0.3,
        }
    )


def test_no_samples_and_no_queue_explain_nothing() -> None:
    assert explain(NO_ACCOUNT) is None
    silent = explain(ServerWindow((Sample(0.0, {"prompt_tokens": 1.0}), Sample(1.0, {"prompt_tokens": 9.0})), 1.0))
    assert silent is not None
    assert silent.bound_by is None
    assert silent.figures["prompt_tokens"] == 8


def test_a_restarted_counter_is_no_negative_figure() -> None:
    report = explain(ServerWindow((Sample(0.0, {"preemptions": 9.0}), Sample(1.0, {"preemptions": 2.0})), 1.0))
    assert report is not None
    assert report.figures["preemptions"] == 0


numbers = st.floats(0, 1000)


@given(st.lists(st.tuples(numbers, numbers, st.floats(0, 1)), max_size=12), numbers, st.none() | st.integers(1, 1000))
def test_anything_a_server_says_has_one_explanation(
    states: list[tuple[float, float, float]], preemptions: float, max_num_seqs: int | None
) -> None:
    report = explain(window(*states, preemptions=preemptions), Limits(max_num_seqs))
    assert report is not None
    assert report.bound_by in {"kv_memory", "sequences", "token_budget", "compute", "none"}


def prefix_share(*requests: Request, count: int) -> float | None:
    timetable = schedule(Arrivals("recorded"), requests, count=count)
    return shareable_prefix(requests, timetable)


def test_a_shared_prefix_counts_from_the_second_time_on() -> None:
    first, second = Request(0.0, 1024, 1, hash_ids=(1, 2)), Request(1.0, 2048, 1, hash_ids=(1, 2, 3, 4))
    alone = Request(2.0, 1024, 1)
    assert prefix_share(first, second, alone, count=3) == pytest.approx(1024 / 4096)
    elsewhere = Request(2.0, 1024, 1, hash_ids=(9, 2))
    assert prefix_share(first, elsewhere, count=2) == 0  # a block is shared behind equal blocks only
    cut = Request(2.0, 600, 1, hash_ids=(1, 2))
    assert prefix_share(first, cut, count=2) == pytest.approx(600 / 1624)


def test_a_second_pass_over_the_trace_shares_nothing_with_the_first() -> None:
    requests = (Request(0.0, 512, 1, hash_ids=(1,)),)
    timetable = schedule(Arrivals("constant", rate=1.0), requests, count=3)
    assert shareable_prefix(requests, timetable) == 0


def test_text_cannot_be_compared_here() -> None:
    assert prefix_share(Request(0.0, 3, 1, prompt="a b c"), count=1) is None
