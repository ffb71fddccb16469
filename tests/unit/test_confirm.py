"""Who is measured again, in what order, and what the figures prove: on contestants whose truth is known."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.confirm import contestants, next_trials, starts
from scoot_ray.log import Log
from scoot_ray.noise import Noise
from scoot_ray.search import SLO, Config, Failed, FailureKind, Measured, Objective, Observation, Origin, Problem, Trial
from scoot_ray.study import Confirmation
from scoot_ray.verdict import standings, verdict
from tests.fakes import problem, truth

DEFAULT: Config = dict(problem().space.default or {})


def searched(goal: Problem, count: int = 12, seed: int = 0) -> Log:
    rng = random.Random(seed)
    log = Log()
    configs: list[Config] = [DEFAULT]
    while len(configs) < count:
        config = goal.space.decode(np.array([rng.random() for _ in goal.space.names]))
        if goal.space.allows(config) and config not in configs:
            configs.append(config)
    for number, chosen in enumerate(configs):
        trial = Trial(number, chosen, Origin.DEFAULT if number == 0 else Origin.MODEL)
        log = log.with_trial(trial).with_observation(Observation(trial, truth(chosen)))
    return log


def confirm_all(
    goal: Problem, settings: Confirmation, log: Log, rng: random.Random, noise: float, gain: float = 1.0
) -> Log:
    """Measure again: the truth times noise, or for no gain the default's truth whatever the configuration."""
    while trials := next_trials(goal, settings, log, 1):
        (trial,) = trials
        outcome = truth(DEFAULT if gain == 0 else trial.config)
        assert isinstance(outcome, Measured)
        runs = tuple(
            {name: value * rng.lognormvariate(0, noise) if value else value for name, value in outcome.metrics.items()}
            for _ in trial.orders
        )
        log = log.with_trial(trial).with_observation(Observation(trial, Measured(runs[0], runs)))
    return log


@pytest.mark.parametrize(("finalists", "orders"), [(1, 2), (3, 5), (2, 1)])
def test_every_contestant_meets_every_order_over_two_starts(finalists: int, orders: int) -> None:
    goal, settings = problem(), Confirmation(finalists=finalists, arrival_orders=orders)
    log = confirm_all(goal, settings, searched(goal), random.Random(0), 0.02)
    everyone = contestants(goal, settings, log)
    assert [one.role for one in everyone] == ["default", *["finalist"] * finalists]
    for one in everyone:
        trials = [trial for trial in log.trials if trial.origin is Origin.CONFIRMATION and trial.config == one.config]
        assert len(trials) == 2
        assert {order for trial in trials for order in trial.orders} == set(range(1, orders + 1))
    assert sum(trial.origin is Origin.CONFIRMATION for trial in log.trials) == starts(goal, settings)


def test_the_line_up_runs_backwards_in_the_second_round() -> None:
    goal, settings = problem(), Confirmation(finalists=2, arrival_orders=2)
    trials = next_trials(goal, settings, searched(goal), 99)
    configs = [trial.config for trial in trials]
    assert configs == [*configs[:3], *configs[2::-1]]
    assert [trial.orders for trial in trials] == [(1,)] * 3 + [(2,)] * 3


def test_nothing_is_handed_out_twice() -> None:
    goal, settings = problem(), Confirmation(finalists=2, arrival_orders=2)
    log = searched(goal)
    for trial in next_trials(goal, settings, log, 2):
        log = log.with_trial(trial)
    rest = next_trials(goal, settings, log, 99)
    assert len(rest) == 4
    assert rest[0].id == log.next_id


