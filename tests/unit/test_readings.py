"""What a study tells while it runs: figures that follow from the log, and a thread that never ends a study."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from scoot_ray.cluster import telemetry
from scoot_ray.cluster.activity import Activity
from scoot_ray.cluster.evaluation import Finished
from scoot_ray.cluster.optimizer import Thinking
from scoot_ray.cluster.placement import NodeShape, steady
from scoot_ray.cluster.readings import METRICS, Slots, readings
from scoot_ray.cluster.worker import with_idle
from scoot_ray.log import Log
from scoot_ray.search import Failed, FailureKind, Measured, Observation, Origin, Trial
from scoot_ray.study import Resources
from scoot_ray.tune import Watchers
from tests.fakes import study
from tests.unit.test_results import document, resolved

GOOD = {"max_num_seqs": 16, "max_num_batched_tokens": 512, "enable_prefix_caching": True}
NOTHING = Slots()
TIMINGS = {"queue_s": 5.0, "start_s": 30.0, "load_s": 60.0, "idle_s": 1.0}


def seen(number: int, outcome: Any, origin: Origin = Origin.MODEL) -> Observation:
    return Observation(Trial(number, GOOD, origin), outcome, "node", TIMINGS)


def measured(ttft: float, tpot: float) -> Measured:
    metrics = {"mean_ttft_ms": ttft, "mean_tpot_ms": tpot, "error_rate": 0.0}
    return Measured(metrics, (metrics,))


def log_of(*observations: Observation) -> Log:
    log = Log()
    for one in observations:
        if all(trial.id != one.trial.id for trial in log.trials):
            log = log.with_trial(one.trial)
        log = log.with_observation(one)
    return log


LOG = log_of(
    seen(0, measured(100.0, 20.0), Origin.DEFAULT),
    seen(1, Failed(FailureKind.NODE_LOST, "gone")),
    seen(1, measured(50.0, 30.0)),
    seen(2, Failed(FailureKind.OUT_OF_MEMORY, "no room")),
    seen(3, measured(70.0, 15.0)),
    seen(4, measured(90.0, 15.5), Origin.CONFIRMATION),
)


def figures(log: Log, slots: Slots = NOTHING, **changes: object) -> dict[tuple[str, str], float]:
    plan = resolved(None, **changes)
    return {(one.metric.name.removeprefix("scoot_ray_"), one.of): one.value for one in readings(plan, log, slots)}


def test_what_has_been_seen_is_counted_by_outcome_and_by_kind() -> None:
    found = figures(LOG)
    assert [found["observations", name] for name in ("measured", "bounded", "failed")] == [3, 0, 1]
    assert found["failures", "out_of_memory"] == found["failures", "node_lost"] == 1
    assert found["failures", "stalled"] == 0
    assert found["confirmations", ""] == 1
    assert found["budget_observations", ""] == 30
    assert found["pof_threshold", ""] == 0.55


def test_best_and_default_of_each_objective() -> None:
    found = figures(LOG)
    assert (found["best_objective", "mean_ttft_ms"], found["best_objective", "mean_tpot_ms"]) == (50.0, 15.0)
    assert (found["default_objective", "mean_ttft_ms"], found["default_objective", "mean_tpot_ms"]) == (100.0, 20.0)
    assert not any(name.endswith("objective") for name, _ in figures(Log())), (
        "nothing is shown as zero before it is known"
    )


def test_gpu_seconds_by_phase_add_up_to_the_cost_in_the_result() -> None:
    found = figures(LOG, resources=Resources(gpus=2))
    assert found["phase_seconds", "queue"] == 25.0
    assert ("gpu_seconds", "queue") not in found, "waiting holds nothing"
    by_phase = {phase: value for (name, phase), value in found.items() if name == "gpu_seconds"}
    assert by_phase == {"start": 300.0, "load": 600.0, "idle": 10.0, "lost": 182.0}
    cost = document(resolved(resources=Resources(gpus=2)), LOG)["cost"]
    assert cost["gpu_s"] == by_phase
    assert sum(by_phase.values()) == pytest.approx(cost["gpu_hours"] * 3600)


def test_what_the_slots_do() -> None:
    activities = [Activity(Trial(number, GOOD, Origin.MODEL), "", 1.0, where) for number, where in ((5, "a"), (6, ""))]
    found = figures(LOG, Slots(activities, 4, Thinking(2.0, 9.0)))
    assert [found[f"parallelism_{name}", ""] for name in ("in_use", "waiting", "wanted")] == [1, 1, 4]
    assert (found["suggestion_last_seconds", ""], found["suggestion_spent_seconds", ""]) == (2.0, 9.0)


def test_names_have_units_and_every_one_is_read() -> None:
    assert {metric.name.removeprefix("scoot_ray_") for metric in METRICS} == {name for name, _ in figures(LOG)}
    assert all(metric.name.startswith("scoot_ray_") and metric.description for metric in METRICS)


class Gauge:
    """Stands in for Ray's."""

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.keys, self.default = name, set(tag_keys), {"": ""}

    def set_default_tags(self, tags: dict[str, str]) -> None:
        self.default = tags

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert {*self.default, *tags} == self.keys
        SET.append((self.name, value))
        SOME.set()


