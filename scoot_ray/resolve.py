"""Study -> Resolved: the trace read, the engine asked for its flags, the search space built, paths made absolute.

What the study alone cannot tell (does the trace exist, does the engine know a flag) is found here, before anything
starts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from scoot_ray.engine.catalogue import EngineFlags, EngineNotFound, available_flags
from scoot_ray.engine.kinds import KINDS
from scoot_ray.engine.presets import Preset, vllm_0_4_2, vllm_installed
from scoot_ray.engine.spaces import sglang_installed, tensorrt_llm_installed
from scoot_ray.estimate import warnings
from scoot_ray.history import Past, read_pasts, traffic_of
from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats import read_trace
from scoot_ray.load.selection import fit, window
from scoot_ray.load.trace import Trace
from scoot_ray.problem import build_problem, max_model_len, space_specs
from scoot_ray.search import Problem, TunerError, require_tuner, usable, warm
from scoot_ray.simulation import service_of
from scoot_ray.simulator.fitted import BadCalibration
from scoot_ray.simulator.models import UnknownModel
from scoot_ray.simulator.settings import NEWEST, flags_of
from scoot_ray.study import FromEnvironment, Study, StudyError

_Text = TypeVar("_Text", str, str | None)
_INSTALLED = {"vllm": vllm_installed, "sglang": sglang_installed, "tensorrt-llm": tensorrt_llm_installed}
"""Spaces made of what the engine accepts, by the study's name for them."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """A study with all it refers to.

    ``warnings`` are lines for its author; ``switches`` the engine's flags that have no ``--no-`` form; ``pasts`` what
    was read of the studies it starts from.
    """

    study: Study
    problem: Problem
    trace: Trace
    warnings: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    pasts: tuple[Past, ...] = ()


def resolve(study: Study, where: Path) -> Resolved:
    """Check a study against the world; ``where`` is its file.

    Relative paths are looked for beside the study's file, then in the current folder.

    Raises:
        StudyError: one line with file, key, value and what is allowed.
    """
    try:
        require_tuner(study.tuner)
    except TunerError as error:
        raise StudyError(f"{where}: {error}") from error
    study = _absolute(study, where)
    trace = _trace(study, where)
    flags = _engine_flags(study, where)
    problem = build_problem(study, _preset(study, flags, where), where)
    pasts = read_pasts(study, traffic_of(study, trace.requests), where) if study.warm_start else ()
    problem = warm(problem, [past.taken_in(problem.space) for past in pasts])
    said = [*trace.notes, *warnings(study, problem), *_useless(problem)]
    if study.engine.command is not None:
        said.append("engine.command: an external engine cannot be asked for its flags, so they are not checked")
    elif flags is None:
        said.append(f"engine.python: {study.engine.python}: not on this machine, so the engine's flags are not checked")
    else:
        _check_names(flags, (*problem.space.names, *study.engine.args), where, study)
    explicit = {"space": space_specs(problem), "constraints": tuple(problem.space.constraints)}
    return Resolved(
        study.model_copy(update=explicit),
        problem,
        trace,
        tuple(said),
        tuple(sorted(flags.switches)) if flags else (),
        pasts,
    )


def _useless(problem: Problem) -> Iterator[str]:
    """Lines about other studies that can teach nothing here."""
    for one in problem.earlier:
        if not usable(problem, one.history) and not usable(problem, one.beyond):
            wanted = " and ".join(objective.metric for objective in problem.objectives)
            yield f"warm_start: {one.name}: no configuration was measured on {wanted} there; it teaches nothing"


def _absolute(study: Study, where: Path) -> Study:
    paths = {"model": _path(study.engine.model, where), "python": _path(study.engine.python, where)}
    hardware = study.engine.hardware
    if hardware is not None:
        hardware = hardware.model_copy(update={"calibration": _path(hardware.calibration, where)})
    words = {name: _words(getattr(study.engine, name), where) for name in ("command", "stop_command")}
    engine = study.engine.model_copy(update={**paths, **words, "hardware": hardware})
    workload = study.workload.model_copy(update={"trace": _path(study.workload.trace, where)})
    output = str(Path(study.output).absolute())
    earlier = tuple(_path(path, where) for path in study.warm_start)
    changes = {"engine": engine, "workload": workload, "output": output, "warm_start": earlier}
    return study.model_copy(update=changes)


def _path(text: _Text, where: Path) -> _Text:
    """Absolute where it names something on disk; otherwise as it is: a model of the hub, a Python of another node."""
    if text is None:
        return text
    for base in (where.absolute().parent, Path.cwd()):
        if (base / text).exists():
            return str((base / text).absolute())
    return text


def _words(command: tuple[str, ...] | None, where: Path) -> tuple[str, ...] | None:
    """A command's words, those that name a file by a path made absolute: it runs in a folder of the evaluation's."""
    return command and tuple(_path(word, where) if "/" in word else word for word in command)


def _trace(study: Study, where: Path) -> Trace:
    """The rows that the study replays."""
    workload = study.workload
    try:
        trace = read_trace(workload.trace)
        chosen = window(trace.requests, workload.skip_rows, workload.rows)
        fit(chosen, max_model_len(study), workload.too_long)
    except LoadError as error:
        raise StudyError(f"{where}: workload: {error}") from error
    return replace(trace, requests=chosen)


def _engine_flags(study: Study, where: Path) -> EngineFlags | None:
    """What the engine accepts; None where its Python is on the cluster's nodes but not here."""
    if study.engine.simulated:
        return _simulated_flags(study, where)
    python, source = study.engine.python, KINDS[study.engine.kind].source
    if source is None or (python is not None and not Path(python).exists()):
        return None
    plain = {name: value for name, value in study.engine.env.items() if not isinstance(value, FromEnvironment)}
    try:
        return available_flags(python, plain, source)
    except EngineNotFound as error:
        raise StudyError(f"{where}: engine.python: {error}") from error


