"""Ambiguous failures: tried once more when the machine has been seen healthy, and never on the budget's account."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoot_ray.journal import Journal
from scoot_ray.log import Log
from scoot_ray.recheck import canary, held, probe
from scoot_ray.search import Config, Failed, FailureKind, Measured, Observation, Origin, Outcome, Trial
from scoot_ray.study import Budget
from scoot_ray.tune import RetryPolicy, tune
from tests.fakes import After, FakeEvaluator, Never, Silent, SobolOptimizer, study

GOOD: Config = {"max_num_seqs": 8}
BAD: Config = {"max_num_seqs": 64}
CRASHED = Failed(FailureKind.CRASHED, "nobody knows why", ambiguous=True)


def seen(number: int, outcome: Outcome, where: str = "a", origin: Origin = Origin.MODEL) -> Observation:
    return Observation(Trial(number, GOOD if isinstance(outcome, Measured) else BAD, origin), outcome, where)


def log_of(*observations: Observation) -> Log:
    log = Log()
    for observation in observations:
        if all(trial.id != observation.trial.id for trial in log.trials):
            log = log.with_trial(observation.trial)
        log = log.with_observation(observation)
    return log


def test_the_first_ambiguous_failure_waits_for_a_sign_from_its_host_and_the_second_counts() -> None:
    log = log_of(seen(0, Measured({})), seen(1, CRASHED))
    assert [trial.id for trial in log.open] == [1]
    assert held(log) == {1}
    elsewhere = log.with_trial(Trial(2, GOOD, Origin.MODEL)).with_observation(seen(2, Measured({}), where="b"))
    assert held(elsewhere) == {1}
    here = elsewhere.with_trial(Trial(3, GOOD, Origin.MODEL)).with_observation(seen(3, Measured({}), where="a"))
    assert not held(here)
    settled = here.with_observation(seen(1, CRASHED))
    assert not settled.open
    assert not settled.doubts
    assert settled.observations[-1].outcome == CRASHED


def test_a_certain_failure_counts_at_once_and_so_does_a_measurement_on_the_second_try() -> None:
    assert not log_of(seen(0, Failed(FailureKind.REJECTED, "no"))).open
    log = log_of(seen(0, CRASHED), seen(0, Measured({})))
    assert [one.outcome for one in log.observations] == [Measured({})]
    assert not log.doubts


def test_while_nothing_was_ever_measured_there_is_nothing_to_wait_for() -> None:
    log = log_of(seen(0, CRASHED))
    assert not held(log)
    assert probe(log) is None


def test_a_probe_is_a_known_good_configuration_one_at_a_time_and_outside_the_budget() -> None:
    log = log_of(seen(0, Measured({})), seen(1, CRASHED))
    sent = probe(log)
    assert sent == Trial(2, GOOD, Origin.PROBE)
    log = log.with_trial(sent)
    assert probe(log) is None
    assert log.spent == 2
    assert [trial.id for trial in log.open_search] == [1]
    assert not held(log.with_observation(seen(2, Measured({}), where="b", origin=Origin.PROBE)))
    failed = log.with_observation(Observation(sent, Failed(FailureKind.OUT_OF_MEMORY, "full"), "a"))
    assert sent in failed.open, "a probe that fails says nothing against its configuration"
    assert held(failed) == {1}


def test_a_canary_is_the_default_once_so_many_evaluations_have_ended_since_it_was_last_measured() -> None:
    log = log_of(seen(0, Measured({}), origin=Origin.DEFAULT), seen(1, Measured({})))
    assert canary(log, None) is None
    assert canary(log, 2) is None
    log = log.with_trial(Trial(2, BAD, Origin.MODEL)).with_observation(seen(2, Failed(FailureKind.REJECTED, "no")))
    sent = canary(log, 2)
    assert sent == Trial(3, GOOD, Origin.PROBE)
    under_way = log.with_trial(sent)
    assert canary(under_way, 2) is None
    assert under_way.spent == 3
    assert canary(under_way.with_observation(seen(3, Measured({}), origin=Origin.PROBE)), 2) is None


def test_a_default_that_was_not_measured_and_a_study_that_confirms_have_no_canary() -> None:
    failed = log_of(seen(0, Failed(FailureKind.REJECTED, "no"), origin=Origin.DEFAULT), seen(1, Measured({})))
    assert canary(failed, 1) is None
    log = log_of(seen(0, Measured({}), origin=Origin.DEFAULT), seen(1, Measured({})))
    assert canary(log, 1) is not None
    assert canary(log.with_trial(Trial(2, GOOD, Origin.CONFIRMATION, (1,))), 1) is None


@pytest.mark.parametrize("slots", [1, 5])
def test_canaries_cost_no_budget(tmp_path: Path, slots: int) -> None:
    class DefaultFirst(SobolOptimizer):
        def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:
            found = super().suggest(log, count)
            return found if log.spent else (Trial(0, found[0].config, Origin.DEFAULT),)

    plan = study(budget=Budget(observations=12, canary_every=3))
    evaluator = FakeEvaluator(random.Random(1), lambda: slots, fault_rate=0.2, outcome=lambda _: Measured({}))
    log = tune(plan, Log(), DefaultFirst(), evaluator, Journal(tmp_path), Never(), Silent())
    assert len(log.searched) == log.spent == 12
    canaries = [one for one in log.observations if one.trial.origin is Origin.PROBE]
    assert 1 <= len(canaries) <= 4
    assert {str(one.trial.config) for one in canaries} == {str(log.searched[0].trial.config)}


def run(folder: Path, evaluator: FakeEvaluator, budget: int = 12, stop: Never | After | None = None) -> Log:
    journal = Journal(folder)
    log = journal.started(journal.replay(), {})
    plan = study(budget=Budget(observations=budget))
    return tune(plan, log, SobolOptimizer(), evaluator, journal, stop or Never(), Silent())


def events(folder: Path) -> list[tuple[int, dict[str, object]]]:
    return [(e.trial or 0, e.data["outcome"]) for e in Journal(folder).events() if e.type == "observed"]


@pytest.mark.parametrize("slots", [1, 3])
def test_a_configuration_that_always_crashes_is_tried_twice_with_a_measurement_in_between(
    tmp_path: Path, slots: int
) -> None:
    def outcome(config: Config) -> Outcome:
        return Measured({"mean_ttft_ms": 1.0}) if config["enable_prefix_caching"] else CRASHED

    log = run(tmp_path, FakeEvaluator(random.Random(3), lambda: slots, outcome=outcome))
    assert len(log.searched) == 12
    happened = events(tmp_path)
    blamed = [one.trial.id for one in log.searched if isinstance(one.outcome, Failed)]
    assert blamed
    for trial in blamed:
        first, second = [at for at, (number, _) in enumerate(happened) if number == trial]
        good = [at for at, (_, found) in enumerate(happened) if "measured" in found]
        assert any(first < at < second for at in good) or first < min(good)


def test_a_machine_that_fails_now_and_then_harms_no_configuration(tmp_path: Path) -> None:
    tried: set[int] = set()

    def outcome(config: Config) -> Outcome:
        key = hash(tuple(config.items()))
        first = key not in tried
        tried.add(key)
        return CRASHED if first and len(tried) % 3 == 0 else Measured({"mean_ttft_ms": 1.0})

    log = run(tmp_path, FakeEvaluator(random.Random(5), lambda: 2, outcome=outcome))
    assert len(log.searched) == 12
    assert all(isinstance(one.outcome, Measured) for one in log.searched)
    assert log.attempts > 0


class Exhausted(RetryPolicy):
    def requested(self, log: Log) -> bool:
        return self.exhausted(log) is not None


def test_a_machine_that_breaks_ends_the_run_and_no_configuration_is_blamed(tmp_path: Path) -> None:
    evaluated: list[Config] = []

    def outcome(config: Config) -> Outcome:
        evaluated.append(config)
        return Measured({"mean_ttft_ms": 1.0}) if len(evaluated) <= 3 else CRASHED

    evaluator = FakeEvaluator(random.Random(7), outcome=outcome)
    journal = Journal(tmp_path)
    plan = study(budget=Budget(observations=20))
    log = tune(plan, Log(), SobolOptimizer(), evaluator, journal, Exhausted(), Silent())
    assert all(isinstance(one.outcome, Measured) for one in log.searched)
    assert len(evaluated) < 3 + 2 + 8, "two trials, then only probes"
    assert "a configuration that had worked fails now" in (RetryPolicy().exhausted(log) or "")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    seed=st.integers(0, 10**6),
    budget=st.integers(1, 15),
    slots=st.integers(1, 8),
    kills=st.lists(st.integers(0, 12), max_size=3),
    doubt_rate=st.sampled_from([0.2, 0.6]),
)
def test_the_budget_stays_exact_and_a_replay_gives_the_same_log(
    tmp_path_factory: pytest.TempPathFactory, seed: int, budget: int, slots: int, kills: list[int], doubt_rate: float
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    rng = random.Random(seed)
    log = Log()
    for looks in [*kills, None]:
        evaluator = FakeEvaluator(rng, lambda: rng.randint(0, slots), fault_rate=0.2, doubt_rate=doubt_rate)
        log = run(folder, evaluator, budget, None if looks is None else After(looks))
    assert len(log.searched) == log.spent == budget
    assert not log.open
    assert [trial.id for trial in log.trials] == list(range(len(log.trials)))
    assert sorted(one.trial.id for one in log.observations) == [trial.id for trial in log.trials]
    replayed = Journal(folder).replay()
    assert (replayed.observations, replayed.doubts, replayed.attempts) == (log.observations, log.doubts, log.attempts)