SET: list[tuple[str, float]] = []
SOME = threading.Event()


@pytest.fixture
def gauges(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Slots]], telemetry.StudyGauges]:
    monkeypatch.setattr(telemetry, "Gauge", Gauge)
    SET.clear()
    SOME.clear()
    return lambda slots: telemetry.StudyGauges(resolved(), "runs/fake", slots, period_s=0.01)


def test_gauges_are_set_again_while_the_loop_waits(gauges: Callable[..., telemetry.StudyGauges]) -> None:
    with gauges(Slots) as watcher:
        watcher.update(LOG)
        for _ in range(3):
            assert SOME.wait(10)
            SOME.clear()
    assert ("scoot_ray_confirmations", 1) in SET


def test_the_last_state_is_set_at_the_end(gauges: Callable[..., telemetry.StudyGauges]) -> None:
    watcher = gauges(Slots)
    watcher._period_s = 1000.0
    with watcher:
        watcher.update(LOG)
    assert ("scoot_ray_confirmations", 1) in SET


def test_a_study_does_not_end_for_its_dashboard(gauges: Callable[..., telemetry.StudyGauges]) -> None:
    asked = threading.Event()

    def broken() -> Slots:
        asked.set()
        raise RuntimeError("the pool is gone")

    with gauges(broken) as watcher:
        watcher.update(LOG)
        assert asked.wait(10)
        asked.clear()
        assert asked.wait(10), "it goes on"
    assert SET == []


def test_several_watchers_are_one() -> None:
    class Counting:
        def __init__(self) -> None:
            self.seen: list[Log] = []

        def update(self, log: Log) -> None:
            self.seen.append(log)

    both = Counting(), Counting()
    Watchers(both).update(LOG)
    assert [one.seen for one in both] == [[LOG], [LOG]]


def test_what_the_phases_leave_of_the_workers_time_is_idle() -> None:
    finished = with_idle(
        Finished(Observation(Trial(0, GOOD, Origin.DEFAULT), measured(1, 1), "", {"load_s": 8.0}), {}), 10.0
    )
    assert finished.observation.timings == {"load_s": 8.0, "idle_s": 2.0}
    assert finished.observation.held_s == 10.0


def test_the_optimizer_keeps_off_nodes_that_may_be_taken_back_where_there_are_others() -> None:
    spot = NodeShape("a", {}, {"ray.io/market-type": "spot"}, present=True)
    later = NodeShape("b", {}, {}, present=False)
    plain = NodeShape("c", {}, {}, present=True)
    assert steady([spot]) == steady([spot, later]) == {}, "it must run somewhere"
    assert steady([spot, plain]) == steady([plain]) == {"ray.io/market-type": "!spot"}


def test_a_study_without_a_gpu_costs_none() -> None:
    assert study().gpus == 0
    assert {value for (name, _), value in figures(LOG).items() if name == "gpu_seconds"} == {0.0}