def _simulated_flags(study: Study, where: Path) -> EngineFlags:
    """The same of a simulated engine, whose model and machine must be known."""
    try:
        service_of(study)
    except UnknownModel as error:
        raise StudyError(f"{where}: engine.model: {error}") from error
    except BadCalibration as error:
        raise StudyError(f"{where}: engine.hardware.calibration: {error}") from error
    return flags_of(study.engine.version or NEWEST)


def _preset(study: Study, flags: EngineFlags | None, where: Path) -> Preset | None:
    """The space that ``space:`` names; None where it is a mapping."""
    if not isinstance(study.space, str):
        return None
    if study.space.removesuffix("-0.4.2") != KINDS[study.engine.kind].name:
        raise StudyError(f"{where}: space: {study.space!r} is not for engine.kind {study.engine.kind}")
    if study.space == "vllm-0.4.2":
        length = max_model_len(study)
        if length is None:
            raise StudyError(f"{where}: engine.args.max_model_len: missing; space vllm-0.4.2 needs it")
        return vllm_0_4_2(study.gpus, length)
    if flags is None:
        python = study.engine.python
        raise StudyError(f"{where}: space: {study.space!r} asks the engine, and engine.python {python} is not here")
    hardware = study.engine.hardware
    accelerator = hardware.accelerator if hardware is not None else study.resources.accelerator
    installed = _INSTALLED[study.space]
    preset = installed(flags, study.gpus, accelerator)
    if max_model_len(study) is not None:
        return preset
    # The engine alone knows the length; what then breaks the rule is refused by it, and learnt.
    known = tuple(rule for rule in preset.constraints if "max_model_len" not in rule)
    return replace(preset, constraints=known)


def _check_names(flags: EngineFlags, names: Iterable[str], where: Path, study: Study) -> None:
    called = f"the simulated vllm {flags.version}" if study.engine.simulated else f"{study.engine.kind} {flags.version}"
    for name in names:
        if not flags.accepts(name):
            close = difflib.get_close_matches(name, flags.names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise StudyError(f"{where}: {name}: {called} has no such flag{hint}")
