"""A machine by measurement: the few constants of a linear model of its steps, fitted by ``scoot-ray calibrate``.

A step takes::

    base + per_sequence · sampled + per_prompt · ended + per_token · tokens + per_pair · pairs
         + per_context_token · context

with the prompts that end in it, the tokens and (query, key) pairs of prompts, and the tokens in the cache that decodes
read. A client waits ``request`` more for everything: what HTTP and tokenization take beside the engine's steps. All in
seconds, all non-negative.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from scoot_ray.engine.models import ModelShape
from scoot_ray.search import Config, Value
from scoot_ray.simulator import messages
from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.boot import Booted, StartRefused, refusals
from scoot_ray.simulator.settings import Settings, Version, flags_of, settle

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(gt=0)]


class BadCalibration(ValueError):  # noqa: N818 - says what is wrong
    """The file holds no calibration."""


@dataclass(frozen=True, slots=True)
class LinearCost:
    """The constants of the model above."""

    base_s: Seconds
    per_sequence_s: Seconds
    per_token_s: Seconds
    per_pair_s: Seconds
    per_context_token_s: Seconds
    per_prompt_s: Seconds = 0.0
    request_s: Seconds = 0.0

    def step_s(self, batch: Batch) -> float:
        """Seconds of one step."""
        return float(
            self.base_s
            + self.per_sequence_s * batch.sampled
            + self.per_token_s * batch.tokens
            + self.per_pair_s * batch.pairs
            + self.per_context_token_s * batch.decode_context
            + self.per_prompt_s * batch.ending
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted(LinearCost):
    """A measured machine.

    ``kv_cache_bytes`` is what its engine has for keys and values, ``start_s`` how long it starts, and ``default_…``
    what the engine takes there where a configuration is silent (None: as on a GPU).
    """

    kv_cache_bytes: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    start_s: Seconds = 30.0
    default_block_size: Count = 16
    default_max_num_seqs: Count | None = None
    default_max_num_batched_tokens: Count | None = None

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def write(self, path: Path) -> None:
        """As JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")

    @property
    def defaults(self) -> Config:
        """Parameters whose default is this machine's own."""
        own: dict[str, Value | None] = {
            "block_size": self.default_block_size,
            "max_num_seqs": self.default_max_num_seqs,
            "max_num_batched_tokens": self.default_max_num_batched_tokens,
        }
        return {name: value for name, value in own.items() if value is not None}


def read_fitted(path: Path) -> Fitted:
    """Read what ``Fitted.write`` wrote.

    Raises:
        BadCalibration: one line with what is wrong.
    """
    try:
        return TypeAdapter(Fitted).validate_json(path.read_bytes())
    except OSError as error:
        raise BadCalibration(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        said = f"{key}: {first['msg']}" if key else first["msg"]
        raise BadCalibration(f"{path}: not a calibration (scoot-ray calibrate writes one): {said}") from error


@dataclass(frozen=True, slots=True)
class MeasuredStep:
    """One kind of step and the seconds it took; with ``from_sending`` those that a client waited for its token."""

    batch: Batch
    took_s: float
    from_sending: bool = False


def fit(steps: Sequence[MeasuredStep]) -> LinearCost:
    """Find the constants by non-negative least squares of relative errors.

    Where two kinds of work never come apart in ``steps`` (every prompt ends in its only step), one constant takes what
    belongs to both: their sum is right, and so are predictions for steps alike.
    """
    from scipy.optimize import nnls  # noqa: PLC0415  # slow to import, in every worker and every simulated server

    features = np.array([_features(step) for step in steps])
    took_s = np.array([step.took_s for step in steps])
    scale = features.max(axis=0)
    scale[scale == 0] = 1.0
    constants, _ = nnls(features / scale / took_s[:, None], np.ones(len(steps)))
    return LinearCost(*(constants / scale).tolist())


def predict_s(cost: LinearCost, step: MeasuredStep) -> float:
    """Seconds that the constants give for what was measured."""
    return cost.step_s(step.batch) + cost.request_s * step.from_sending


def _features(step: MeasuredStep) -> list[float]:
    """In the order of LinearCost's constants."""
    batch = step.batch
    work = [1.0, batch.sampled, batch.tokens, batch.pairs, batch.decode_context]
    return [*work, batch.ending, float(step.from_sending)]


def boot_fitted(machine: Fitted, model: ModelShape, version: Version, config: Config) -> Booted:
    """Start an engine on a measured machine.

    Raises:
        StartRefused: a combination is refused, or the cache is too small.
    """
    known = flags_of(version).names
    if unknown := [name for name in config if name not in known]:
        raise StartRefused(messages.unrecognized(unknown), exit_code=2)
    settings = settle(version, {**machine.defaults, **config}, model.max_model_len, large_gpu=False)
    for cause in refusals(settings, model, gpus=1, version=version):
        raise StartRefused(messages.config_refused(cause))
    per_token = model.kv_bytes_per_token(settings.bytes_per_kv_value)
    blocks = int(machine.kv_cache_bytes / (per_token * settings.block_size))
    log = messages.began(version, model.name, settings)
    if blocks * settings.block_size < settings.max_model_len:
        cause = messages.cache_too_small(version, _Cache(settings, blocks, per_token, machine.kv_cache_bytes))
        raise StartRefused((*log, *messages.refused(version, cause)))
    log = (*log, messages.READY)
    return Booted(settings, version, machine, blocks, machine.start_s, log, request_s=machine.request_s)


@dataclass(frozen=True, slots=True)
class _Cache:
    """What the messages ask of a memory."""

    settings: Settings
    blocks: int
    kv_bytes_per_token: float
    cache: float
