"""The search's view of a study: space, objectives, SLOs, baseline. Mistakes are said with the study's own keys."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from scoot_ray.engine.flags import FlagError, parse_flags
from scoot_ray.engine.kinds import KINDS
from scoot_ray.engine.kinds.external import BadTemplate, check_templates
from scoot_ray.engine.launch import gpus_per_replica
from scoot_ray.engine.presets import Preset
from scoot_ray.hopeless import Rule, rule_of
from scoot_ray.load.figures.goodput import LIMITED, Limit
from scoot_ray.search import (
    SLO,
    Boolean,
    Choice,
    Config,
    Float,
    Integer,
    Objective,
    Parameter,
    Problem,
    SearchError,
    SearchSpace,
    SpaceError,
    Value,
)
from scoot_ray.search import (
    preset as preset_objectives,
)
from scoot_ray.serving import outside_of
from scoot_ray.study import MAX_RATE, ParameterSpec, Study, StudyError

_ERROR_RATE = 0.01
_STEADY = ("poisson", "gamma", "constant")
_PER_GPU = tuple(
    f"{name}_per_gpu"
    for name in ("request_throughput", "output_throughput", "total_token_throughput", "request_goodput", MAX_RATE)
)


def build_problem(study: Study, preset: Preset | None, where: Path) -> Problem:
    """The search's view of the study; ``preset`` is what a named space stands for, None for a mapping.

    Raises:
        StudyError: one line with file, key, value and what is allowed.
    """
    if preset is not None:
        parameters: list[Parameter] = list(preset.parameters)
        constraints, default = (*preset.constraints, *study.constraints), dict(preset.default)
    else:
        assert isinstance(study.space, dict)  # only names have presets
        parameters = [parameter_of(name, spec, where) for name, spec in study.space.items()]
        constraints = study.constraints
        default = {name: _default_of(name, spec, where) for name, spec in study.space.items()}
    constants = constants_of(study, [parameter.name for parameter in parameters])
    space = _named(where, "space", lambda: SearchSpace(parameters, constraints, default, constants))
    _check_default(space, where)
    _check_fixed(study, space, where)
    objectives = _objectives(study, where)
    slos = [_named(where, "slos", partial(SLO.parse, text)) for text in study.slos]
    limit = min([slo.limit for slo in slos if slo.metric == "error_rate" and slo.is_ceiling], default=_ERROR_RATE)
    baseline = _baseline(study, space, where)
    problem = _named(where, "objectives", lambda: Problem(space, objectives, slos, baseline, limit))
    _check_metrics(study, problem, where)
    return problem


def constants_of(study: Study, names: Collection[str]) -> dict[str, Value]:
    """What constraints may speak of besides the parameters ``names``: the GPUs, and fixed numbers and booleans."""
    plain = {name: value for name, value in study.engine.args.items() if not isinstance(value, str)}
    return {"gpus": study.gpus, **{name: value for name, value in plain.items() if name not in names}}


def goodput_limits(problem: Problem) -> tuple[Limit, ...]:
    """What a request must meet to count in request_goodput: the limits of the SLOs on its latencies."""
    return limits_of(problem.slos)


def limits_of(slos: Iterable[SLO]) -> tuple[Limit, ...]:
    """The same of the SLOs alone."""
    limits: dict[str, float] = {}
    for slo in slos:
        latency = slo.metric.removesuffix("_ms").rpartition("_")[2]
        if latency in LIMITED and slo.is_ceiling:
            limits[latency] = min(slo.limit, limits.get(latency, slo.limit))
    return tuple(Limit(latency, at_most_ms) for latency, at_most_ms in limits.items())


def _check_metrics(study: Study, problem: Problem, where: Path) -> None:
    """Refuse what no evaluation of this study could measure."""
    wanted = [("objectives", one.metric) for one in problem.objectives] + [("slos", one.metric) for one in problem.slos]
    for section, metric in wanted:
        if metric.startswith(MAX_RATE):
            _check_rate_search(study, problem, f"{where}: {section}: {metric}")
        if metric.endswith("_per_gpu") and (metric not in _PER_GPU or not study.gpus):
            raise StudyError(
                f"{where}: {section}: {metric}: needs {_gpus_key(study)}, and is one of {', '.join(_PER_GPU)}"
            )
        if metric.startswith("request_goodput") and not goodput_limits(problem):
            raise StudyError(
                f"{where}: {section}: {metric}: needs slos on ttft, tpot or e2el, such as 'ttft:p95<500ms'"
            )


def rate_slos(problem: Problem) -> tuple[SLO, ...]:
    """What max_rate_under_slo must hold; empty where the study does not ask for that metric."""
    wanted = [one.metric for one in problem.objectives] + [one.metric for one in problem.slos]
    if not any(metric.startswith(MAX_RATE) for metric in wanted):
        return ()
    return tuple(slo for slo in problem.slos if not slo.metric.startswith(MAX_RATE))


def ending_rule(study: Study, problem: Problem) -> Rule | None:
    """What ends a hopeless evaluation early; None where none may be, and where each is a search for a rate."""
    if not study.budget.end_hopeless or rate_slos(problem):
        return None
    return rule_of(problem, goodput_limits(problem), study.gpus)


def _check_rate_search(study: Study, problem: Problem, what: str) -> None:
    """Raises StudyError where there is no rate to raise, or nothing that limits it."""
    if study.workload.arrivals.process not in _STEADY:
        raise StudyError(f"{what}: needs workload.arrivals with a rate: one of {', '.join(_STEADY)}")
    slos = rate_slos(problem)
    if not slos:
        raise StudyError(f"{what}: needs slos that limit the rate, such as 'ttft:p99<500ms'")
    for slo in slos:
        if slo.metric.endswith("_per_gpu"):
            raise StudyError(f"{what}: cannot be limited by {slo}; use the metric without _per_gpu")


def parameter_of(name: str, spec: ParameterSpec, where: Path) -> Parameter:
    """One entry of the mapping ``space:``.

    Raises:
        StudyError: what is given does not go with its type.
    """
    given = {key for key in ("low", "high", "values") if getattr(spec, key) is not None}
    needed = {"integer": {"low", "high"}, "float": {"low", "high"}, "choice": {"values"}, "boolean": set()}[spec.type]
    if given != needed:
        wants = " and ".join(sorted(needed, reverse=True)) or "neither low, high nor values"
        raise StudyError(f"{where}: space.{name}: type {spec.type} takes {wants}")
    if spec.scale != "linear" and (spec.type != "integer" and (spec.type, spec.scale) != ("float", "log")):
        raise StudyError(f"{where}: space.{name}.scale: {spec.scale!r} does not go with type {spec.type}")
    return _named(where, f"space.{name}", lambda: _build(name, spec))


def _build(name: str, spec: ParameterSpec) -> Parameter:
    match spec.type:
        case "integer":
            if not (isinstance(spec.low, int) and isinstance(spec.high, int)):
                raise SpaceError(f"low and high must be integers, not {spec.low} and {spec.high}")
            return Integer(name, spec.low, spec.high, scale=spec.scale)
        case "float":
            return Float(name, float(spec.low or 0.0), float(spec.high or 0.0), log=spec.scale == "log")
        case "choice":
            return Choice(name, spec.values or ())
        case "boolean":
            return Boolean(name)


def _check_default(space: SearchSpace, where: Path) -> None:
    """The default is measured first: it may not break a known constraint."""
    if space.default is not None and (broken := space.violated(space.default)):
        raise StudyError(f"{where}: space: the default configuration breaks the constraint {broken[0]!r}")


def _default_of(name: str, spec: ParameterSpec, where: Path) -> Value:
    if spec.default is None:
        raise StudyError(f"{where}: space.{name}.default: missing; say what the engine uses when nothing is set")
    return spec.default


def _check_fixed(study: Study, space: SearchSpace, where: Path) -> None:
    for name in space.names:
        if name in study.engine.args:
            raise StudyError(f"{where}: engine.args.{name}: is in the search space too; remove it from one of them")
    kind = KINDS[study.engine.kind]
    for name in kind.own & {*space.names, *study.engine.args}:
        raise StudyError(f"{where}: {name}: every evaluation sets this flag for itself; remove it")
    for name in kind.parallel:
        size = study.engine.args.get(name, 1)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise StudyError(f"{where}: engine.args.{name}: {size!r}: allowed are integers from 1 on")
    gpus = study.gpus
    if (needed := gpus_per_replica(study.engine.args, kind)) > max(gpus, 1):
        raise StudyError(f"{where}: {_gpus_key(study)}: {gpus}: engine.args ask for {needed} GPUs")
    _check_command(study, space, where)


def _check_command(study: Study, space: SearchSpace, where: Path) -> None:
    """A command of the user's own must take every parameter, and nothing that is none."""
    if study.engine.command is None:
        return
    try:
        check_templates(study.engine.command, outside_of(study.engine), (*space.names, *study.engine.args))
    except BadTemplate as error:
        raise StudyError(f"{where}: engine.{error}") from error


