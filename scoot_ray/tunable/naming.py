"""A named space with the study's changes -> parameters with their reasons, and the rules between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoot_ray.engine.catalogue import EngineFlags
from scoot_ray.engine.kinds import KINDS
from scoot_ray.engine.kinds import VLLM as VLLM_SERVER
from scoot_ray.engine.knowledge import VLLM, Circumstances, Excluded, Included, Space, choose
from scoot_ray.engine.presets import Preset, rules_among, vllm_0_4_2
from scoot_ray.engine.spaces import SPACES
from scoot_ray.load.trace import Request
from scoot_ray.problem import constants_of, max_model_len
from scoot_ray.search import Constraint
from scoot_ray.study import SpaceFrom, Study, StudyError
from scoot_ray.tunable.changes import with_changes
from scoot_ray.tunable.circumstances import circumstances_of

_LENGTH_NEEDED_UNTIL = (0, 8)
"""Before this release prompts go whole, so that the default batch depends on the longest sequence."""
_PAPER = "the paper's Table I"


@dataclass(frozen=True, slots=True)
class Tunables:
    """The space that a study names, the reason for everything in it and out of it, and ``preset`` as searched."""

    space: Space
    preset: Preset
    circumstances: Circumstances
    version: str


def tunables(study: Study, flags: EngineFlags | None, requests: Sequence[Request], where: Path) -> Tunables | None:
    """Return what ``space:`` names, None where it is a mapping.

    Raises:
        StudyError: the engine cannot be asked, or the study's changes do not fit.
    """
    wanted = SpaceFrom(base=study.space) if isinstance(study.space, str) else study.space
    if not isinstance(wanted, SpaceFrom):
        return None
    if wanted.base.removesuffix("-0.4.2") != KINDS[study.engine.kind].name:
        raise StudyError(f"{where}: space: {wanted.base!r} is not for engine.kind {study.engine.kind}")
    version = "0.4.2" if wanted.base == "vllm-0.4.2" else _version(study, flags, where)
    circumstances = circumstances_of(study, version, requests)
    base, offered = _base(wanted.base, study, flags, circumstances, where)
    space = with_changes(base, wanted, flags, circumstances, where)
    rules = _rules(study, space, circumstances, offered)
    preset = Preset(tuple(one.parameter for one in space.included), rules, space.default)
    return Tunables(space, preset, circumstances, version)


def _version(study: Study, flags: EngineFlags | None, where: Path) -> str:
    if flags is None:
        kind = KINDS[study.engine.kind]
        record = "let engine.help name the recorded output of 'vllm --version; vllm serve --help=all', or "
        raise StudyError(
            f"{where}: space: {kind.name!r} asks the engine, and engine.python {study.engine.python} is not here; "
            f"{record if kind is VLLM_SERVER else ''}write the space out"
        )
    return flags.version


def _base(
    name: str, study: Study, flags: EngineFlags | None, circumstances: Circumstances, where: Path
) -> tuple[Space, Sequence[str] | None]:
    """The space of this name, and the rules that may join its constraints; None for those of vLLM's release."""
    if name == "vllm-0.4.2":
        return _paper(study, where), None
    assert flags is not None  # its version was asked
    if name == "vllm":
        return _installed(study, flags, circumstances, where), None
    preset = SPACES[name](flags, study.gpus, circumstances.accelerator)
    title = KINDS[study.engine.kind].title
    space = _without_fixed(preset, study, f"a performance parameter of {title}", f"usual for {title}")
    return space, preset.constraints


def _installed(study: Study, flags: EngineFlags, circumstances: Circumstances, where: Path) -> Space:
    if circumstances.release < _LENGTH_NEEDED_UNTIL and circumstances.max_model_len is None:
        raise StudyError(f"{where}: engine.args.max_model_len: missing; vllm {flags.version} needs it")
    return choose(VLLM, flags, circumstances, study.engine.args)


def _paper(study: Study, where: Path) -> Space:
    length = max_model_len(study)
    if length is None:
        raise StudyError(f"{where}: engine.args.max_model_len: missing; space vllm-0.4.2 needs it")
    return _without_fixed(vllm_0_4_2(study.gpus, length), study, _PAPER, _PAPER)


def _without_fixed(preset: Preset, study: Study, reason: str, why: str) -> Space:
    fixed = {one.name for one in preset.parameters} & set(study.engine.args)
    included = tuple(
        Included(one, preset.default[one.name], reason, why) for one in preset.parameters if one.name not in fixed
    )
    return Space(included, tuple(Excluded(name, "fixed by engine.args", considered=True) for name in sorted(fixed)))


def _rules(study: Study, space: Space, circumstances: Circumstances, offered: Sequence[str] | None) -> tuple[str, ...]:
    """The engine's rules about at least one parameter, whose other names are known too; vLLM's where none are offered.

    A longest sequence that the model says, and no argument, is written into them as a number.
    """
    known, longest = {*space.names, *constants_of(study, space.names)}, KINDS[study.engine.kind].longest
    length = circumstances.max_model_len if longest not in known else None
    sayable = known if length is None else {*known, longest}
    rules = rules_among(sayable, circumstances.release) if offered is None else offered
    ours = [rule for rule in rules if Constraint(rule).names & set(space.names) and Constraint(rule).names <= sayable]
    return tuple(ours if length is None else [rule.replace(longest, str(length)) for rule in ours])
