"""What repeated measurements of the default say of nodes and of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scoot_ray.log import Log
from scoot_ray.results.steadiness import Effect, steadiness, unsteady
from scoot_ray.search import Measured, Objective, Observation, Origin, Trial
from tests.fakes import problem

DEFAULT = problem().space.default or {}
ONE = problem((Objective("mean_ttft_ms"),))


def log_of(values: Sequence[float], nodes: Sequence[str]) -> Log:
    log = Log()
    for number, (value, node) in enumerate(zip(values, nodes, strict=True)):
        trial = Trial(number, DEFAULT, Origin.PROBE if number else Origin.DEFAULT)
        log = log.with_trial(trial).with_observation(Observation(trial, Measured({"mean_ttft_ms": value}), node))
    return log


def effects(values: Sequence[float], nodes: Sequence[str]) -> dict[str | None, Effect]:
    return {one.node: one for one in steadiness(ONE, log_of(values, nodes))}


def test_of_few_measurements_nothing_is_said() -> None:
    assert not steadiness(ONE, log_of([1.0, 2.0, 3.0], "aaa"))
    assert not steadiness(ONE, Log())


def test_noise_alone_is_rarely_taken_for_an_effect() -> None:
    rng = np.random.default_rng(0)
    nodes = ["a", "b", "c"] * 4
    said = sum(bool(unsteady(effects(np.exp(rng.normal(5, 0.05, 12)).tolist(), nodes).values())) for _ in range(300))
    assert said <= 0.1 * 300


def test_a_slow_node_is_named() -> None:
    rng = np.random.default_rng(1)
    nodes = ["a", "b"] * 6
    values = [100.0 * (1.2 if node == "b" else 1.0) * float(np.exp(rng.normal(0, 0.01))) for node in nodes]
    found = effects(values, nodes)
    assert found.keys() == {None, "a"}
    assert not found[None].beyond_noise
    assert found["a"].low < 1 / 1.2 - 1 < found["a"].high < 0
    (line,) = unsteady(found.values())
    assert "on a against the other nodes" in line


def test_drift_is_told_from_the_first_to_the_last() -> None:
    values = [100.0 * 1.3 ** (at / 7) * (1.005 if at % 2 else 0.995) for at in range(8)]
    (effect,) = effects(values, "a" * 8).values()
    assert effect.node is None
    assert effect.beyond_noise
    assert effect.low < 0.3 < effect.high


def test_what_is_certain_but_tiny_is_no_matter() -> None:
    (effect,) = effects([100.0 * 1.01 ** (at / 7) for at in range(8)], "a" * 8).values()
    assert effect.low > 0
    assert not effect.beyond_noise
