"""The accounts of the benchmark of scale: what counts as work, what as overhead, and a small study through the loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.scale.attempts import Attempt, free_share, share, starts_a_minute
from benchmarks.scale.real import Real, Sample, document
from benchmarks.scale.report import real_report, report
from benchmarks.scale.run import run
from scoot_ray.study import Study

TIMINGS = {
    "queue_s": 1.0,
    "start_s": 9.0,
    "warmup_s": 1.0,
    "load_s": 88.0,
    "drain_s": 2.0,
    "stop_s": 0.5,
    "idle_s": 0.3,
}


def attempt(submitted_s: float) -> Attempt:
    return Attempt(submitted_s, submitted_s + 102.0, TIMINGS)


def test_what_is_neither_engine_start_nor_load_is_overhead() -> None:
    one = attempt(10.0)
    assert one.work_s == 100.0
    assert one.overhead_s == pytest.approx(2.0)
    assert one.outside_s == pytest.approx(2.0 - 0.5 - 0.3)


def test_overhead_is_by_the_drivers_clock() -> None:
    later = replace(attempt(0.0), ended_s=105.0)
    assert later.overhead_s == pytest.approx(5.0)
    assert later.outside_s == pytest.approx(4.2)


def test_slots_are_judged_until_the_last_start() -> None:
    attempts = [attempt(0.0), attempt(104.0)]
    assert share(attempts, 1) == pytest.approx(100.0 / 104.0)
    assert free_share(attempts, 1) == pytest.approx(2.0 / 104.0)
    assert share(attempts, 2) == pytest.approx(50.0 / 104.0)


def test_work_under_way_at_the_last_start_counts_until_then() -> None:
    attempts = [attempt(0.0), attempt(50.0)]
    began_s = attempts[0].began_s
    assert began_s == pytest.approx(1.5)
    assert share(attempts, 1) == pytest.approx((50.0 - began_s) / 50.0)


def test_all_submitted_at_once_have_no_span() -> None:
    assert share([attempt(0.0), attempt(0.0)], 2) == 0.0


def test_engines_that_start_together_show_in_the_busiest_minute() -> None:
    mean, most = starts_a_minute([attempt(at_s) for at_s in (0.0, 1.0, 2.0, 240.0)])
    assert mean == pytest.approx(1.0)
    assert most == 3


def test_the_first_filling_is_told_apart() -> None:
    found = Real(2, 88.0, 5.0, [attempt(0.0), attempt(1.0), attempt(103.0)], [0.2, 0.4])
    found.samples = [Sample(0.0, 0, 1.0, {"driver": [200.0], "optimizer": [], "worker": [150.0, 160.0]})]
    lines = real_report(found)
    assert "| 2 real workers | first filling (2) | afterwards (1) |" in lines
    assert "| resident MiB: worker | 155 (0); at most 160 |" in lines
    assert "| resident MiB: optimizer |  |" in lines
    assert any(
        line.startswith("| overhead beyond engine start and load") and line.count("2.00, 2.00") == 2 for line in lines
    )


def test_the_real_study_is_a_study() -> None:
    study = Study.model_validate(document(32, 96, 110.0, 2.0))
    assert (study.parallelism.max, study.parallelism.when, study.budget.observations) == (32, "always", 96)
    assert not study.budget.end_hopeless


def test_slots_that_run_nothing_are_kept_at_work(tmp_path: Path) -> None:
    found = run(tmp_path, "random", slots=8, evaluations=40)
    assert found.suggested == 40
    assert found.busy_until_last_start > 0.9 * 8 * found.last_started_s
    assert any(line.startswith("| slots, evaluations | 8, 40 |") for line in report(found))
