"""A named space with the study's changes -> parameters with their reasons, and the rules between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scoot_ray.engine.catalogue import EngineFlags
from scoot_ray.engine.knowledge import VLLM, Circumstances, Excluded, Included, Space, choose
from scoot_ray.engine.presets import Preset, rules_among, vllm_0_4_2
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
    version = "0.4.2" if wanted.base == "vllm-0.4.2" else _version(study, flags, where)
    circumstances = circumstances_of(study, version, requests)
    if wanted.base == "vllm-0.4.2":
        base = _paper(study, where)
    else:
        assert flags is not None  # its version was asked
        base = _installed(study, flags, circumstances, where)
    space = with_changes(base, wanted, flags, circumstances, where)
    rules = _rules(study, space, circumstances)
    preset = Preset(tuple(one.parameter for one in space.included), rules, space.default)
    return Tunables(space, preset, circumstances, version)


def _version(study: Study, flags: EngineFlags | None, where: Path) -> str:
    if flags is None:
        raise StudyError(
            f"{where}: space: 'vllm' asks the engine, and engine.python {study.engine.python} is not here; let "
            "engine.help name the recorded output of 'vllm --version; vllm serve --help=all', or write the space out"
        )
    return flags.version


def _installed(study: Study, flags: EngineFlags, circumstances: Circumstances, where: Path) -> Space:
    if circumstances.release < _LENGTH_NEEDED_UNTIL and circumstances.max_model_len is None:
        raise StudyError(f"{where}: engine.args.max_model_len: missing; vllm {flags.version} needs it")
    return choose(VLLM, flags, circumstances, study.engine.args)


def _paper(study: Study, where: Path) -> Space:
    length = max_model_len(study)
    if length is None:
        raise StudyError(f"{where}: engine.args.max_model_len: missing; space vllm-0.4.2 needs it")
    paper = vllm_0_4_2(study.gpus, length)
    fixed = {one.name for one in paper.parameters} & set(study.engine.args)
    included = tuple(
        Included(one, paper.default[one.name], _PAPER, _PAPER) for one in paper.parameters if one.name not in fixed
    )
    return Space(included, tuple(Excluded(name, "fixed by engine.args", considered=True) for name in sorted(fixed)))


def _rules(study: Study, space: Space, circumstances: Circumstances) -> tuple[str, ...]:
    """The engine's rules about at least one parameter, whose other names are known too.

    A longest sequence that the model says, and no argument, is written into them as a number.
    """
    known = {*space.names, *constants_of(study, space.names)}
    length = circumstances.max_model_len if "max_model_len" not in known else None
    rules = rules_among(known if length is None else {*known, "max_model_len"}, circumstances.release)
    ours = [rule for rule in rules if Constraint(rule).names & set(space.names)]
    return tuple(ours if length is None else [rule.replace("max_model_len", str(length)) for rule in ours])
