"""The surrogate held against GPyTorch, and its slopes against finite differences."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from scoot_ray.search.kernel import Layout, Slopes, covariance, warp
from scoot_ray.search.space import FloatArray
from scoot_ray.search.surrogate import Kernel, Surrogate, fit

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # linear_operator uses parts of torch that torch wants gone
    import gpytorch
    import torch

X = np.random.default_rng(0).random((14, 4))
Z = np.sin(4 * X[:, 0]) + X[:, 1] - X[:, 2] ** 2


def hyperparameters(layout: Layout) -> FloatArray:
    theta = np.random.default_rng(1).normal(0, 0.4, layout.size)
    theta[layout.noise] = -4.0
    return theta


@pytest.mark.parametrize("additive", [False, True])
def test_predictions_are_those_of_gpytorch(additive: bool) -> None:
    layout = Layout(4, (0, 2), additive)
    theta = hyperparameters(layout)
    mine = Surrogate(layout, theta, X, Z)
    new = np.random.default_rng(2).random((9, 4))
    mean, std = mine.predict(new)
    theirs_mean, theirs_std = of_gpytorch(layout, theta, new)
    np.testing.assert_allclose(mean, theirs_mean, atol=1e-5)
    np.testing.assert_allclose(std, theirs_std, atol=1e-4)


def of_gpytorch(layout: Layout, theta: FloatArray, new: FloatArray) -> tuple[FloatArray, FloatArray]:
    lengths, effects = np.exp(theta[layout.lengths]), np.exp(theta[layout.effects])

    def matern(part: slice) -> gpytorch.kernels.MaternKernel:
        columns = tuple(range(layout.features))[part]
        one = gpytorch.kernels.MaternKernel(nu=1.5, ard_num_dims=len(columns), active_dims=columns)
        one.lengthscale = torch.tensor(lengths[part])
        return one

    def scaled(one: gpytorch.kernels.Kernel, by: float) -> gpytorch.kernels.ScaleKernel:
        kernel = gpytorch.kernels.ScaleKernel(one)
        kernel.outputscale = torch.tensor(by)
        return kernel

    kernel = scaled(matern(slice(None)), float(np.exp(theta[layout.scale])))
    for j, effect in enumerate(effects):
        kernel = kernel + scaled(matern(slice(j, j + 1)), float(effect))
    kernel = kernel.double()
    bent, there = (torch.from_numpy(warp(layout, theta, x)) for x in (X, new))
    with torch.no_grad():
        noise = (np.exp(theta[layout.noise]) + 1e-8) * torch.eye(len(Z), dtype=torch.float64)
        inverse = torch.linalg.inv(kernel(bent).to_dense() + noise)
        across = kernel(bent, there).to_dense()
        mean = across.T @ inverse @ (torch.from_numpy(Z) - theta[layout.mean]) + theta[layout.mean]
        left = kernel(there).to_dense().diagonal() - (across * (inverse @ across)).sum(0)
    return mean.numpy(), left.clamp_min(0).sqrt().numpy()


@pytest.mark.parametrize("additive", [False, True])
def test_slopes_are_those_of_finite_differences(additive: bool) -> None:
    layout = Layout(4, (0, 2), additive)
    theta = hyperparameters(layout)
    weights = np.random.default_rng(3).normal(size=(14, 14))
    weights = weights + weights.T

    def total(at: FloatArray) -> float:
        bent = warp(layout, at, X)
        return float(np.sum(weights * covariance(layout, at, bent, bent)))

    slopes = Slopes(layout, X)
    bent = warp(layout, theta, X)
    np.testing.assert_allclose(slopes.covariance(theta), covariance(layout, theta, bent, bent), atol=1e-7)
    np.testing.assert_allclose(slopes.gradient(theta, weights), approx_fprime(theta, total, 1e-6), atol=1e-3)


def test_own_effects_are_learnt_from_less() -> None:
    rng = np.random.default_rng(4)
    x, new = rng.random((40, 8)), rng.random((200, 8))

    def added(x: FloatArray) -> FloatArray:
        return np.asarray(np.sum(np.abs(x - 0.4) * np.arange(8), axis=1))

    def error(kernel: Kernel) -> float:
        costs = added(x)
        model = fit(x, (costs - np.mean(costs)) / np.std(costs), (), kernel)
        return float(np.std(model.predict(new)[0] - (added(new) - np.mean(costs)) / np.std(costs)))

    assert error("additive") < 0.5 * error("matern")


def test_a_factor_that_is_extended_is_that_of_all_points() -> None:
    mine = Surrogate(Layout(4, (0, 2), True), hyperparameters(Layout(4, (0, 2), True)), X[:9], Z[:9])
    new = np.random.default_rng(3).random((6, 4))
    untouched = mine.conditioned(X[9:], Z[9:])
    mine.predict(new)
    extended = mine.conditioned(X[9:], Z[9:])
    assert "_factor" in extended.__dict__
    assert "_factor" not in untouched.__dict__
    np.testing.assert_allclose(extended.predict(new), untouched.predict(new), atol=1e-8)
