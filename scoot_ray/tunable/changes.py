"""What a study adds to a named space, takes out of it, and changes in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from scoot_ray.engine.catalogue import EngineFlags, Flag
from scoot_ray.engine.knowledge import VLLM, Circumstances, Excluded, Included, Range, Space, range_of
from scoot_ray.problem import parameter_of, spec_of
from scoot_ray.search import Boolean, Choice, Parameter, Value
from scoot_ray.study import ParameterSpec, SpaceFrom, StudyError

_ASKED_FOR = "the study asks for it"


def with_changes(
    space: Space, wanted: SpaceFrom, flags: EngineFlags | None, circumstances: Circumstances, where: Path
) -> Space:
    """Return ``space`` with the study's changes.

    Raises:
        StudyError: a parameter to remove or to change is not there, one to add is, or its values are not known.
    """
    _check_names(space, wanted, where)
    kept = [one for one in space.included if one.name not in wanted.remove]
    changed = tuple(_overridden(one, wanted, where) for one in kept)
    added = tuple(_added(name, spec, flags, circumstances, where) for name, spec in wanted.add.items())
    left = [one for one in space.excluded if one.name not in wanted.add]
    removed = [Excluded(name, "the study removes it", considered=True) for name in wanted.remove]
    return Space((*changed, *added), (*removed, *left))


def _check_names(space: Space, wanted: SpaceFrom, where: Path) -> None:
    known = ", ".join(space.names)
    for key, names in (("remove", wanted.remove), ("override", wanted.override)):
        for name in names:
            if name not in space.names:
                raise StudyError(f"{where}: space.{key}: {name}: not in the space; it has {known}")
    for name in wanted.add:
        if name in space.names:
            raise StudyError(f"{where}: space.add.{name}: is in the space already; use override")


def _overridden(one: Included, wanted: SpaceFrom, where: Path) -> Included:
    change = wanted.override.get(one.name)
    if change is None:
        return one
    spec = spec_of(one.parameter, one.default).model_copy(update=change.model_dump(exclude_none=True))
    parameter = parameter_of(one.name, spec, where)
    assert spec.default is not None  # every parameter of a named space has one
    return Included(parameter, spec.default, one.reason, "as the study says")


def _added(
    name: str, spec: ParameterSpec | None, flags: EngineFlags | None, circumstances: Circumstances, where: Path
) -> Included:
    flag = flags.find(name) if flags is not None else None
    if spec is None:
        return _described(name, flags, circumstances, where)
    default = spec.default if spec.default is not None else flag.default if flag is not None else None
    if default is None:
        raise StudyError(f"{where}: space.add.{name}.default: missing; say what the engine uses when nothing is set")
    return Included(parameter_of(name, spec, where), default, _ASKED_FOR, "as the study says")


def _described(name: str, flags: EngineFlags | None, circumstances: Circumstances, where: Path) -> Included:
    """A parameter as our knowledge has it, or else as the engine's parser describes it."""
    if flags is not None:
        known = range_of(VLLM, flags, circumstances, name) if flags.kind == "vllm" else None
        if isinstance(known, Range):
            return Included(known.parameter, known.default, _ASKED_FOR, known.why)
        for parameter, default in _parsed(flags.find(name)):
            return Included(parameter, default, _ASKED_FOR, "what the engine's parser takes")
    raise StudyError(
        f"{where}: space.add.{name}: its values are not known; write them out, such as "
        f"{{type: choice, values: [1, 2], default: 1}}"
    )


def _parsed(flag: Flag | None) -> Iterator[tuple[Parameter, Value]]:
    """The parameter and default of a flag that lists its values; a boolean that the engine decides is taken for off."""
    if flag is None:
        return
    if flag.boolean and isinstance(flag.default, bool | None):
        yield Boolean(flag.name), bool(flag.default)
    elif flag.choices and flag.default in flag.choices:
        yield Choice(flag.name, flag.choices), flag.default
