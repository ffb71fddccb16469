"""Who is measured again, in what order, and what the figures prove: on contestants whose truth is known."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from scoot_ray.confirm import next_trials, starts
from scoot_ray.finalists import contestants, key
from scoot_ray.log import Log
from scoot_ray.search import (
    SLO,
    Config,
    Failed,
    FailureKind,
    Measured,
    Objective,
    Observation,
    Origin,
    Problem,
    Trial,
    recommend,
)
from scoot_ray.standing import standings
from scoot_ray.study import Confirmation
from scoot_ray.verdict import verdict
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
    """Measure again: the truth times what the arrival order and chance do to it.

    For no gain it is the default's truth whatever the configuration.
    """
    crowd = {order: rng.lognormvariate(0, 0.5) for order in range(100)}
    while trials := next_trials(goal, settings, log, 1):
        (trial,) = trials
        outcome = truth(DEFAULT if gain == 0 else trial.config)
        assert isinstance(outcome, Measured)
        runs = tuple(
            {
                name: value * (crowd[order] if name.endswith("_ms") else 1.0) * rng.lognormvariate(0, noise)
                if value
                else value
                for name, value in outcome.metrics.items()
            }
            for order in trial.orders
        )
        log = log.with_trial(trial).with_observation(Observation(trial, Measured(runs[0], runs), "node-a"))
    return log


def orders_of(log: Log, config: Config) -> list[int]:
    confirming = [trial for trial in log.trials if trial.origin is Origin.CONFIRMATION]
    return sorted(order for trial in confirming if key(trial.config) == key(config) for order in trial.orders)


@pytest.mark.parametrize(("finalists", "orders"), [(1, 2), (3, 5), (2, 1)])
def test_every_contestant_meets_every_order_in_a_start_of_its_own(finalists: int, orders: int) -> None:
    goal = problem()
    settings = Confirmation(finalists=finalists, arrival_orders=orders, max_arrival_orders=orders)
    log = confirm_all(goal, settings, searched(goal), random.Random(0), 0.02)
    everyone = contestants(goal, settings, log)
    assert [one.role for one in everyone] == ["default", *["finalist"] * finalists]
    for one in everyone:
        assert orders_of(log, one.config) == list(range(1, orders + 1))
    confirming = [trial for trial in log.trials if trial.origin is Origin.CONFIRMATION]
    assert all(len(trial.orders) == 1 for trial in confirming)
    assert len(confirming) == starts(goal, settings)


def test_nobody_is_always_first() -> None:
    goal, settings = problem(), Confirmation(finalists=2, arrival_orders=6)
    trials = next_trials(goal, settings, searched(goal), 99)
    rounds = [[key(trial.config) for trial in trials if trial.orders == (order,)] for order in range(1, 7)]
    for place in range(3):
        assert {names[place] for names in rounds} == set(rounds[0])


def test_nothing_is_handed_out_twice_and_a_look_waits_for_its_runs() -> None:
    goal, settings = problem(), Confirmation(finalists=2, arrival_orders=2)
    log = searched(goal)
    for trial in next_trials(goal, settings, log, 2):
        log = log.with_trial(trial)
    rest = next_trials(goal, settings, log, 99)
    assert len(rest) == 4
    assert rest[0].id == log.next_id
    for trial in rest:
        log = log.with_trial(trial)
    assert next_trials(goal, settings, log, 99) == ()


def test_a_clear_case_is_decided_at_the_first_look_and_a_close_one_goes_on() -> None:
    goal = problem((Objective("mean_tpot_ms"),))
    settings = Confirmation(finalists=1, arrival_orders=4, max_arrival_orders=9)
    log = searched(goal)
    clear = confirm_all(goal, settings, log, random.Random(1), 0.01)
    assert orders_of(clear, DEFAULT) == [1, 2, 3, 4]
    close = confirm_all(goal, settings, log, random.Random(1), 0.05, gain=0)
    assert orders_of(close, DEFAULT) == list(range(1, 10))


def test_further_orders_are_for_what_is_close_alone() -> None:
    goal = problem((Objective("mean_tpot_ms"),))
    settings = Confirmation(finalists=3, arrival_orders=4, max_arrival_orders=12)
    log = searched(goal)
    everyone = contestants(goal, settings, log)
    twins = {key(everyone[1].config), key(everyone[2].config)}
    rng = random.Random(0)
    while trials := next_trials(goal, settings, log, 1):
        level = 50.0 if key(trials[0].config) in twins else 80.0
        metrics = {"mean_tpot_ms": level * rng.lognormvariate(0, 0.01), "error_rate": 0.0}
        log = log.with_trial(trials[0]).with_observation(Observation(trials[0], Measured(metrics, (metrics,))))
    counts = [len(orders_of(log, one.config)) for one in everyone]
    assert counts[3] == 4  # the third finalist is out of it
    assert counts[0] == counts[1] == counts[2] > 4
    found = verdict(goal, settings, log)
    assert found is not None
    assert found.kind == "better"


def test_a_real_gain_is_found_and_no_gain_is_said_to_be_none() -> None:
    goal = problem((Objective("mean_tpot_ms"),))
    settings = Confirmation(finalists=2, arrival_orders=4)
    log = searched(goal)
    found = verdict(goal, settings, confirm_all(goal, settings, log, random.Random(3), 0.03))
    assert found is not None
    assert found.kind == "better"
    assert found.winner.contestant.config["max_num_seqs"] != 64
    false_claims = 0
    for seed in range(40):
        same = verdict(goal, settings, confirm_all(goal, settings, log, random.Random(seed), 0.05, gain=0))
        assert same is not None
        false_claims += same.kind == "better"
    assert false_claims <= 5  # at most 5% in truth; 6 of 40 would then be a 1% accident


def test_keeping_an_slo_by_accident_is_no_gain() -> None:
    """Where all are alike and the limit is where their bounds are, some keep it on paper."""
    goal = replace(problem((Objective("mean_tpot_ms"),)), slos=(SLO("mean_tpot_ms", "<", 150.0),))
    settings, claims = Confirmation(finalists=3, arrival_orders=4), 0
    log = searched(goal)
    for seed in range(20):
        found = verdict(goal, settings, confirm_all(goal, settings, log, random.Random(seed), 0.05, gain=0))
        assert found is not None
        claims += found.chosen is found.winner
    assert claims <= 4


def test_one_run_proves_nothing() -> None:
    goal, settings = problem(), Confirmation(finalists=1, arrival_orders=1)
    log = searched(goal)
    (trial, *_) = next_trials(goal, settings, log, 1)
    log = log.with_trial(trial).with_observation(Observation(trial, truth(trial.config)))
    (first, second) = standings(goal, settings, log)
    assert first.promises["mean_ttft_ms"].bound is None
    assert second.failure == "not measured again"
    assert verdict(goal, settings, log) is None


def test_a_finalist_that_crashes_when_measured_again_is_out_and_not_tried_further() -> None:
    goal = problem((Objective("mean_tpot_ms"),))
    settings = Confirmation(finalists=2, arrival_orders=3)
    log = searched(goal)
    best = contestants(goal, settings, log)[1]
    while trials := next_trials(goal, settings, log, 1):
        outcome = Failed(FailureKind.CRASHED, "boom") if trials[0].config == best.config else truth(trials[0].config)
        log = log.with_trial(trials[0]).with_observation(Observation(trials[0], outcome))
    found = verdict(goal, settings, log)
    assert found is not None
    assert found.winner.contestant.config != best.config
    assert "boom" in (standings(goal, settings, log)[1].failure or "")
    assert orders_of(log, best.config) == [1]


def test_the_finalists_of_two_objectives_are_the_best_by_equation_11_and_a_spread() -> None:
    goal = problem()
    log = searched(goal, count=40, seed=2)
    found = [one.config for one in contestants(goal, Confirmation(finalists=4), log) if one.role == "finalist"]
    front = [seen.trial.config for seen in recommend(goal, log.searched)]
    front.remove(DEFAULT) if DEFAULT in front else None
    assert found[0] == front[0]
    assert len({key(config) for config in found}) == 4
    measured = [truth(config) for config in (DEFAULT, *found)]
    figures = [
        [one.metrics[name] for name in ("mean_ttft_ms", "mean_tpot_ms")]
        for one in measured
        if isinstance(one, Measured)
    ]
    assert all(min(mine[i] / figures[0][i] for i in range(2)) <= 1 for mine in figures[1:])


def test_old_runs_with_several_orders_in_one_start_are_taken_up() -> None:
    goal, settings = problem(), Confirmation(finalists=1, arrival_orders=3, max_arrival_orders=3)
    log = searched(goal)
    trial = Trial(log.next_id, DEFAULT, Origin.CONFIRMATION, (1, 3))
    outcome = truth(DEFAULT)
    assert isinstance(outcome, Measured)
    log = log.with_trial(trial).with_observation(Observation(trial, Measured(outcome.metrics, outcome.runs * 2)))
    rest = next_trials(goal, settings, log, 99)
    assert [trial.orders for trial in rest if trial.config == DEFAULT] == [(2,)]
    assert standings(goal, settings, log)[0].promises["mean_ttft_ms"].orders == (1, 3)


def test_it_is_said_where_a_contestant_was_measured() -> None:
    goal, settings = problem(), Confirmation(finalists=1, arrival_orders=2)
    log = confirm_all(goal, settings, searched(goal), random.Random(0), 0.02)
    assert [one.nodes for one in standings(goal, settings, log)] == [("node-a",)] * 2


def test_a_search_without_survivors_confirms_nothing() -> None:
    trial = Trial(0, DEFAULT, Origin.DEFAULT)
    log = Log().with_trial(trial).with_observation(Observation(trial, Failed(FailureKind.CRASHED, "boom")))
    assert contestants(problem(), Confirmation(), log) == ()
    assert next_trials(problem(), Confirmation(), log, 3) == ()
    assert verdict(problem(), Confirmation(), log) is None


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
