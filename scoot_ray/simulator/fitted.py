"""A machine by measurement: the few constants of a linear model of its steps, fitted by ``scoot-ray calibrate``.

A step takes::

    base + per_sequence · sampled + per_token · tokens + per_pair · pairs + per_context_token · context

with the tokens and (query, key) pairs of prompts, and the tokens in the cache that decodes and prompts read. All in
seconds, all non-negative.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from scoot_ray.search import Config
from scoot_ray.simulator import messages
from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.boot import Booted, StartRefused, refusals
from scoot_ray.simulator.models import ModelShape
from scoot_ray.simulator.settings import Settings, Version, flags_of, settle


class BadCalibration(ValueError):  # noqa: N818 - says what is wrong
    """The file holds no calibration."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A measured machine.

    ``kv_cache_bytes`` is what its engine has for keys and values, ``start_s`` how long it starts, and
    ``default_block_size`` the engine's own there.
    """

    base_s: float
    per_sequence_s: float
    per_token_s: float
    per_pair_s: float
    per_context_token_s: float
    kv_cache_bytes: float
    default_block_size: int = 16
    start_s: float = 30.0

    def step_s(self, batch: Batch) -> float:
        """Seconds of one step."""
        return float(
            self.base_s
            + self.per_sequence_s * batch.sampled
            + self.per_token_s * batch.tokens
            + self.per_pair_s * batch.pairs
            + self.per_context_token_s * batch.decode_context
        )

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def read_fitted(path: Path) -> Fitted:
    """Read what ``Fitted.write`` wrote.

    Raises:
        BadCalibration: one line with what is wrong.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        given = {name: float(value) for name, value in document.items()}
        fitted = Fitted(**{**given, "default_block_size": int(given["default_block_size"])})  # type: ignore[arg-type]  # all but one are floats
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        names = ", ".join(one.name for one in fields(Fitted))
        raise BadCalibration(f"{path}: not a calibration, which has the numbers {names}: {error}") from error
    if min(given.values()) < 0 or fitted.kv_cache_bytes <= 0:
        raise BadCalibration(f"{path}: a calibration has no negative numbers")
    return fitted


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """One kind of step and the seconds it took."""

    batch: Batch
    took_s: float


def fit(steps: Sequence[MeasuredStep]) -> npt.NDArray[np.float64]:
    """The five constants, shape (5,), in the order of ``Fitted``: non-negative least squares of relative errors."""
    features = np.array([_features(step.batch) for step in steps])
    took_s = np.array([step.took_s for step in steps])
    scale = features.max(axis=0)
    scale[scale == 0] = 1.0
    constants, _ = nnls(features / scale / took_s[:, None], np.ones(len(steps)))
    return np.asarray(constants / scale, dtype=np.float64)


def _features(batch: Batch) -> list[float]:
    return [1.0, batch.sampled, batch.tokens, batch.pairs, batch.decode_context]


def boot_fitted(machine: Fitted, model: ModelShape, version: Version, config: Config) -> Booted:
    """Start an engine on a measured machine.

    Raises:
        StartRefused: a combination is refused, or the cache is too small.
    """
    known = flags_of(version).names
    if unknown := [name for name in config if name not in known]:
        raise StartRefused(messages.unrecognized(unknown), exit_code=2)
    settings = settle(
        version, {"block_size": machine.default_block_size, **config}, model.max_model_len, large_gpu=False
    )
    for cause in refusals(settings, model, gpus=1, version=version):
        raise StartRefused(messages.config_refused(cause))
    per_token = model.kv_bytes_per_token(settings.bytes_per_kv_value)
    blocks = int(machine.kv_cache_bytes / (per_token * settings.block_size))
    log = messages.began(version, model.name, settings)
    if blocks * settings.block_size < settings.max_model_len:
        cause = messages.cache_too_small(version, _Cache(settings, blocks, per_token, machine.kv_cache_bytes))
        raise StartRefused((*log, *messages.refused(version, cause)))
    return Booted(settings, version, machine, blocks, machine.start_s, (*log, messages.READY))


@dataclass(frozen=True, slots=True)
class _Cache:
    """What the messages ask of a memory."""

    settings: Settings
    blocks: int
    kv_bytes_per_token: float
    cache: float
