"""The surrogate: a GP with a Matérn 3/2 kernel, a length scale per feature, warped inputs and learnt noise.

x  (n, c)  features of snapped configurations, in [0, 1]
z  (n,)    standardised costs

Paper, section IV-C; input warping by the Kumaraswamy distribution (Snoek et al. 2014). Objectives are modelled by one
such GP each. Nothing here reads or moves the process's random state, and one thread does the sums, so that equal
inputs give equal outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log, sqrt
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # linear_operator uses parts of torch that torch wants gone
    import torch
    from botorch.exceptions.errors import ModelFittingError
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms.input import Warp
    from gpytorch.constraints import GreaterThan
    from gpytorch.kernels import MaternKernel, ScaleKernel
    from gpytorch.likelihoods import GaussianLikelihood
    from gpytorch.mlls import ExactMarginalLogLikelihood
    from gpytorch.priors import GammaPrior, LogNormalPrior

from scoot_ray.search.space import FloatArray

_FEWEST = 3  # below, the priors' modes are as good as any fit
_ITERATIONS = 75
_CHUNK = 256  # of points predicted at once: the joint covariance of more is computed in vain
_SMALLEST_NOISE = 1e-4
_SMALLEST_STD = 1e-6


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted GP with the data it is conditioned on."""

    model: Any  # SingleTaskGP, which ships no types
    x: FloatArray
    z: FloatArray
    warped: tuple[int, ...]

    def predict(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and standard deviation (n,) of the noise-free cost at features x (n, c)."""
        means: list[FloatArray] = []
        stds: list[FloatArray] = []
        with quiet(), torch.no_grad():
            for start in range(0, len(x), _CHUNK):
                posterior = self.model.posterior(torch.from_numpy(np.array(x[start : start + _CHUNK])))
                means.append(posterior.mean.squeeze(-1).numpy())
                stds.append(posterior.variance.squeeze(-1).clamp_min(_SMALLEST_STD**2).sqrt().numpy())
        return (np.concatenate(means), np.concatenate(stds)) if means else (np.empty(0), np.empty(0))

    def joint(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Posterior mean (n,) and covariance (n, n) of the noise-free costs at x (n, c) taken together."""
        with quiet(), torch.no_grad():
            posterior = self.model.posterior(torch.from_numpy(np.array(x)))
            covariance = posterior.distribution.covariance_matrix.numpy()
            return np.array(posterior.mean.squeeze(-1).numpy()), np.array(covariance)

    @property
    def noise(self) -> float:
        """The learnt standard deviation of an observation around the cost."""
        return float(self.model.likelihood.noise.detach().sqrt().item())

    def leave_one_out(self) -> tuple[FloatArray, FloatArray]:
        """For each observation, mean and standard deviation (n,) predicted for it from the others alone.

        Hyperparameters are those fitted to all (Rasmussen and Williams 2006, equation 5.12).
        """
        with quiet(), torch.no_grad():
            inputs = self.model.transform_inputs(torch.from_numpy(np.array(self.x)))
            prior = self.model.forward(inputs)
            covariance, mean = prior.covariance_matrix.numpy(), prior.mean.numpy()
        inverse = np.linalg.inv(covariance + self.noise**2 * np.eye(len(self.z)))
        variance = 1.0 / np.diag(inverse)
        return self.z - inverse @ (self.z - mean) * variance, np.sqrt(variance)

    def conditioned(self, x: FloatArray, z: FloatArray) -> Surrogate:
        """The same GP, its hyperparameters kept, with the costs z (k,) at x (k, c) added to its data."""
        x, z = np.vstack([self.x, x]), np.append(self.z, z)
        with quiet():
            model = _untrained(x, z, self.warped)
            model.load_state_dict(self.model.state_dict())
            model.eval()
        return Surrogate(model, x, z, self.warped)


def fit(x: FloatArray, z: FloatArray, warped: Sequence[int]) -> Surrogate:
    """Fit to costs z (n,) at features x (n, c), n >= 1; ``warped`` are the features whose axis may be bent.

    Hyperparameters maximise the posterior density; where that fails numerically they stay at the priors' modes.
    """
    columns = tuple(warped)
    with quiet():
        model = _untrained(x, z, columns)
        if len(z) >= _FEWEST and np.ptp(z) > 0:
            try:
                fit_gpytorch_mll(
                    ExactMarginalLogLikelihood(model.likelihood, model),
                    optimizer_kwargs={"options": {"maxiter": _ITERATIONS}},
                )
            except (ModelFittingError, RuntimeError, ValueError):
                model = _untrained(x, z, columns)
        model.eval()
    return Surrogate(model, x, z, columns)


def _untrained(x: FloatArray, z: FloatArray, warped: tuple[int, ...]) -> Any:
    """The model with its hyperparameters at the priors' modes."""
    features = x.shape[1]
    # Length scales that grow with the dimension keep a GP of many features from fitting noise (Hvarfner et al. 2024).
    length_scale = LogNormalPrior(loc=sqrt(2) + 0.5 * log(features), scale=sqrt(3))
    noise = LogNormalPrior(loc=-4.0, scale=1.0)
    matern = MaternKernel(
        nu=1.5,
        ard_num_dims=features,
        lengthscale_prior=length_scale,
        lengthscale_constraint=GreaterThan(0.025, initial_value=length_scale.mode),
    )
    likelihood = GaussianLikelihood(
        noise_prior=noise, noise_constraint=GreaterThan(_SMALLEST_NOISE, initial_value=noise.mode)
    )
    return SingleTaskGP(
        torch.from_numpy(np.array(x)),
        torch.from_numpy(np.array(z))[:, None],
        likelihood=likelihood,
        covar_module=ScaleKernel(matern, outputscale_prior=GammaPrior(2.0, 1.0)),
        outcome_transform=None,
        input_transform=_warp(features, warped),
    )


def _warp(features: int, columns: tuple[int, ...]) -> Any:
    if not columns:
        return None
    prior = LogNormalPrior(0.0, sqrt(0.3))
    return Warp(
        d=features,
        indices=list(columns),
        concentration1_prior=prior,
        concentration0_prior=LogNormalPrior(0.0, sqrt(0.3)),
    )


@contextmanager
def quiet() -> Iterator[None]:
    """One thread, no warnings, and torch's random state as it was afterwards: for all that fits or predicts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")  # retries and jitter are dealt with here
            torch.manual_seed(0)  # of the fork
            yield
    finally:
        torch.set_num_threads(threads)
