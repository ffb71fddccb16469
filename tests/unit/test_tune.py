"""The loop against a fake world: exact budgets, unique ids, nothing lost and nothing twice, whatever happens."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoot_ray.journal import Journal
from scoot_ray.log import Log
from scoot_ray.search import Failed, FailureKind, Measured, Observation, Origin, Trial
from scoot_ray.study import Budget, Study
from scoot_ray.tune import RetryPolicy, tune
from tests.fakes import After, FakeEvaluator, Never, Silent, SobolOptimizer, study, truth


def run(
    settings_: Study, folder: Path, evaluator: FakeEvaluator, stop: Never | After, confirmations: int = 0
) -> tuple[Log, Journal]:
    journal = Journal(folder)
    log = journal.started(journal.replay(), {})
    optimizer = SobolOptimizer(confirmations=confirmations)
    return tune(settings_, log, optimizer, evaluator, journal, stop, Silent()), journal


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 10**6),
    budget=st.integers(1, 25),
    slots=st.integers(1, 50),
    kills=st.lists(st.integers(0, 12), max_size=4),
    confirmations=st.integers(0, 5),
    fault_rate=st.sampled_from([0.0, 0.3]),
)
def test_budget_is_exact_and_nothing_is_lost_or_doubled_over_kills_and_elastic_slots(
    tmp_path_factory: pytest.TempPathFactory,
    seed: int,
    budget: int,
    slots: int,
    kills: list[int],
    confirmations: int,
    fault_rate: float,
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    rng = random.Random(seed)
    plan = study(budget=Budget(observations=budget))
    kept: list[Observation] = []
    for looks in [*kills, None]:
        evaluator = FakeEvaluator(rng, lambda: rng.randint(0, slots), fault_rate)
        log, journal = run(plan, folder, evaluator, Never() if looks is None else After(looks), confirmations)
        assert evaluator.closed
        assert log.observations[: len(kept)] == tuple(kept), "a finished observation was lost or changed"
        kept = list(log.observations)
    assert not log.open
    assert len(log.searched) == budget
    assert len(log.confirmed) == confirmations
    ids = [trial.id for trial in log.trials]
    assert ids == list(range(budget + confirmations))
    assert sorted(seen.trial.id for seen in log.observations) == ids
    replayed = journal.replay()
    assert replayed.trials == log.trials
    assert replayed.observations == log.observations


def test_a_free_slot_is_refilled_while_others_work(tmp_path: Path) -> None:
    evaluator = FakeEvaluator(random.Random(0), lambda: 4)
    run(study(budget=Budget(observations=20)), tmp_path, evaluator, Never())
    assert evaluator.most_running == 4
    assert len(evaluator.evaluated) == 20


def test_failures_of_ours_cost_no_budget_and_failures_of_the_configuration_do(tmp_path: Path) -> None:
    evaluator = FakeEvaluator(
        random.Random(1), lambda: 2, fault_rate=0.5, outcome=lambda _: Failed(FailureKind.CRASHED, "boom")
    )
    log, _ = run(study(budget=Budget(observations=8)), tmp_path, evaluator, Never())
    assert len(log.searched) == 8
    assert log.attempts > 0
    assert all(isinstance(seen.outcome, Failed) and seen.outcome.kind.of_configuration for seen in log.searched)


def test_confirmation_waits_for_the_last_search_trial(tmp_path: Path) -> None:
    log, _ = run(study(budget=Budget(observations=6)), tmp_path, FakeEvaluator(random.Random(2), lambda: 3), Never(), 4)
    first = next(at for at, trial in enumerate(log.trials) if trial.origin is Origin.CONFIRMATION)
    assert all(trial.origin is Origin.CONFIRMATION for trial in log.trials[first:])
    assert all(seen.trial.origin is Origin.CONFIRMATION for seen in log.observations[6:])


class ClosesAfter(FakeEvaluator):
    """A pool whose window closes once so many have been evaluated: nothing that runs is stopped, nothing starts."""

    def __init__(self, count: int) -> None:
        super().__init__(random.Random(0), lambda: 0 if len(self.evaluated) >= count else 2)


def test_the_end_is_seen_when_the_window_closes_with_the_last_trial(tmp_path: Path) -> None:
    plan = study(budget=Budget(observations=4))
    log, _ = run(plan, tmp_path / "search", ClosesAfter(4), Never())
    assert len(log.searched) == 4
    log, _ = run(plan, tmp_path / "confirmation", ClosesAfter(6), Never(), confirmations=2)
    assert len(log.confirmed) == 2


def test_what_a_closed_window_leaves_undone_is_done_when_it_opens(tmp_path: Path) -> None:
    plan, looks = study(budget=Budget(observations=5)), iter(range(10**6))
    evaluator = FakeEvaluator(random.Random(0), lambda: 2 if next(looks) % 40 < 5 else 0)
    log, _ = run(plan, tmp_path, evaluator, Never(), confirmations=2)
    assert len(log.searched) == 5
    assert len(log.confirmed) == 2


class Interrupted:
    """A stop that comes while the optimizer is asked, which then answers with nothing."""

    def __init__(self) -> None:
        self.now = False

    def requested(self, log: Log) -> bool:
        return self.now


class InterruptedOptimizer(SobolOptimizer):
    def __init__(self, stop: Interrupted) -> None:
        super().__init__(confirmations=2)
        self._stop = stop

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
        self._stop.now = log.spent == 3
        return () if self._stop.now else super().suggest(log, count)


def test_an_interrupt_during_a_suggestion_neither_ends_the_search_nor_starts_the_confirmation(tmp_path: Path) -> None:
    stop, journal = Interrupted(), Journal(tmp_path)
    evaluator = FakeEvaluator(random.Random(0))
    log = tune(
        study(budget=Budget(observations=8)), Log(), InterruptedOptimizer(stop), evaluator, journal, stop, Silent()
    )
    assert stop.now
    assert len(log.trials) == 3
    assert all(one.origin is not Origin.CONFIRMATION for one in log.trials)


def trial(number: int = 0) -> Trial:
    return Trial(number, {"max_num_seqs": 8, "max_num_batched_tokens": 64, "enable_prefix_caching": True}, Origin.MODEL)


def setback(kind: FailureKind) -> Observation:
    return Observation(trial(), Failed(kind, "requests were sent late"))


def test_a_lagging_client_stops_the_run_after_two_retries_and_names_the_knob() -> None:
    log = Log().with_trial(trial())
    for attempt in range(3):
        assert RetryPolicy().exhausted(log) is None, attempt
        log = log.with_observation(setback(FailureKind.CLIENT_LAGGED))
    reason = RetryPolicy().exhausted(log)
    assert reason is not None
    assert "resources.cpus" in reason
    assert "requests were sent late" in reason


def test_lost_nodes_are_forgiven_more_often_but_not_for_ever_and_a_new_driver_starts_afresh() -> None:
    log = Log().with_trial(trial())
    for _ in range(4):
        log = log.with_observation(setback(FailureKind.NODE_LOST))
    assert RetryPolicy().exhausted(log) is None
    log = log.with_observation(setback(FailureKind.NODE_LOST))
    assert "node_lost" in (RetryPolicy().exhausted(log) or "")
    assert RetryPolicy().exhausted(log.with_driver()) is None


def test_a_second_outcome_of_a_settled_trial_changes_nothing() -> None:
    done = Observation(trial(), truth(trial().config))
    log = Log().with_trial(trial()).with_observation(done)
    again = log.with_observation(Observation(trial(), Measured({"mean_ttft_ms": 1.0})))
    assert again is log


def test_gpu_hours_end_the_search() -> None:
    hour = Observation(trial(), Measured({}), timings={"load_s": 3600.0})
    log = Log().with_trial(trial()).with_observation(hour)
    budget = Budget(observations=10, gpu_hours=2.0)
    assert budget.left(log, gpus=1) == 9
    assert budget.left(log, gpus=2) == 0
