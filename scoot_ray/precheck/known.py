"""The engine's rules put to one study: what they say of its space once everything fixed is filled in. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, TypeAlias

from scoot_ray.engine.models import NAMED_FACTS
from scoot_ray.engine.rules import Rule, bind, names_in
from scoot_ray.search import Constraint, ConstraintError, Float, Integer, Parameter, SearchSpace, Value

Verdict: TypeAlias = Literal["always", "sometimes", "never"]

_MOST_LEVELS, _MOST_POINTS = 512, 20_000
_SINGLE = (
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
    *("decode_context_parallel_size", "prefill_context_parallel_size"),
)
"""Flags that are 1 where nobody sets them, in every version."""


@dataclass(frozen=True, slots=True)
class Known:
    """One rule as it stands for a study: ``text`` with all that is fixed filled in, and how much of the space keeps it.

    ``rule`` is the text without what was filled in.
    """

    text: str
    rule: str
    reason: str
    source: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Fixed:
    """What a study fixes: ``values`` of flags and facts, and which of them the study itself has ``given``."""

    values: Mapping[str, Value]
    given: frozenset[str]

    @staticmethod
    def of(args: Mapping[str, Value], stated: Mapping[str, Value], facts: Mapping[str, Value]) -> Fixed:
        """From the fixed arguments, the defaults that the engine states, and the model's facts."""
        single: dict[str, Value] = dict.fromkeys(_SINGLE, 1)
        return Fixed({**single, **stated, **facts, **args}, frozenset(args))


def known_rules(rules: Sequence[Rule], space: SearchSpace, fixed: Fixed) -> tuple[Known, ...]:
    """Return what each rule says of the space.

    Left out are rules about flags that the study neither searches nor sets, or whose value nobody knows.
    """
    found = (_known(rule, space, fixed) for rule in rules)
    return tuple(dict.fromkeys(one for one in found if one is not None))


def missing_facts(rules: Sequence[Rule], space: SearchSpace, fixed: Fixed) -> tuple[str, ...]:
    """Return the facts of the model that rules about this study's flags would need."""
    wanted: set[str] = set()
    for rule in rules:
        flags = names_in(rule.text) - set(NAMED_FACTS)
        if any(name in space.names or name in fixed.given for name in flags):
            wanted |= (names_in(rule.text) | set(rule.needs)) & set(NAMED_FACTS)
    return tuple(sorted(wanted - fixed.values.keys()))


def verdict_on(text: str, space: SearchSpace, monotone: bool = False) -> Verdict:
    """Return how much of the space keeps a bound constraint; ``sometimes`` where there is too much to try.

    Continuous parameters are tried at their ends, as all rules are monotone in them; with ``monotone`` integers, too.
    """
    constraint = Constraint(text)
    parameters = [one for one in space.parameters if one.name in constraint.names]
    levels = [_levels(one, monotone) for one in parameters]
    if any(not some for some in levels) or prod(len(some) for some in levels) > _MOST_POINTS:
        return "sometimes"
    kept = {constraint.holds({**(space.constants or {}), **point}) for point in _points(parameters, levels)}
    if len(kept) == 2:
        return "sometimes"
    return "always" if kept == {True} else "never"


def _known(rule: Rule, space: SearchSpace, fixed: Fixed) -> Known | None:
    names = names_in(rule.text)
    constants = space.constants or {}
    about = {*space.names, *fixed.given}
    if not names & about or not {*names, *rule.needs} <= {*space.names, *constants, *fixed.values}:
        return None
    text = bind(rule.text, {k: v for k, v in fixed.values.items() if k not in space.names and k not in constants})
    try:
        SearchSpace(space.parameters, (text,), constants=constants)
    except ConstraintError:
        return None  # a flag's value is not of the kind that the rule is about
    return Known(text, rule.text, rule.reason, rule.source, verdict_on(text, space))


def _levels(parameter: Parameter, monotone: bool) -> tuple[Value, ...]:
    """The values to try; none where there are too many."""
    if isinstance(parameter, Float):
        return (parameter.low, parameter.high)
    if monotone and isinstance(parameter, Integer):
        return (parameter.level(0), parameter.level(parameter.size - 1))
    if parameter.size > _MOST_LEVELS:
        return ()
    return tuple(parameter.level(index) for index in range(parameter.size))


def _points(parameters: Sequence[Parameter], levels: Sequence[Sequence[Value]]) -> Iterator[dict[str, Value]]:
    names = [one.name for one in parameters]
    for values in itertools.product(*levels):
        yield dict(zip(names, values, strict=True))
