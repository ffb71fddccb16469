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
from scoot_ray.engine.help_text import flags_from_help
from scoot_ray.engine.kinds import KINDS
from scoot_ray.estimate import warnings
from scoot_ray.history import Past, read_pasts, traffic_of
from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats import read_trace
from scoot_ray.load.selection import fit, window
from scoot_ray.load.trace import Trace
from scoot_ray.precheck import Checked, check
from scoot_ray.problem import build_problem, max_model_len, space_specs
from scoot_ray.search import Problem, TunerError, require_tuner, usable, warm
from scoot_ray.simulation import service_of
from scoot_ray.simulator.fitted import BadCalibration
from scoot_ray.simulator.models import UnknownModel
from scoot_ray.simulator.settings import NEWEST, flags_of
from scoot_ray.storage import PlaceError, absolute
from scoot_ray.study import FromEnvironment, Study, StudyError
from scoot_ray.tunable import Tunables, cautions, tunables

_Text = TypeVar("_Text", str, str | None)


@dataclass(frozen=True, slots=True)
class Resolved:
    """A study with all it refers to.

    ``warnings`` are lines for its author; ``switches`` the engine's flags that have no ``--no-`` form; ``pasts`` what
    was read of the studies it starts from; ``tunables`` the named space with its reasons; ``engine_version`` is None
    where the engine could not be asked; ``checked`` what was known before anything started.
    """

    study: Study
    problem: Problem
    trace: Trace
    warnings: tuple[str, ...] = ()
    switches: tuple[str, ...] = ()
    pasts: tuple[Past, ...] = ()
    tunables: Tunables | None = None
    engine_version: str | None = None
    checked: Checked | None = None

    @property
    def requests(self) -> int:
        """How many requests the study's trace has."""
        return len(self.trace.requests)


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
    named = tunables(study, flags, trace.requests, where)
    problem = build_problem(study, named.preset if named is not None else None, where)
    own = tuple(problem.space.constraints)
    checked = check(study, problem, flags, where)
    problem = checked.problem
    pasts = read_pasts(study, traffic_of(study, trace.requests), where) if study.warm_start else ()
    problem = warm(problem, [past.taken_in(problem.space) for past in pasts])
    said = [*trace.notes, *warnings(study, problem), *_useless(problem), *checked.warnings]
    said.extend(cautions(study, problem.space.names, trace.requests))
    if study.engine.command is not None:
        said.append("engine.command: an external engine cannot be asked for its flags, so they are not checked")
    elif flags is None:
        said.append(f"engine.python: {study.engine.python}: not on this machine, so the engine's flags are not checked")
    else:
        _check_names(flags, (*problem.space.names, *study.engine.args), where, study)
    explicit = {"space": space_specs(problem), "constraints": own, "engine_rules": checked.added}
    return Resolved(
        study.model_copy(update=explicit),
        problem,
        trace,
        tuple(said),
        tuple(sorted(flags.switches)) if flags else (),
        pasts,
        named,
        flags.version if flags else None,
        checked,
    )


def _useless(problem: Problem) -> Iterator[str]:
    """Lines about other studies that can teach nothing here."""
    for one in problem.earlier:
        if not usable(problem, one.history) and not usable(problem, one.beyond):
            wanted = " and ".join(objective.metric for objective in problem.objectives)
            yield f"warm_start: {one.name}: no configuration was measured on {wanted} there; it teaches nothing"


def _absolute(study: Study, where: Path) -> Study:
    paths = {name: _path(getattr(study.engine, name), where) for name in ("model", "python", "help")}
    hardware = study.engine.hardware
    if hardware is not None:
        hardware = hardware.model_copy(update={"calibration": _path(hardware.calibration, where)})
    words = {name: _words(getattr(study.engine, name), where) for name in ("command", "stop_command")}
    engine = study.engine.model_copy(update={**paths, **words, "hardware": hardware})
    workload = study.workload.model_copy(update={"trace": _path(study.workload.trace, where)})
    try:
        output = absolute(study.output)
    except PlaceError as error:
        raise StudyError(f"{where}: output: {error}") from error
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
    if study.engine.help is not None:
        return _recorded_flags(Path(study.engine.help), where)
    python, source = study.engine.python, KINDS[study.engine.kind].source
    if source is None or (python is not None and not Path(python).exists()):
        return None
    plain = {name: value for name, value in study.engine.env.items() if not isinstance(value, FromEnvironment)}
    try:
        return available_flags(python, plain, source)
    except EngineNotFound as error:
        raise StudyError(f"{where}: engine.python: {error}") from error


def _recorded_flags(file: Path, where: Path) -> EngineFlags:
    """The same of a recorded help text."""
    try:
        return flags_from_help(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{where}: engine.help: {file}: {error}") from error


def _simulated_flags(study: Study, where: Path) -> EngineFlags:
    """The same of a simulated engine, whose model and machine must be known."""
    try:
        service_of(study)
    except UnknownModel as error:
        raise StudyError(f"{where}: engine.model: {error}") from error
    except BadCalibration as error:
        raise StudyError(f"{where}: engine.hardware.calibration: {error}") from error
    return flags_of(study.engine.version or NEWEST)


def _check_names(flags: EngineFlags, names: Iterable[str], where: Path, study: Study) -> None:
    called = f"the simulated vllm {flags.version}" if study.engine.simulated else f"{study.engine.kind} {flags.version}"
    for name in names:
        if not flags.accepts(name):
            close = difflib.get_close_matches(name, flags.names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise StudyError(f"{where}: {name}: {called} has no such flag{hint}")
