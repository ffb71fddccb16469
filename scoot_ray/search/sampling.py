"""Points drawn without a model: the Sobol stream of a seed, and a design that covers every level early."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from scoot_ray.search.space import LISTABLE, FloatArray, Key, SearchSpace
from scoot_ray.search.trial import Config

_BLOCKS = range(6, 15)  # log2 of how many points the stream has drawn after each block
_POOL = 64  # points among which the covering design chooses
_MOST_LEVELS = 8  # of a parameter with more levels, or continuous, the quarters of the axis are covered instead
_QUARTERS = 4
_KEPT = 0.5  # share of the default's values in every second point of the covering design


def sobol(space: SearchSpace, seed: int) -> Iterator[Config]:
    """Scrambled Sobol points as configurations, repeats and forbidden ones included, up to 2^14."""
    from scipy.stats import qmc  # noqa: PLC0415 - takes a second, of which the rest has no need

    engine = qmc.Sobol(space.dimension, scramble=True, rng=np.random.default_rng(seed))
    drawn = 0
    for exponent in _BLOCKS:
        block = engine.random(2**exponent - drawn)
        drawn = 2**exponent
        yield from (space.decode(u) for u in block)


def unseen(space: SearchSpace, seen: Collection[Key], seed: int) -> Iterator[Config]:
    """Distinct configurations that keep the known constraints and are not in ``seen``.

    They follow the seed's Sobol stream; of a space small enough to list, what the stream would miss comes last, so
    that only exhaustion ends it.
    """
    stream = islice(sobol(space, seed), LISTABLE) if space.listable else sobol(space, seed)
    taken = set(seen)
    for source in (stream, space.configurations() if space.listable else ()):
        for config in source:
            key = space.key(config)
            if key not in taken and space.allows(config):
                taken.add(key)
                yield config


def covering(space: SearchSpace, seen: Sequence[Config], seed: int, slot: int) -> Config | None:
    """The point that adds most to what has been tried: unseen levels first, then distance; None if exhausted.

    Every second ``slot`` keeps about half of the default's values, since what is near a working configuration most
    likely works too: then something feasible is found early, and what breaks is told apart from what does not.
    """
    keys = {space.key(c) for c in seen}
    pool = list(islice(unseen(space, keys, seed), _POOL))
    if not pool:
        return None
    if space.default is not None and slot % 2 == 0:
        rng = np.random.default_rng([seed, slot])
        near = (_towards(space.default, config, rng) for config in pool)
        pool = [c for c in near if space.key(c) not in keys and space.allows(c)] or pool
    points = space.encode_all(pool)
    return pool[_most_new(space, points, space.encode_all(seen))]


def _towards(default: Config, config: Config, rng: np.random.Generator) -> Config:
    """The configuration with about half of its values put back to the default's."""
    kept = rng.random(len(config)) < _KEPT
    return {name: default[name] if keep else config[name] for name, keep in zip(config, kept, strict=True)}


def _most_new(space: SearchSpace, points: FloatArray, tried: FloatArray) -> int:
    """The index of the point with the most levels that none tried has; of equal ones the farthest from all."""
    levels = [set(column) for column in _levels(space, tried).T]
    fresh = [sum(level not in old for level, old in zip(row, levels, strict=True)) for row in _levels(space, points)]
    if not len(tried):
        return int(np.argmax(fresh))
    distance = np.min(np.linalg.norm(points[:, None] - tried[None], axis=2), axis=1)
    return int(np.lexsort((-distance, -np.array(fresh)))[0])


def _levels(space: SearchSpace, u: FloatArray) -> npt.NDArray[np.int64]:
    """The level, or quarter of the axis, in which each coordinate of u (n, d) lies."""
    sizes = [p.size or _MOST_LEVELS + 1 for p in space.parameters]
    counts = np.array([size if size <= _MOST_LEVELS else _QUARTERS for size in sizes])
    return np.asarray(np.minimum((u * counts).astype(np.int64), counts - 1))
