"""What is known before anything starts: the engine's own rules, and the memory it cannot do without.

Rules become known constraints of the search. A study none of whose configurations could start is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scoot_ray.engine.catalogue import EngineFlags
from scoot_ray.engine.kinds import KINDS, VLLM
from scoot_ray.engine.models import ModelFacts
from scoot_ray.engine.rules import Rule, bind, rules_of
from scoot_ray.precheck.hardware import gpu_memory
from scoot_ray.precheck.known import Fixed, Known, known_rules, missing_facts
from scoot_ray.precheck.memory import NoArithmetic, needs
from scoot_ray.precheck.model import model_facts
from scoot_ray.precheck.room import RULE as MEMORY
from scoot_ray.precheck.room import Room
from scoot_ray.search import Config, Problem
from scoot_ray.study import Study, StudyError

__all__ = ["Checked", "Known", "check"]

_AS_PUBLISHED = "scoot-paper"
"""The tuner whose known constraints are the paper's."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A problem with the engine's rules among its constraints.

    ``added`` are the constraints that were not there; ``known`` says for every rule that concerns the study what it
    comes to; ``memory`` is the default's sum in one line; ``notes`` say what could not be checked, ``warnings`` what
    will not start.
    """

    problem: Problem
    added: tuple[str, ...] = ()
    known: tuple[Known, ...] = ()
    memory: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check(study: Study, problem: Problem, flags: EngineFlags | None, where: Path) -> Checked:
    """Put the engine's rules and its need of memory to a study; ``flags`` are None where the engine is not here.

    Raises:
        StudyError: no configuration of the study can start; one line with the rule, or the arithmetic.
    """
    if study.engine_rules != "auto":
        added = () if study.engine_rules == "none" else study.engine_rules
        return Checked(_with(problem, added), added)
    if KINDS[study.engine.kind] is not VLLM:
        return Checked(problem)
    facts, why_not = model_facts(study)
    rules = rules_of(flags.version if flags else None, "gpu" if study.gpus else "cpu")
    fixed = Fixed.of(study.engine.args, _stated(flags), facts.names if facts else {})
    known = known_rules(rules, problem.space, fixed)
    notes = list(_not_applied(rules, problem, fixed, study, why_not))
    room = None
    try:
        room = _room(study, problem, fixed, facts) if study.gpus else None
    except NoArithmetic as reason:
        notes.append(f"memory is not checked: {reason}")
    if room is not None:
        known = (*known, room.known)
    _refuse_impossible(known, room, problem.space.constants or {}, where)
    memory = room.sum_of(problem.space.default or {}) if room is not None else None
    added = tuple(one.text for one in known if one.verdict == "sometimes" and one.text not in problem.space.constraints)
    added = () if study.tuner == _AS_PUBLISHED else added
    warnings = tuple(_will_not_start(problem, known, room))
    return Checked(_with(problem, added), added, known, memory, tuple(notes), warnings)


def _stated(flags: EngineFlags | None) -> Config:
    """The defaults that the engine's command line states; it works out the others from model and machine."""
    return {flag.name: flag.default for flag in flags.flags if flag.default is not None} if flags else {}


def _room(study: Study, problem: Problem, fixed: Fixed, facts: ModelFacts | None) -> Room | None:
    if facts is None:
        return None  # said once, for the rules
    found = needs(facts, study.engine.args, frozenset(problem.space.names), gpu_memory(study))
    return Room.of(found, problem.space, fixed, facts)


def _not_applied(
    rules: Sequence[Rule], problem: Problem, fixed: Fixed, study: Study, why_not: str | None
) -> Iterator[str]:
    missing = missing_facts(rules, problem.space, fixed)
    wanted = [*missing, *(["memory"] if study.gpus and why_not else [])]
    if wanted:
        reason = why_not or f"the config.json of {study.engine.model} does not say"
        yield f"the engine's rules on {', '.join(wanted)} are not applied: {reason}"


def _with(problem: Problem, added: Sequence[str]) -> Problem:
    if not added:
        return problem
    space = replace(problem.space, constraints=(*problem.space.constraints, *added))
    return replace(problem, space=space)


def _refuse_impossible(known: Sequence[Known], room: Room | None, constants: Config, where: Path) -> None:
    for one in known:
        if one.verdict != "never":
            continue
        if one.rule == MEMORY and room is not None:
            raise StudyError(f"{where}: engine: no configuration can start: {room.least}")
        raise StudyError(
            f"{where}: engine: no configuration can start: vllm wants {_with_values(one.rule, one.text, constants)}: "
            f"{one.reason}; {one.source}"
        )


def _with_values(rule: str, text: str, values: Config) -> str:
    """The rule, and beside it what it comes to with ``values`` in the place of their names."""
    bound = bind(text, values)
    return rule if bound == rule else f"{rule} (here {bound})"


def _will_not_start(problem: Problem, known: Sequence[Known], room: Room | None) -> Iterator[str]:
    """Lines about what is measured whatever is known of it."""
    baseline = problem.baseline if problem.baseline != problem.space.default else None
    for name, config in (("default", problem.space.default), ("baseline", baseline)):
        broken = _broken(problem, known, config) if config is not None else ()
        values = {**(problem.space.constants or {}), **(config or {})}
        reasons = [
            room.sum_of(config or {}) if one.rule == MEMORY and room else _with_values(one.rule, one.text, values)
            for one in broken
        ]
        if reasons:
            yield f"{name}: the engine will hardly start with it: {'; '.join(reasons)}"


def _broken(problem: Problem, known: Sequence[Known], config: Config) -> tuple[Known, ...]:
    """The rules that a configuration breaks, those aside that the study has as constraints of its own."""
    others = [one for one in known if one.text not in problem.space.constraints]
    return tuple(one for one in others if replace(problem.space, constraints=(one.text,)).violated(config))