def test_a_real_gain_is_found_and_no_gain_is_said_to_be_none() -> None:
    goal = problem((Objective("mean_tpot_ms"),))
    settings = Confirmation(finalists=2, arrival_orders=4)
    log = searched(goal)
    found = verdict(goal, settings, confirm_all(goal, settings, log, random.Random(3), 0.03))
    assert found is not None
    assert found.kind == "better"
    assert found.winner.contestant.config["max_num_seqs"] != 64
    false_claims = 0
    for seed in range(100):
        same = verdict(goal, settings, confirm_all(goal, settings, log, random.Random(seed), 0.05, gain=0))
        assert same is not None
        false_claims += same.kind == "better"
    assert false_claims <= 9  # at most 5% in truth; 10 of 100 would then be a 3% accident


def test_one_run_proves_nothing() -> None:
    goal, settings = problem(), Confirmation(finalists=1, arrival_orders=1)
    log = searched(goal)
    (trial, *_) = next_trials(goal, settings, log, 1)
    log = log.with_trial(trial).with_observation(Observation(trial, truth(trial.config)))
    (first, second) = standings(goal, settings, log)
    assert first.promises["mean_ttft_ms"].bound is None
    assert second.failure == "not measured again"
    assert verdict(goal, settings, log) is None


def test_a_finalist_that_crashes_when_measured_again_is_out() -> None:
    goal = problem((Objective("mean_tpot_ms"),))
    settings = Confirmation(finalists=2, arrival_orders=2)
    log = searched(goal)
    best = contestants(goal, settings, log)[1]
    while trials := next_trials(goal, settings, log, 1):
        outcome = Failed(FailureKind.CRASHED, "boom") if trials[0].config == best.config else truth(trials[0].config)
        log = log.with_trial(trials[0]).with_observation(Observation(trials[0], outcome))
    found = verdict(goal, settings, log)
    assert found is not None
    assert found.winner.contestant.config != best.config
    assert "boom" in (standings(goal, settings, log)[1].failure or "")


def test_a_search_without_survivors_confirms_nothing() -> None:
    trial = Trial(0, DEFAULT, Origin.DEFAULT)
    log = Log().with_trial(trial).with_observation(Observation(trial, Failed(FailureKind.CRASHED, "boom")))
    assert contestants(problem(), Confirmation(), log) == ()
    assert next_trials(problem(), Confirmation(), log, 3) == ()
    assert verdict(problem(), Confirmation(), log) is None


@given(st.lists(st.floats(1.0, 1e4), min_size=2, max_size=6), st.sampled_from([1, -1]))
def test_the_prediction_bound_lies_beyond_the_mean_on_the_worse_side(values: list[float], worse: int) -> None:
    noise = Noise.of([values])
    bound = noise.prediction_bound(values, worse)
    assert bound is not None
    assert (bound - noise.mean(values)) * worse >= -1e-6 * noise.mean(values)


def test_the_prediction_bound_holds_for_nineteen_of_twenty_further_runs() -> None:
    rng = random.Random(11)
    held = 0
    for _ in range(600):
        groups = [[rng.lognormvariate(3, 0.05) for _ in range(3)] for _ in range(3)]
        bound = Noise.of(groups).prediction_bound(groups[0], 1)
        assert bound is not None
        held += rng.lognormvariate(3, 0.05) <= bound
    assert 0.92 * 600 <= held <= 0.98 * 600


def test_a_baseline_that_is_the_default_is_measured_once() -> None:
    goal = replace(problem(), baseline=DEFAULT)
    settings = Confirmation(finalists=1, arrival_orders=2)
    assert [one.role for one in contestants(goal, settings, searched(goal))] == ["default", "finalist"]


@pytest.mark.parametrize("limit", [10.0, 30.0, 55.0])
def test_a_gain_is_better_whether_or_not_it_also_keeps_an_slo_that_the_default_breaks(limit: float) -> None:
    goal = replace(problem((Objective("mean_tpot_ms"),)), slos=(SLO("mean_tpot_ms", "<", limit),))
    settings = Confirmation(finalists=1, arrival_orders=4)
    found = verdict(goal, settings, confirm_all(goal, settings, searched(goal), random.Random(3), 0.01))
    assert found is not None
    assert found.kind == "better"
    assert found.chosen is found.winner
