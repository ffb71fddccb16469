from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.search import SLO, Bounded, Observation, Origin, Problem, Trial, preset
from scoot_ray.search.beliefs import OURS, Beliefs, _told, believe
from scoot_ray.search.space import FloatArray
from scoot_ray.search.surrogate import fit
from scoot_ray.search.targets import Shape, fit_target
from tests.unit.search.problems import PLANE, bowl, observe

shapes: st.SearchStrategy[Shape] = st.sampled_from(["plain", "log", "power"])
seen_values = st.one_of(
    st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=20),
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=20),
    st.floats(-10, 10).map(lambda v: [v] * 5),
    st.lists(st.floats(0.999, 1.001), min_size=2, max_size=8),
)


@given(seen_values, shapes, st.sampled_from([1.0, -1.0]))
def test_targets_keep_order_and_stay_finite(values: list[float], shape: Shape, sign: float) -> None:
    metric = np.sort(np.array(values))
    target = fit_target(metric, shape, sign)
    z = target(metric)
    assert np.all(np.isfinite(z))
    assert np.all(np.diff(sign * z) >= 0)
    assert np.mean(z) == pytest.approx(0, abs=1e-6)
    ends = sign * target(np.array([-np.inf, metric[0], np.inf]))
    assert not np.any(np.isnan(ends))
    assert ends[0] <= ends[1] <= ends[2]


def test_skewed_latencies_become_symmetric() -> None:
    latency = np.random.default_rng(0).lognormal(5, 2, 200)
    shapes: tuple[Shape, ...] = ("log", "power")
    for shape in shapes:
        z = fit_target(latency, shape, 1.0)(latency)
        assert abs(np.mean(z**3)) < 0.5
        assert np.std(z) == pytest.approx(1)


def surface(x: FloatArray) -> FloatArray:
    return np.asarray(np.sin(4 * x[:, 0]) + x[:, 1] ** 2)


def test_the_gp_learns_a_surface_and_knows_what_it_knows() -> None:
    rng = np.random.default_rng(0)
    x, far = rng.random((30, 3)), rng.random((50, 3))
    model = fit(x, surface(x), (0, 1, 2))
    mean, std = model.predict(far)
    assert np.corrcoef(mean, surface(far))[0, 1] > 0.95
    assert np.mean(np.abs(mean - surface(far)) < 3 * std) > 0.9
    assert np.all(model.predict(x)[1] < np.max(std))


@pytest.mark.parametrize(
    ("x", "z"),
    [
        (np.array([[0.5, 0.5]]), np.array([0.0])),
        (np.full((6, 2), 0.5), np.zeros(6)),
        (np.full((6, 2), 0.5), np.arange(6.0)),
        (np.random.default_rng(0).random((6, 2)), np.zeros(6)),
        (np.repeat(np.eye(2), 5, axis=0), np.array([0.0, 1e-12] * 5)),
        (np.linspace(0, 1, 8).reshape(4, 2), np.array([0.0, 0.0, 0.0, 50.0])),
    ],
)
def test_the_gp_survives_degenerate_data(x: FloatArray, z: FloatArray) -> None:
    mean, std = fit(x, z, (0, 1)).predict(np.random.default_rng(1).random((300, 2)))
    assert mean.shape == std.shape == (300,)
    assert np.all(np.isfinite(mean))
    assert np.all(std > 0)


def test_conditioning_adds_data_and_keeps_the_rest() -> None:
    x = np.random.default_rng(0).random((12, 2))
    model = fit(x, surface(x), (0, 1))
    new = np.array([[0.95, 0.05]])
    later = model.conditioned(new, np.array([3.0]))
    assert later.predict(new)[0][0] > model.predict(new)[0][0]
    assert later.predict(new)[1][0] < model.predict(new)[1][0]
    assert len(model.z) == 12


def history(count: int = 12) -> list[Observation]:
    rng = np.random.default_rng(3)
    configs = [PLANE.decode(rng.random(2) * [0.7, 1.0]) for _ in range(count)]
    return [observe(i, c, Origin.MODEL, bowl(c)) for i, c in enumerate(configs)]


def beliefs(problem: Problem, observations: list[Observation]) -> Beliefs:
    found = believe(problem, observations, OURS)
    assert found is not None
    return found


TAIL = Problem(PLANE, preset("tail_latency"))


def test_nothing_is_believed_of_nothing() -> None:
    assert believe(TAIL, [observe(0, {"a": 0.1, "b": 0.1}, Origin.MODEL, None)], OURS) is None


def test_what_is_in_flight_is_not_worth_repeating() -> None:
    before = beliefs(TAIL, history())
    grid = np.array([[i / 20, j / 20] for i in range(21) for j in range(21)])
    best = grid[[int(np.argmax(before.improvement(grid)))]]
    after = before.expecting([PLANE.decode(best[0])])
    assert after.improvement(best)[0] < before.improvement(best)[0]


def test_bounds_of_evaluations_ended_early_are_learnt() -> None:
    there = {"a": 0.6, "b": 0.3}
    ended = Observation(Trial(99, there, Origin.MODEL), Bounded({"p95_e2el_ms": (9e3, float("inf"))}, "cannot win"))
    u = PLANE.encode_all([there])
    without, learnt = beliefs(TAIL, history()), beliefs(TAIL, [*history(), ended])
    assert learnt.predict(u)[0][0, 0] > without.predict(u)[0][0, 0]
    assert len(learnt.incumbents) == len(without.incumbents)


def test_slos_lower_the_worth_of_what_breaks_them() -> None:
    problem = Problem(PLANE, preset("tail_latency"), [SLO.parse("request_throughput>=5")])

    def told(o: Observation) -> Observation:
        throughput = 10.0 * float(o.trial.config["b"])
        return observe(
            o.trial.id, o.trial.config, o.trial.origin, {"p95_e2el_ms": 10.0, "request_throughput": throughput}
        )

    model = beliefs(problem, [told(o) for o in history()])
    low, high = model.improvement(np.array([[0.3, 0.1], [0.3, 0.9]]))
    assert low < high


def test_errors_over_the_limit_become_a_constraint() -> None:
    def told(o: Observation) -> Observation:
        dropping = float(o.trial.config["a"]) > 0.35
        metrics = {"p95_e2el_ms": 100.0 * float(o.trial.config["b"]) + 1, "error_rate": 0.2 if dropping else 0.0}
        return observe(o.trial.id, o.trial.config, o.trial.origin, metrics)

    model = beliefs(TAIL, [told(o) for o in history()])
    assert len(model.ceilings) == 1
    dropping, honest = model.log_probability_of_slos(PLANE.features(np.array([[0.65, 0.5], [0.05, 0.5]])))
    assert dropping < honest


def test_a_gp_is_told_all_of_few_and_the_best_of_many() -> None:
    assert _told(np.arange(5.0)).tolist() == [0, 1, 2, 3, 4]
    z = np.random.default_rng(0).permutation(3000).astype(np.float64)
    told = _told(z)
    assert len(set(told.tolist())) == len(told) == 400
    assert set(range(200)) <= set(z[told].tolist())
    assert told[0] < 100
    assert told[-1] > 2900
