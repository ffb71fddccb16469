"""What is told of a search whose truth is known: parameters that matter, crashes with a cause, and honest silence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.search import Boolean, Config, Float, Integer, Metrics, Objective, Observation, Origin, Problem
from scoot_ray.search.crashes import crash_rules
from scoot_ray.search.explain import Explanation, explain
from scoot_ray.search.problem import usable
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.surrogate import fit
from tests.unit.search.problems import ENGINE, observe

SPACE = SearchSpace(
    [
        Integer("max_num_seqs", 64, 8192, scale="powers_of_two"),
        Float("delay", 0.0, 2.0),
        Boolean("enable_prefix_caching"),
        Boolean("idle"),
    ],
    ["not (enable_prefix_caching and max_num_seqs > 4096)"],
    default={"max_num_seqs": 256, "delay": 0.0, "enable_prefix_caching": False, "idle": False},
)
THROUGHPUT = Problem(SPACE, [Objective("request_throughput", "maximize")])


def served(config: Config) -> Metrics:
    """Doubles with caching and grows with the sequences; neither ``delay`` nor ``idle`` does anything."""
    reuse = 2.0 if config["enable_prefix_caching"] else 1.0
    return {"request_throughput": reuse * float(config["max_num_seqs"]) ** 0.2}


def history(count: int, seed: int = 0, noise: float = 0.02) -> list[Observation]:
    rng = np.random.default_rng(seed)
    found: list[Observation] = []
    while len(found) < count:
        config = SPACE.decode(rng.random(SPACE.dimension))
        if SPACE.allows(config):
            metrics = {
                name: value * float(np.exp(noise * rng.standard_normal())) for name, value in served(config).items()
            }
            found.append(observe(len(found), config, Origin.INITIAL, metrics))
    return found


@pytest.fixture(scope="module")
def explained() -> Explanation:
    return explain(THROUGHPUT, history(30), 0)


def test_what_matters_is_told_from_what_does_not(explained: Explanation) -> None:
    found = {one.parameter: one for one in explained.objectives[0].importances}
    assert found["enable_prefix_caching"].verdict == "matters"
    assert found["max_num_seqs"].verdict == "matters"
    assert found["idle"].verdict == found["delay"].verdict == "hardly matters"
    assert all(0 <= one.low <= one.share <= one.high <= 1 for one in found.values())
    shares = [one.share for one in explained.objectives[0].importances]
    assert shares == sorted(shares, reverse=True)


def test_curves_are_in_the_metric_s_unit_and_go_the_right_way(explained: Explanation) -> None:
    curves = {one.parameter: one for one in explained.objectives[0].curves}
    caching = curves["enable_prefix_caching"]
    assert caching.values == (False, True)
    assert caching.mean[1] / caching.mean[0] == pytest.approx(2, rel=0.15)
    sequences = curves["max_num_seqs"].mean
    assert sequences[-1] > sequences[0]
    for one in curves.values():
        assert all(low <= mean <= high for low, mean, high in zip(one.low, one.mean, one.high, strict=True))


def test_the_model_behind_it_is_judged_on_what_it_had_not_seen(explained: Explanation) -> None:
    quality = explained.objectives[0].calibration
    assert quality.observations == 30
    assert quality.logarithmic
    assert quality.error < 0.3 * quality.spread
    assert quality.within_90 >= max(0.7, quality.within_50)


def test_leaving_one_out_is_what_fitting_without_it_gives() -> None:
    rng = np.random.default_rng(1)
    x = rng.random((9, 2))
    surrogate = fit(x, np.sin(5 * x[:, 0]) + 0.1 * rng.standard_normal(9), (0, 1))
    mean, std = surrogate.leave_one_out()
    for out in range(9):
        rest = np.arange(9) != out
        without = replace(surrogate, x=x[rest], z=surrogate.z[rest]).conditioned(x[:0], surrogate.z[:0])
        predicted, spread = without.predict(x[[out]])
        assert mean[out] == pytest.approx(predicted[0], abs=1e-4)
        assert std[out] == pytest.approx(np.hypot(spread[0], surrogate.noise), abs=1e-4)


def test_joint_and_single_predictions_agree() -> None:
    x = np.random.default_rng(2).random((12, 3))
    surrogate = fit(x, x[:, 0] - x[:, 1], (0, 1, 2))
    mean, covariance = surrogate.joint(x)
    assert mean == pytest.approx(surrogate.predict(x)[0])
    assert np.sqrt(np.maximum(np.diag(covariance), 1e-12)) == pytest.approx(surrogate.predict(x)[1], abs=1e-5)


def test_few_measurements_tell_nothing_and_say_so() -> None:
    found = explain(THROUGHPUT, history(5), 0)
    assert found.objectives == ()
    assert found.silence is not None
    assert "5 usable measurements are too few" in found.silence
    assert explain(THROUGHPUT, (), 0).measured == 0


def test_equal_searches_are_explained_alike(explained: Explanation) -> None:
    assert explain(THROUGHPUT, history(30), 0) == explained


def crashing(count: int, seed: int, chance: float = 0.0) -> list[Observation]:
    """Many sequences without prefix caching crash; beyond that, everything does with a ``chance``."""
    rng = np.random.default_rng(seed)
    found: list[Observation] = []
    for index in range(count):
        config = SPACE.decode(rng.random(SPACE.dimension))
        crashes = int(config["max_num_seqs"]) >= 1024 and not config["enable_prefix_caching"]
        crashes = crashes if chance == 0.0 else rng.random() < chance
        found.append(observe(index, config, Origin.MODEL, None if crashes else served(config)))
    return found


@pytest.mark.parametrize("seed", range(3))
def test_a_hidden_constraint_is_put_in_words_with_its_counts(seed: int) -> None:
    seen = crashing(40, seed)
    rule, *more = crash_rules(SPACE, seen, 0)
    assert not more
    assert {c.parameter for c in rule.conditions} == {"max_num_seqs", "enable_prefix_caching"}
    assert rule.failed == rule.covered == len(seen) - len(usable(THROUGHPUT, seen))
    assert rule.others[0] == 0
    assert rule.kinds == {"crashed": rule.failed}
    said = str(rule)
    assert said.startswith(f"failed {rule.failed} of {rule.covered} times where max_num_seqs >= 1024 and ")
    assert "enable_prefix_caching = false" in said


def test_crashes_without_a_cause_are_given_none() -> None:
    told = sum(bool(crash_rules(SPACE, crashing(30, seed, chance=0.3), 0)) for seed in range(20))
    assert told <= 4  # one in twenty is luck


@given(st.lists(st.booleans(), max_size=25), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_counts_are_those_of_the_history(failures: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    configs = [ENGINE.decode(rng.random(ENGINE.dimension)) for _ in failures]
    seen = [
        observe(i, config, Origin.MODEL, None if failed else {"p95_e2el_ms": 1.0})
        for i, (config, failed) in enumerate(zip(configs, failures, strict=True))
    ]
    for rule in crash_rules(ENGINE, seen, seed):
        inside = [all(c.holds(config) for c in rule.conditions) for config in configs]
        assert rule.covered == sum(inside)
        assert rule.failed == sum(f for f, i in zip(failures, inside, strict=True) if i)
        assert rule.others == (sum(failures) - rule.failed, len(failures) - rule.covered)
        assert 1 <= len({c.parameter for c in rule.conditions}) == len(rule.conditions) <= 2
