from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from scoot_ray.search import hypervolume
from scoot_ray.search.acquisition import (
    kappa,
    log_expected_hypervolume_improvement,
    log_expected_improvement,
    log_probability_of_improvement,
    upper_confidence_bound,
)

gaussian = st.tuples(st.floats(-2, 2), st.floats(0.1, 2))


@given(gaussian, st.floats(-2, 2))
def test_ei_and_pi_are_the_integrals(belief: tuple[float, float], best: float) -> None:
    mean, std = belief
    xi = 0.01
    level = best - xi
    density = stats.norm(mean, std).pdf
    low = min(mean - 10 * std, level - 1)
    expected, _ = integrate.quad(lambda y: (level - y) * density(y), low, level, points=[min(mean, level)], limit=200)
    arrays = np.array([mean]), np.array([std])
    assert np.exp(log_expected_improvement(*arrays, best, xi))[0] == pytest.approx(expected, rel=1e-5, abs=1e-9)
    assert np.exp(log_probability_of_improvement(*arrays, best, xi))[0] == pytest.approx(
        stats.norm(mean, std).cdf(level)
    )


def test_ei_still_orders_what_underflows() -> None:
    mean = np.array([1.0, 30.0, 60.0, 1e3, 1e5, 1e7])
    scores = log_expected_improvement(mean, np.ones(6), 0.0)
    assert np.all(np.isfinite(scores))
    assert np.all(np.diff(scores) < 0)


@pytest.mark.parametrize("z", [-1.0, -1e4])
def test_ei_is_smooth_where_its_formula_changes(z: float) -> None:
    at = np.abs(z) * np.array([1 - 1e-9, 1 + 1e-9])
    below, above = log_expected_improvement(at, np.ones(2), 0.0, 0.0)
    assert above == pytest.approx(below, rel=1e-7)


@given(st.integers(0, 2**32), st.integers(0, 5))
@settings(max_examples=40)
def test_ehvi_is_the_mean_gain_in_hypervolume(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    front = rng.uniform(-1, 1.3, (size, 2))
    reference = np.array([1.0, 1.0])
    mean, std = rng.uniform(-1, 1, (1, 2)), rng.uniform(0.2, 0.8, (1, 2))
    draws = mean + std * rng.standard_normal((800, 2))
    before = hypervolume(front, reference)
    gains = [hypervolume(np.vstack([front, y]), reference) - before for y in draws]
    exact = float(np.exp(log_expected_hypervolume_improvement(mean, std, front, reference))[0])
    assert abs(exact - np.mean(gains)) < 6 * np.std(gains) / np.sqrt(len(gains)) + 1e-3


def test_ehvi_without_a_front_is_a_product_of_eis() -> None:
    mean, std, reference = np.array([[0.3, -0.2]]), np.array([[0.5, 0.7]]), np.array([1.0, 0.5])
    single = [log_expected_improvement(mean[:, i], std[:, i], reference[i], 0.0)[0] for i in range(2)]
    ehvi = log_expected_hypervolume_improvement(mean, std, np.empty((0, 2)), reference)
    assert ehvi[0] == pytest.approx(sum(single))


def test_ehvi_far_away_still_points_home() -> None:
    mean = np.array([[40.0, 40.0], [80.0, 80.0]])
    scores = log_expected_hypervolume_improvement(mean, np.ones((2, 2)), np.array([[0.0, 0.0]]), np.array([1.0, 1.0]))
    assert scores[1] < scores[0] < 0
    assert np.all(np.isfinite(scores))


def test_kappa_is_the_released_codes() -> None:
    expected = np.sqrt((2 + 9 / 2) * np.log(10) + np.log(3 * np.pi**2 / 0.03))
    assert kappa(9, 10) == pytest.approx(expected)
    assert kappa(9, 0) == kappa(9, 1)
    assert upper_confidence_bound(np.array([1.0]), np.array([2.0]), 3.0)[0] == 5.0
