"""Comparisons of tuners: means, ranks, and paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy.stats import rankdata

from scoot_ray.search.space import FloatArray

Pair: TypeAlias = tuple[str, int]
"""A service and a seed: what two tuners are compared on."""
_RESAMPLED = 4000


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean paired difference of regrets, subject - other: negative is better for the subject.

    ``over_seeds`` is the 95% interval over seeds, for these very services, None where no service has two seeds;
    ``over_services`` resamples the services, too, and so speaks of others of their kind.
    """

    mean: float
    over_seeds: tuple[float, float] | None
    over_services: tuple[float, float]
    pairs: int
    subject_mean: float
    other_mean: float


def difference(subject: Mapping[Pair, float], other: Mapping[Pair, float]) -> Difference | None:
    """Compare on the services and seeds that both have; None where there are none."""
    common = sorted(subject.keys() & other.keys())
    if not common:
        return None
    groups: dict[str, list[float]] = {}
    for pair in common:
        groups.setdefault(pair[0], []).append(subject[pair] - other[pair])
    by_service = [np.array(values) for values in groups.values()]
    return Difference(
        mean=float(np.mean(np.concatenate(by_service))),
        over_seeds=_interval(by_service, services_too=False) if max(map(len, by_service)) > 1 else None,
        over_services=_interval(by_service, services_too=True),
        pairs=len(common),
        subject_mean=float(np.mean([subject[pair] for pair in common])),
        other_mean=float(np.mean([other[pair] for pair in common])),
    )


def mean_interval(regrets: Mapping[Pair, float]) -> tuple[float, float]:
    """The 95% interval of the mean over seeds, for these very services."""
    groups: dict[str, list[float]] = {}
    for (service, _), regret in regrets.items():
        groups.setdefault(service, []).append(regret)
    return _interval([np.array(values) for values in groups.values()], services_too=False)


def _interval(groups: Sequence[FloatArray], *, services_too: bool) -> tuple[float, float]:
    """The 2.5% and 97.5% quantiles of the mean over resampled seeds (within services), and services if asked."""
    rng = np.random.default_rng(0)
    sums = np.stack([rng.choice(group, (_RESAMPLED, len(group))).sum(axis=1) for group in groups], axis=1)
    sizes = np.array([len(group) for group in groups])
    if services_too:
        chosen = rng.integers(len(groups), size=(_RESAMPLED, len(groups)))
        means = np.take_along_axis(sums, chosen, axis=1).sum(axis=1) / sizes[chosen].sum(axis=1)
    else:
        means = sums.sum(axis=1) / sizes.sum()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def mean_ranks(by_tuner: Mapping[str, Mapping[Pair, float]]) -> tuple[dict[str, float], int]:
    """Mean rank of each tuner (1 is best) over the services and seeds that all of them have, and how many these are."""
    common = sorted(set.intersection(*(set(found) for found in by_tuner.values()))) if by_tuner else []
    if not common:
        return {}, 0
    table = np.array([[by_tuner[tuner][pair] for tuner in by_tuner] for pair in common])
    ranks = np.mean(rankdata(table, axis=1), axis=0)
    return dict(zip(by_tuner, ranks.tolist(), strict=True)), len(common)