def _gpus_key(study: Study) -> str:
    """Where the study says how many GPUs there are."""
    return "engine.hardware.count" if study.engine.simulated else "resources.gpus"


def _objectives(study: Study, where: Path) -> tuple[Objective, ...]:
    if isinstance(study.objectives, str):
        return preset_objectives(study.objectives)
    return tuple(
        _named(where, "objectives", partial(Objective, spec.metric, spec.direction)) for spec in study.objectives
    )


def _baseline(study: Study, space: SearchSpace, where: Path) -> Config | None:
    """The user's present flags as a point of the space; what it does not name is as in the default."""
    if study.baseline is None:
        return None
    try:
        flags = parse_flags(study.baseline)
    except FlagError as error:
        raise StudyError(f"{where}: baseline: {error}") from error
    for name, value in flags.items():
        if name not in {*space.names, *KINDS[study.engine.kind].own} and study.engine.args.get(name) != value:
            flag, known = name.replace("_", "-"), ", ".join(space.names)
            raise StudyError(f"{where}: baseline: --{flag}: not in the space ({known}) nor in engine.args")
    config = {**(space.default or {}), **{name: flags[name] for name in space.names if name in flags}}
    _named(where, "baseline", lambda: space.validate(config))
    return config


def max_model_len(study: Study) -> int | None:
    """The longest sequence in tokens, where the study sets it."""
    length = study.engine.args.get(KINDS[study.engine.kind].longest)
    return length if isinstance(length, int) and not isinstance(length, bool) else None


def space_specs(problem: Problem) -> dict[str, ParameterSpec]:
    """The space as the study file writes it, so that a run's study.yaml stands on its own."""
    default = problem.space.default or {}
    return {parameter.name: spec_of(parameter, default[parameter.name]) for parameter in problem.space.parameters}


def spec_of(parameter: Parameter, default: Value) -> ParameterSpec:
    """One parameter as the study file writes it."""
    match parameter:
        case Integer(low=low, high=high, scale=scale):
            return ParameterSpec(type="integer", low=low, high=high, scale=scale, default=default)
        case Float(low=low, high=high, log=log):
            return ParameterSpec(type="float", low=low, high=high, scale="log" if log else "linear", default=default)
        case Choice(values=values):
            return ParameterSpec(type="choice", values=tuple(values), default=default)
        case Boolean():
            return ParameterSpec(type="boolean", default=default)


_Built = TypeVar("_Built")


def _named(where: Path, key: str, build: Callable[[], _Built]) -> _Built:
    """Whatever the search refuses is said with the study's file and key."""
    try:
        return build()
    except SearchError as error:
        raise StudyError(f"{where}: {key}: {error}") from error
