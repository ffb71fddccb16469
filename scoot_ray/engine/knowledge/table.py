"""The form of what we know of an engine, and its join with what one installed engine accepts.

An engine's module (:mod:`scoot_ray.engine.knowledge.vllm`) holds one :class:`Knowledge`; nothing here knows a flag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from scoot_ray.engine.catalogue import EngineFlags, Flag
from scoot_ray.engine.knowledge.circumstances import Circumstances
from scoot_ray.search.parameters import Choice, Float, Integer, Parameter
from scoot_ray.search.trial import Config, Value

ENOUGH = 8
MOST = 15
"""A space has at most this many parameters: beyond it a few dozen evaluations find nothing any more."""


@dataclass(frozen=True, slots=True)
class Range:
    """Values worth trying, what the engine does by default, and why these values."""

    parameter: Parameter
    default: Value
    why: str


@dataclass(frozen=True, slots=True)
class LeaveOut:
    """Nothing to gain here, or no safe range: why."""

    why: str


Rule = Callable[[Circumstances, Flag], Range | LeaveOut]


@dataclass(frozen=True, slots=True)
class Tunable:
    """A parameter that changes speed alone.

    ``effect`` says what it trades, ``lived`` which versions have it. A ``spare`` one only fills a small space.
    """

    name: str
    effect: str
    rule: Rule
    spare: bool = False
    lived: str = ""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All we know of one engine: tunables, most important first, and why other flags are left alone.

    ``untouched`` is by name, ``groups`` by the engine's own headings for names that are not listed.
    """

    tunables: Sequence[Tunable]
    untouched: Mapping[str, str]
    groups: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Included:
    """A parameter of the space, with why it is there (``reason``) and why with these values (``why``)."""

    parameter: Parameter
    default: Value
    reason: str
    why: str

    @property
    def name(self) -> str:
        """Of the parameter."""
        return self.parameter.name


@dataclass(frozen=True, slots=True)
class Excluded:
    """A flag that stays as it is. ``considered``: it changes speed alone, and was left out for these circumstances."""

    name: str
    reason: str
    considered: bool = False


@dataclass(frozen=True, slots=True)
class Space:
    """What is searched and what is not, each with its reason."""

    included: tuple[Included, ...]
    excluded: tuple[Excluded, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters, in order."""
        return tuple(one.name for one in self.included)

    @property
    def default(self) -> Config:
        """What the engine does when nothing is set."""
        return {one.name: one.default for one in self.included}


def choose(knowledge: Knowledge, engine: EngineFlags, circumstances: Circumstances, fixed: Config) -> Space:
    """Return the space for this engine in these circumstances; ``fixed`` arguments are no part of it."""
    included: list[Included] = []
    excluded: list[Excluded] = []
    ordered = sorted(knowledge.tunables, key=lambda one: one.spare)  # spare ones last; otherwise as listed
    for tunable in ordered:
        found = _consider(tunable, engine, circumstances, fixed)
        limit = ENOUGH if tunable.spare else MOST
        if isinstance(found, Range) and len(included) < limit:
            included.append(
                Included(_holding(found.parameter, found.default), found.default, tunable.effect, found.why)
            )
        else:
            why = found.why if isinstance(found, LeaveOut) else f"the space has {len(included)} parameters without it"
            excluded.append(Excluded(tunable.name, why, considered=True))
    known = {tunable.name for tunable in knowledge.tunables}
    excluded.extend(_untouched(knowledge, [flag for flag in engine.flags if flag.name not in known], fixed))
    return Space(tuple(included), tuple(excluded))


def range_of(knowledge: Knowledge, engine: EngineFlags, circumstances: Circumstances, name: str) -> Range | LeaveOut:
    """Return the range of one parameter whatever the space has, or why there is none."""
    for tunable in knowledge.tunables:
        if tunable.name == name:
            return _consider(tunable, engine, circumstances, {})
    return LeaveOut(_why_untouched(knowledge, engine.find(name)))


def _consider(tunable: Tunable, engine: EngineFlags, circumstances: Circumstances, fixed: Config) -> Range | LeaveOut:
    flag = engine.find(tunable.name)
    if flag is None:
        lived = f" ({tunable.lived})" if tunable.lived else ""
        return LeaveOut(f"{engine.kind} {engine.version} has no such flag{lived}")
    if tunable.name in fixed:
        return LeaveOut(f"fixed to {fixed[tunable.name]} by engine.args")
    if flag.deprecated:
        return LeaveOut(f"{engine.kind} {engine.version} calls it deprecated")
    return tunable.rule(circumstances, flag)


def _holding(parameter: Parameter, default: Value) -> Parameter:
    """The parameter, widened where needed so that its range holds the default."""
    if parameter.accepts(default) or isinstance(default, bool | str):
        return parameter
    match parameter:
        case Integer(name=name, low=low, high=high, scale=scale, step=step):
            return Integer(name, min(low, int(default)), max(high, int(default)), scale=scale, step=step)
        case Float(name=name, low=low, high=high, log=log):
            return Float(name, min(low, default), max(high, default), log=log)
        case Choice(name=name, values=values):
            return Choice(name, sorted([*values, default], key=float))
    return parameter


def _untouched(knowledge: Knowledge, flags: Sequence[Flag], fixed: Config) -> Iterator[Excluded]:
    for flag in flags:
        at = f"fixed to {fixed[flag.name]} by engine.args" if flag.name in fixed else _why_untouched(knowledge, flag)
        yield Excluded(flag.name, at)


def _why_untouched(knowledge: Knowledge, flag: Flag | None) -> str:
    if flag is None:
        return "no such flag"
    if flag.name in knowledge.untouched:
        return knowledge.untouched[flag.name]
    return knowledge.groups.get(flag.group or "", "not known to change speed alone")
