"""Warm start: what other studies have found, put into this problem's space; the best of it is tried first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, combinations, zip_longest

from scoot_ray.search.parameters import Choice, Float, Integer, Parameter, canonical_name
from scoot_ray.search.problem import Earlier, Problem, best_observed
from scoot_ray.search.space import SearchSpace
from scoot_ray.search.trial import Config, Observation, Value

_WINNERS = 3  # tried first: what a misleading history costs
_REPAIRS = 2  # parameters put back to the default, at most, to keep the known constraints


def taken_in(
    space: SearchSpace, name: str, history: Sequence[Observation], similarity: float, *, same_engine: bool
) -> Earlier:
    """Another study's observations with their configurations put into this space.

    Unknown parameters are dropped and missing ones are as in the default here.
    """
    inside: list[Observation] = []
    beyond: list[Observation] = []
    for observation in history:
        values = _shared(space, observation.trial.config)
        nearest = {p.name: _nearest(p, values[p.name]) for p in space.parameters if p.name in values}
        known = {name: value for name, value in nearest.items() if value is not None}
        moved = replace(observation, trial=replace(observation.trial, config={**_filled(space), **known}))
        (inside if nearest == values else beyond).append(moved)
    return Earlier(name, space, tuple(inside), tuple(beyond), similarity, same_engine)


def _nearest(parameter: Parameter, value: Value) -> Value | None:
    """The value itself where it is legal, the nearest number that is, or None where there is no such thing."""
    if parameter.accepts(value):
        return value
    numeric = parameter.kind == "number" and isinstance(value, int | float) and not isinstance(value, bool)
    if not numeric or (isinstance(parameter, Choice) and not parameter.ordered):
        return None
    if isinstance(parameter, Choice):
        return min(parameter.values, key=lambda legal: abs(float(legal) - float(value)))
    assert isinstance(parameter, Integer | Float)  # a boolean's kind is another
    return parameter.decode(parameter.encode(min(max(value, parameter.low), parameter.high)))


def warm(problem: Problem, earlier: Sequence[Earlier]) -> Problem:
    """The problem with other studies' histories, and with what was best in them to be tried first.

    The winners take turns, those of the most similar study first.
    """
    ranked = sorted(earlier, key=lambda one: -one.similarity)
    space = problem.space
    led = {space.key(config) for config, _ in problem.leads()}
    turns = chain.from_iterable(zip_longest(*(_winners(problem, one) for one in ranked)))
    distinct = {space.key(config): config for config in turns if config is not None}
    winners = [config for key, config in distinct.items() if key not in led]
    return replace(problem, earlier=tuple(ranked), winners=tuple(winners[:_WINNERS]))


def _winners(problem: Problem, one: Earlier) -> Iterator[Config]:
    """What was best there by this problem's objectives, front by front, made to keep the known constraints here."""
    left = [*one.history, *one.beyond]
    while best := best_observed(problem, left):
        for observation in best:
            repaired = _repaired(problem.space, observation.trial.config)
            if repaired is not None:
                yield repaired
        left = [o for o in left if all(o is not taken for taken in best)]


def _shared(space: SearchSpace, config: Config) -> dict[str, Value]:
    """The values of the parameters that this space knows."""
    values = {canonical_name(name): value for name, value in config.items()}
    return {name: values[name] for name in space.names if name in values}


def _filled(space: SearchSpace) -> dict[str, Value]:
    """What a parameter is where the other study does not say: the default, or the middle of its axis."""
    return dict(space.default or {p.name: p.decode(0.5) for p in space.parameters})


def _repaired(space: SearchSpace, config: Config) -> Config | None:
    """The configuration with as few values as possible put back to the default; None where two are not enough."""
    usual = _filled(space)
    moved = [name for name in space.names if config[name] != usual[name]]
    for count in range(_REPAIRS + 1):
        for back in combinations(moved, count):
            candidate = {**config, **{name: usual[name] for name in back}}
            if space.allows(candidate):
                return candidate
    return None


def lessons(problem: Problem, history: Sequence[Observation]) -> tuple[Observation, ...]:
    """What teaches which configurations work: the history here, and those of the same engine, model and hardware."""
    return (*(o for one in problem.earlier if one.same_engine for o in one.history), *history)
