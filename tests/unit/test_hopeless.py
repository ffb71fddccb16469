from __future__ import annotations

import math

import pytest

from scoot_ray.hopeless import Rule, rule_of, watch
from scoot_ray.load.figures.standing import Standing
from scoot_ray.search import (
    SLO,
    Bounded,
    Failed,
    FailureKind,
    Measured,
    Objective,
    Observation,
    Origin,
    Problem,
    Trial,
    to_beat,
)
from tests.fakes import problem
from tests.unit.load.test_bounds import at, loaded, planned, record

TTFT, TPOT = Objective("mean_ttft_ms"), Objective("mean_tpot_ms")
THROUGHPUT = Objective("request_throughput", "maximize")


def standing(ttft_s: float = 4.0, gap_s: float = 0.1, failed: int = 0, count: int = 50) -> Standing:
    """All requests came at once and have ended, ``failed`` of them badly."""
    records = [record(i, 0.0, ttft_s, gap_s, 5, "cut" if i < failed else None) for i in range(count)]
    return at(100.0, records, planned(records))


def rule(*objectives: Objective, slos: tuple[str, ...] = (), margin: float = 0.25) -> Rule:
    return Rule(objectives, tuple(SLO.parse(slo) for slo in slos), 0.01, margin=margin)


def test_what_is_beaten_by_more_than_the_margin_has_lost_and_says_by_what() -> None:
    lost = rule(TTFT).judge(standing(), [(3_000.0,)])
    assert lost is not None
    assert lost.reason == "mean_ttft_ms is at least 4000 (3000 is reached)"
    low, high = lost.bounds["mean_ttft_ms"]
    assert low == pytest.approx(4_000)
    assert math.isinf(high)
    assert rule(TTFT).judge(standing(), [(3_500.0,)]) is None
    assert rule(TTFT, margin=0.1).judge(standing(), [(3_500.0,)]) is not None


def test_of_two_objectives_both_must_be_beaten_by_the_same_configuration() -> None:
    front = [(1_000.0, 200.0), (9_000.0, 10.0)]
    assert rule(TTFT, TPOT).judge(standing(), front) is None
    assert rule(TTFT, TPOT).judge(standing(), [*front, (2_000.0, 50.0)]) is not None


def test_a_throughput_is_beaten_from_above() -> None:
    load = standing()  # 50 in 4.4 s
    assert rule(THROUGHPUT).judge(load, [(12.0,)]) is None
    lost = rule(THROUGHPUT).judge(load, [(20.0,)])
    assert lost is not None
    assert "request_throughput is at most 11.36 (20 is reached)" in lost.reason


def test_a_broken_slo_loses_only_to_what_keeps_it() -> None:
    strict = rule(TPOT, slos=("ttft:p99<1s",))
    lost = strict.judge(standing(), [(1.0e6,)])
    assert lost is not None
    assert "which breaks p99_ttft_ms<1000" in lost.reason
    assert strict.judge(standing(), []) is None
    assert strict.judge(standing(ttft_s=1.2), [(1.0e6,)]) is None  # within the margin
    floor = rule(TPOT, slos=("request_throughput>=20",))
    assert floor.judge(standing(), [(1.0e6,)]) is not None


def test_errors_beyond_repair_end_it_even_where_nothing_was_measured() -> None:
    assert rule(TTFT).judge(standing(failed=0), []) is None
    lost = rule(TTFT).judge(standing(failed=5), [])
    assert lost is not None
    assert lost.bounds["error_rate"] == (0.1, 1.0)
    assert "at least 10.0% of all requests fail" in lost.reason


def test_a_metric_that_is_not_bounded_loses_nothing() -> None:
    assert rule(Objective("std_ttft_ms")).judge(standing(), [(1e-3,)]) is None
    assert rule(TTFT, Objective("p99_itl_ms")).judge(standing(), [(1e-3, 1e-3)]) is None


def test_a_growing_queue_loses_before_its_bounds_do() -> None:
    load, reached = loaded(10.0, 6.0, 30.0), [(3_500.0,)]
    lost = rule(TTFT).judge(load, reached)
    assert lost is not None
    assert lost.reason.startswith("the queue grows without bound: mean_ttft_ms is at least")
    assert lost.bounds["mean_ttft_ms"][0] < 3_500  # what is recorded rests on no belief
    assert Rule((TTFT,), (), 0.01, watches_queues=False).judge(load, reached) is None


def test_per_gpu_bounds_are_those_of_all_gpus_shared() -> None:
    lost = Rule((Objective("request_throughput_per_gpu", "maximize"),), (), 0.01, gpus=4).judge(standing(), [(5.0,)])
    assert lost is not None
    assert lost.bounds["request_throughput_per_gpu"][1] == pytest.approx(lost.bounds["request_throughput"][1] / 4)


@pytest.mark.parametrize("origin", [Origin.DEFAULT, Origin.BASELINE, Origin.CONFIRMATION])
def test_the_reference_and_the_proof_run_to_their_end(origin: Origin) -> None:
    assert watch(rule(TTFT), Trial(0, {}, origin)) is None
    assert watch(rule(TTFT), Trial(0, {}, Origin.MODEL, orders=(0, 1))) is None
    assert watch(None, Trial(0, {}, Origin.MODEL)) is None


def test_a_watch_keeps_its_first_verdict() -> None:
    watching = watch(rule_of(Problem(problem().space, (TTFT,)), (), 0), Trial(0, {}, Origin.MODEL, to_beat=((1.0,),)))
    assert watching is not None
    assert watching.hopeless(standing())
    first = watching.lost
    assert watching.hopeless(standing(ttft_s=1e-9))
    assert watching.lost is first


def test_what_is_to_be_beaten_keeps_the_slos() -> None:
    def seen(number: int, ttft_ms: float, tpot_ms: float) -> Observation:
        config = {**(problem().space.default or {}), "max_num_seqs": 2**number}
        return Observation(Trial(number, config, Origin.MODEL), Measured({TTFT.metric: ttft_ms, TPOT.metric: tpot_ms}))

    history = (seen(0, 100.0, 30.0), seen(1, 50.0, 40.0), seen(2, 120.0, 50.0))
    failed = Observation(Trial(9, {}, Origin.MODEL), Failed(FailureKind.CRASHED, ""))
    ended = Observation(Trial(8, {}, Origin.MODEL), Bounded({}, "lost"))
    one = Problem(problem().space, (TTFT,))
    assert to_beat(one, ()) == ()
    assert to_beat(one, (*history, failed, ended)) == ((50.0,),)
    assert set(to_beat(problem(), history)) == {(100.0, 30.0), (50.0, 40.0)}
    under = Problem(problem().space, (TTFT,), (SLO.parse("tpot:mean<35ms"),))
    assert to_beat(under, history) == ((100.0,),)
    assert to_beat(Problem(problem().space, (TTFT,), (SLO.parse("tpot:mean<3ms"),)), history) == ()
