"""The search space as Optuna has it."""

from __future__ import annotations

from collections.abc import Mapping
from math import log2
from typing import TypeAlias

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from scoot_ray.search.parameters import Boolean, Choice, Float, Integer, Parameter
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.trial import Config, Value

Written: TypeAlias = bool | int | float


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Unordered choices as categories, ordered ones by index, powers of two by exponent, the rest by value."""
    return {p.name: _distribution(p) for p in space.parameters}


def written(space: SearchSpace, config: Config) -> dict[str, Written]:
    """A configuration as Optuna keeps it, moved to the grid: a default may lie between."""
    return {p.name: _written(p, config[p.name]) for p in space.parameters}


def read(space: SearchSpace, params: Mapping[str, Written]) -> Config:
    """The configuration that Optuna means."""
    return {p.name: _read(p, params[p.name]) for p in space.parameters}


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Boolean):
        return CategoricalDistribution((False, True))
    if isinstance(parameter, Choice):
        last = parameter.size - 1
        return IntDistribution(0, last) if parameter.ordered else CategoricalDistribution(tuple(range(last + 1)))
    if isinstance(parameter, Float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    first, last = parameter.level(0), parameter.level(parameter.size - 1)
    if parameter.scale == "powers_of_two":
        return IntDistribution(int(log2(first)), int(log2(last)))
    if parameter.scale == "log":
        return FloatDistribution(first, last, log=True)  # Optuna's logarithmic integers have no steps
    return IntDistribution(first, last, step=parameter.step)


def _written(parameter: Parameter, value: Value) -> Written:
    if isinstance(parameter, Boolean):
        return bool(value)
    if isinstance(parameter, Choice):
        return list(parameter.values).index(value)
    if isinstance(parameter, Float):
        return float(value)
    level = parameter.decode(parameter.encode(value))
    if parameter.scale == "powers_of_two":
        return int(log2(level))
    return float(level) if parameter.scale == "log" else level


def _read(parameter: Parameter, value: Written) -> Value:
    if isinstance(parameter, Boolean):
        return bool(value)
    if isinstance(parameter, Choice):
        return parameter.level(int(value))
    powers = isinstance(parameter, Integer) and parameter.scale == "powers_of_two"
    return parameter.decode(parameter.encode(2 ** int(value) if powers else value))
