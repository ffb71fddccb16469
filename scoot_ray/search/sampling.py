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
_HALF, _MOST = 0.5, 0.7  # shares of the default's values that points near it keep
_FEW_LEVELS = 4


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
    return _most_new(space, seen, seed, slot, _HALF if slot % 2 == 0 else 0.0)


def flips(space: SearchSpace, seen: Sequence[Config], seed: int, slot: int) -> Config | None:
    """In turns the default with one value of few changed, and what adds most near the default; None if exhausted.

    A level met only among bad values of other parameters, or only in crashes, would be believed bad and hardly be
    tried again. Alone beside the default's values it shows what it is worth.
    """
    alone = _alone(space, seen, seed) if slot % 2 else None
    return alone or _most_new(space, seen, seed, slot, _MOST)


def _alone(space: SearchSpace, seen: Sequence[Config], seed: int) -> Config | None:
    """The default with a parameter of few levels changed that has not been changed alone yet."""
    default = space.default
    if default is None:
        return None
    few = [p for p in space.parameters if p.size is not None and p.size <= _FEW_LEVELS]
    rng = np.random.default_rng([seed, len(seen)])
    changes = {p.name: [c[p.name] for c in seen if c[p.name] != default[p.name]] for p in few}
    lonely = {next(n for n in c if c[n] != default[n]) for c in seen if sum(c[n] != default[n] for n in c) == 1}
    order = np.random.default_rng(seed).permutation(len(few))
    for parameter in sorted((few[i] for i in order if few[i].name not in lonely), key=lambda p: len(changes[p.name])):
        levels = [parameter.level(i) for i in range(parameter.size or 0)]
        others = [level for level in levels if level != default[parameter.name]]
        rng.shuffle(others)
        for level in sorted(others, key=changes[parameter.name].count):
            config = {**default, parameter.name: level}
            if space.allows(config):
                return config
    return None


def _most_new(space: SearchSpace, seen: Sequence[Config], seed: int, slot: int, kept: float) -> Config | None:
    """Of a pool of points that keep about a share of the default's values, the one that adds most to what was tried."""
    keys = {space.key(c) for c in seen}
    pool = list(islice(unseen(space, keys, seed), _POOL))
    if not pool:
        return None
    if space.default is not None and kept:
        rng = np.random.default_rng([seed, slot])
        near = (_towards(space.default, config, kept, rng) for config in pool)
        pool = [c for c in near if space.key(c) not in keys and space.allows(c)] or pool
    return pool[_newest(space, space.encode_all(pool), space.encode_all(seen))]


def _towards(default: Config, config: Config, share: float, rng: np.random.Generator) -> Config:
    """The configuration with about that share of its values put back to the default's."""
    kept = rng.random(len(config)) < share
    return {name: default[name] if keep else config[name] for name, keep in zip(config, kept, strict=True)}


def _newest(space: SearchSpace, points: FloatArray, tried: FloatArray) -> int:
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
