"""``scoot-ray init``: a first study from the command that serves today, or from a model's name, and a trace."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scoot_ray.draft.command import Today
from scoot_ray.draft.space import gpus_needed, holding, split, usual_space
from scoot_ray.draft.writing import Draft
from scoot_ray.engine.catalogue import EngineFlags, EngineNotFound, available_flags
from scoot_ray.engine.kinds import KINDS, Kind
from scoot_ray.engine.spaces import SPACES
from scoot_ray.load.errors import LoadError
from scoot_ray.load.formats import read_trace
from scoot_ray.problem import space_specs, spec_of
from scoot_ray.resolve import resolve
from scoot_ray.search import Value
from scoot_ray.study import ParameterSpec, StudyError, parse_study

__all__ = ["Drafted", "Wishes", "draft_study"]

_LOAD_S, _LONGEST_S, _FEWEST = 100.0, 600.0, 200


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user says beside the command; None where nothing."""

    trace: str
    name: str | None = None
    python: str | None = None
    gpus: int | None = None
    rate: float | None = None
    objectives: str = "interactive"


@dataclass(frozen=True, slots=True)
class Drafted:
    """A study to write, and lines to say about it."""

    draft: Draft
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Engine:
    """The engine's Python for the study, and what it accepts; None where there is none here."""

    python: str | None
    flags: EngineFlags | None
    note: str = ""


def draft_study(today: Today, wishes: Wishes, gpus_here: int, where: Path) -> Drafted:
    """Draft a study file for ``where``; ``gpus_here`` is what this machine has.

    Raises:
        StudyError: the trace cannot be read, or does not say a rate and none is wished.
    """
    rate = wishes.rate or _rate_of(wishes.trace)
    kind = KINDS[today.kind]
    engine = _engine(wishes.python or today.python, kind)
    gpus = _gpus(today, wishes, gpus_here, engine)
    space, rules = _space(today, wishes, engine, gpus, where)
    parts = split(today.flags, space)
    refused = _refused(parts.args, engine.flags)
    version = f"{kind.name} {engine.flags.version}" if engine.flags else ""
    warned = [f"warning: {name}: {version} has no such flag; it is in the study as a comment" for name in refused]
    if engine.flags is None and parts.args:
        warned.append("warning: no engine was asked, so the flags are kept unchecked")
    draft = Draft(
        name=wishes.name or _slug(today.model),
        model=today.model,
        trace=wishes.trace,
        rate=rate,
        duration_s=_duration_s(rate),
        gpus=gpus,
        objectives=wishes.objectives,
        space=parts.space,
        space_note=_space_note(engine, kind, bool(today.flags)),
        args={name: value for name, value in parts.args.items() if name not in refused},
        baseline=parts.searched,
        refused=refused,
        refused_note=f"{version} has no such flag",
        env=today.env,
        taken=today.taken,
        kind=kind.name,
        constraints=holding(rules, parts, gpus),
        python=engine.python,
        python_note=engine.note,
        notes=today.notes,
    )
    return Drafted(draft, (*today.notes, *warned))


def _engine(python: str | None, kind: Kind) -> _Engine:
    """The engine of this Python (None: ours), asked for its flags."""
    assert kind.source is not None  # no command starts an external engine
    if python is not None and not Path(python).exists():
        return _Engine(python, None, "not on this machine")
    try:
        return _Engine(python, available_flags(python, source=kind.source))
    except EngineNotFound:
        absent = f"{kind.name}-environment/bin/python"
        return _Engine(
            python or absent, None, "" if python else f"no {kind.title} was found here; name a Python that has it"
        )


def _gpus(today: Today, wishes: Wishes, gpus_here: int, engine: _Engine) -> int:
    """GPUs of an evaluation: as wished, as the command says, or one where the engine can have one."""
    if wishes.gpus is not None:
        return wishes.gpus
    needed = max(gpus_needed(today.flags, KINDS[today.kind].parallel), today.gpus or 0)
    on_cpu = engine.flags is not None and not gpus_here
    return 0 if needed == 1 and on_cpu else needed


def _space(
    today: Today, wishes: Wishes, engine: _Engine, gpus: int, where: Path
) -> tuple[Mapping[str, ParameterSpec], tuple[str, ...]]:
    """What the engine here can be tuned on, as its named space has it; the usual parameters where there is none.

    And rules between them, for kinds whose rules do not join a study by themselves.
    """
    if today.kind in SPACES:
        preset = SPACES[today.kind](engine.flags, gpus, None)
        specs = {one.name: spec_of(one, preset.default[one.name]) for one in preset.parameters}
        return specs, preset.constraints
    if engine.flags is None:
        return usual_space(gpus), ()
    longest = KINDS[today.kind].longest
    args = {name: today.flags[name] for name in (longest,) if name in today.flags}
    study = parse_study(_MINIMAL, str(where))
    changes = {
        "engine": study.engine.model_copy(update={"model": today.model, "python": engine.python, "args": args}),
        "resources": study.resources.model_copy(update={"gpus": gpus}),
        "workload": study.workload.model_copy(update={"trace": wishes.trace}),
    }
    return space_specs(resolve(study.model_copy(update=changes), where).problem), ()


_MINIMAL = """
name: draft
engine: {model: model}
workload: {trace: trace, arrivals: {rate: 1}}
objectives: interactive
space: vllm
engine_rules: none
"""


def _refused(args: Mapping[str, Value], flags: EngineFlags | None) -> dict[str, Value]:
    if flags is None:
        return {}
    return {name: value for name, value in args.items() if not flags.accepts(name)}


def _rate_of(trace: str) -> float:
    """Requests per second of the trace, to three digits."""
    try:
        requests = read_trace(trace).requests
    except LoadError as error:
        raise StudyError(str(error)) from error
    span_s = requests[-1].timestamp_s - requests[0].timestamp_s
    if len(requests) < 2 or span_s <= 0:
        raise StudyError(f"{trace}: does not say when requests arrive; give --rate, in requests per second")
    return float(f"{(len(requests) - 1) / span_s:.3g}")


def _duration_s(rate: float) -> float:
    """Long enough for some hundred requests, within reason."""
    return min(max(_LOAD_S, -(-_FEWEST // rate)), _LONGEST_S)


def _space_note(engine: _Engine, kind: Kind, today: bool) -> str:
    if engine.flags is not None:
        asked = f"of {kind.name} {engine.flags.version}"
    else:
        which = f"{kind.title} as read for docs/engines.md" if kind.name in SPACES else f"every {kind.title}"
        asked = f"of {which}, since none was here to ask"
    defaults = "; defaults are today's values where the command has them" if today else ""
    return f"the parameters {asked}{defaults}"


def _slug(model: str) -> str:
    """A name for the study: the model's, in the letters allowed."""
    last = re.sub(r"[^A-Za-z0-9._-]+", "-", model.rstrip("/").rpartition("/")[2]).strip("-._")
    return last[:64] or "study"
