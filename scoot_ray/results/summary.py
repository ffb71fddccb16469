"""The outcome of a run as one JSON document: ``result.json`` and ``--json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from scoot_ray.engine.flags import merged
from scoot_ray.engine.launch import replicas
from scoot_ray.inference import mean_interval
from scoot_ray.journal import bounds_to_json
from scoot_ray.log import Log
from scoot_ray.optimizer import stopped_early
from scoot_ray.resolve import Resolved
from scoot_ray.results.served import command_in, files_in
from scoot_ray.results.steadiness import steadiness, unsteady
from scoot_ray.search import Bounded, Config, Failed, Measured, Observation, Origin, recommend, threshold
from scoot_ray.serving import kind_of
from scoot_ray.standing import Standing, standings, survivors
from scoot_ray.study.sections import Workload
from scoot_ray.verdict import Change, Verdict, to_use, verdict

_PART_OF_LOAD = {"skip_rows", "rows", "sessions", "think_s", "too_long"}
_SATURATED = 0.98  # a service that keeps up with this share of the offered rate leaves nothing to gain


def summarise(
    resolved: Resolved,
    log: Log,
    complete: bool,
    reason: str,
    circumstances: Mapping[str, Any],
    of_trial: Callable[[int], Mapping[str, Any]] = lambda _: {},
) -> dict[str, Any]:
    """Everything a reader of the result needs; metrics keep their units in their names.

    ``of_trial`` gives the circumstances of one trial, where the confirmation's intervals over requests are.

    ``recommended`` is the configuration to use: the confirmed winner where it beats what runs today, else what runs
    today. Without a confirmation it is the best of the search, marked ``confirmed: false``.
    """
    study, problem = resolved.study, resolved.problem
    early = stopped_early(resolved, log) if complete else None
    decided = verdict(problem, study.confirmation, log)
    found = standings(problem, study.confirmation, log)
    best = recommend(problem, log.searched)
    return {
        "schema_version": 1,
        "study": study.name,
        "simulated": study.engine.simulated,
        "tuner": study.tuner,
        "seed": study.seed,
        "complete": complete,
        "reason": f"stopped early: {early}" if early else reason,
        "engine": {name: circumstances.get(name) for name in ("engine_version", "max_model_len", "replicas")},
        "serving": _serving(resolved),
        "trace": {
            "source": resolved.trace.source,
            "sha256": resolved.trace.sha256,
            "requests": resolved.requests,
            "too_long": {name: circumstances.get(name) for name in ("dropped", "clipped")},
        },
        "load": _load(resolved.study.workload),
        "warnings": _warnings(resolved, log),
        "objectives": [{"metric": one.metric, "direction": one.direction} for one in problem.objectives],
        "slos": list(study.slos),
        "budget": {"observations": study.budget.observations, "spent": len(log.searched)},
        "warm_start": [
            {"study": past.name, "observations": len(past.observations), "similarity": past.similarity}
            for past in resolved.pasts
        ],
        "outcomes": _outcomes(log),
        "phases_s": _phases_s(log),
        "steadiness": [asdict(one) for one in steadiness(problem, log)],
        "cost": _cost(log, study.gpus),
        "pof_threshold": threshold(log.searched),
        "default": _named(log, Origin.DEFAULT),
        "baseline": _named(log, Origin.BASELINE),
        "observations": [_observation(seen) for seen in log.searched],
        "front": [_observation(seen) for seen in best],
        "confirmation": [_standing(one, log, of_trial) for one in found],
        "verdict": _verdict(decided),
        "sentence": ("Simulated: " if study.engine.simulated else "") + sentence(decided, found),
        "recommended": _recommended(resolved, decided, found, best),
    }


def _load(workload: Workload) -> dict[str, Any]:
    return {
        "process": workload.arrivals.process,
        **workload.arrivals.model_dump(mode="json", exclude_defaults=True),
        "duration_s": workload.duration_s,
        **workload.model_dump(mode="json", exclude_defaults=True, include=_PART_OF_LOAD),
    }


def _cost(log: Log, gpus: int) -> dict[str, Any]:
    return {
        "held_s": log.held_s,
        "gpu_hours": log.held_s * gpus / 3600,
        "gpu_s": {phase.removesuffix("_s"): seconds * gpus for phase, seconds in log.held_phases_s.items()},
        "confirmation_runs": sum(len(seen.trial.orders) for seen in log.confirmed),
    }


def sentence(decided: Verdict | None, found: Sequence[Standing]) -> str:
    """The verdict in one line, and what a soak made of it; ``found`` are the standings of the confirmation."""
    return _judgement(decided, found) + _soak_sentence(decided, found)


def _judgement(decided: Verdict | None, found: Sequence[Standing]) -> str:
    if decided is None:
        return _undecided(found)
    today = f"the {decided.reference.contestant.role} configuration"
    changes = _changes_text(decided.changes)
    won = decided.chosen is decided.winner
    if won and decided.winner.meets_slos and not decided.reference.meets_slos:
        return f"The winner keeps the SLOs, which {today} does not: {changes}."
    if decided.reference.meets_slos and not decided.winner.meets_slos:
        return f"No finalist keeps the SLOs that {today} keeps ({changes}); keep {today}."
    return {
        ("better", True): f"The winner beats {today} beyond the noise: {changes}.",
        ("trade", True): f"The winner trades one objective for the other against {today}: {changes}.",
        ("trade", False): f"The best finalist costs more than it gains against {today} ({changes}); keep {today}.",
        ("none", False): f"No configuration was shown to beat {today} beyond the noise ({changes}); keep {today}.",
    }[decided.kind, won]


def _undecided(found: Sequence[Standing]) -> str:
    if not any(standing.promises for standing in found):
        return "Not confirmed: the figures are the search's own, and optimistic."
    sound = survivors(found)
    if not sound:
        return "Nothing survived being measured again."
    if sound[0].contestant.role == "finalist":
        return "What runs today could not be measured; the best finalist stands alone."
    return f"No finalist survived being measured again; keep the {sound[0].contestant.role} configuration."


def _soak_sentence(decided: Verdict | None, found: Sequence[Standing]) -> str:
    """What the soaks have changed, or shown of the one to use; empty without any."""
    lost = sum(one.soak is not None and one.soak.failure is not None for one in found)
    text = f" Did better, but not survive the soak: {lost} of the finalists." if lost else ""
    chosen = to_use(decided, found)
    return text + (f" It {chosen.soak.line}." if chosen is not None and chosen.soak is not None else "")


def _changes_text(changes: Sequence[Change]) -> str:
    return ", ".join(_change_text(change) for change in changes)


def _change_text(change: Change) -> str:
    figure = f"{change.metric} {change.relative:+.0%}"
    if change.low is not None and change.high is not None:
        figure += f" ({change.low:+.0%} to {change.high:+.0%})"
    return figure + (", within the noise" if change.certain == "no" else "")


def _warnings(resolved: Resolved, log: Log) -> list[str]:
    """What the study's author was told, and what the default's measurement has shown since."""
    said = [*resolved.warnings, *unsteady(steadiness(resolved.problem, log))]
    metrics = log.default.metrics if log.default is not None else {}
    served, offered = metrics.get("request_throughput"), metrics.get("offered_rate")
    wants_throughput = any(one.metric.startswith("request_throughput") for one in resolved.problem.objectives)
    if wants_throughput and served is not None and offered is not None and served >= _SATURATED * offered:
        said.append(
            f"the default already serves {served / offered:.0%} of the {offered:.3g} requests/s offered: "
            "the objective is flat; raise workload.arrivals.rate"
        )
    return said


def _outcomes(log: Log) -> dict[str, Any]:
    failed = Counter(seen.outcome.kind.value for seen in log.searched if isinstance(seen.outcome, Failed))
    return {
        "measured": sum(isinstance(seen.outcome, Measured) for seen in log.searched),
        "bounded": sum(isinstance(seen.outcome, Bounded) for seen in log.searched),
        "failed": dict(failed),
        "retried": log.attempts,
    }


def _phases_s(log: Log) -> dict[str, float]:
    """Seconds of each phase over all evaluations that count: what starting engines costs, apart from the loads."""
    total: Counter[str] = Counter()
    for seen in log.observations:
        total.update(seen.timings)
    return dict(total)


def _named(log: Log, origin: Origin) -> dict[str, Any] | None:
    return next((_observation(seen) for seen in log.searched if seen.trial.origin is origin), None)


def _observation(seen: Observation) -> dict[str, Any]:
    trial = seen.trial
    document: dict[str, Any] = {"trial": trial.id, "origin": trial.origin.value, "config": dict(trial.config)}
    match seen.outcome:
        case Measured(metrics=metrics):
            return {**document, "metrics": dict(metrics)}
        case Bounded(bounds=bounds, reason=reason):
            return {**document, "bounds": bounds_to_json(bounds), "reason": reason}
        case Failed(kind=kind, detail=detail):
            return {**document, "failed": kind.value, "detail": detail}


def _standing(standing: Standing, log: Log, of_trial: Callable[[int], Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "role": standing.contestant.role,
        "config": dict(standing.contestant.config),
        "promises": [
            {**asdict(promise), "interval": mean_interval(promise.runs)} for promise in standing.promises.values()
        ],
        "meets_slos": standing.meets_slos,
        "failure": standing.failure,
        "soak": None if standing.soak is None else {**asdict(standing.soak), "line": standing.soak.line},
        "nodes": list(standing.nodes),
        "runs": list(_runs(standing, log, of_trial)),
    }


def _runs(standing: Standing, log: Log, of_trial: Callable[[int], Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each run with all its metrics, and their intervals by bootstrap over its requests where they were noted."""
    for seen in log.confirmed:
        if isinstance(seen.outcome, Measured) and seen.trial.config == standing.contestant.config:
            noted = of_trial(seen.trial.id)
            for order, metrics in zip(seen.trial.orders, seen.outcome.runs, strict=False):
                yield {
                    "order": order,
                    "trial": seen.trial.id,
                    "node": seen.where,
                    "metrics": dict(metrics),
                    "intervals": noted.get(f"order {order}", {}).get("intervals", {}),
                }


def _verdict(decided: Verdict | None) -> dict[str, Any] | None:
    if decided is None:
        return None
    return {
        "kind": decided.kind,
        "winner": dict(decided.winner.contestant.config),
        "reference": decided.reference.contestant.role,
        "changes": [asdict(change) for change in decided.changes],
        "rivals": [dict(one.contestant.config) for one in decided.rivals],
    }


def _recommended(
    resolved: Resolved, decided: Verdict | None, found: Sequence[Standing], best: Sequence[Observation]
) -> dict[str, Any] | None:
    """What the confirmation chose; without one, the search's best."""
    chosen = to_use(decided, found)
    if chosen is not None:
        return _with_command(resolved, chosen.contestant.config, confirmed=True)
    if any(standing.promises for standing in found):
        return None
    return _with_command(resolved, best[0].trial.config, confirmed=False) if best else None


def _with_command(resolved: Resolved, config: Config, confirmed: bool) -> dict[str, Any]:
    """The configuration as it is served. Secrets appear by the name of the variable that holds them."""
    study, serving = resolved.study, _serving(resolved)
    files = files_in(serving, config)
    return {
        "config": dict(config),
        "confirmed": confirmed,
        "command": command_in(serving, config),
        **({"files": files} if files else {}),
        "env": _env(resolved),
        "replicas": replicas(study.gpus, merged(study.engine.args, config), kind_of(study)),
    }


def _serving(resolved: Resolved) -> dict[str, Any]:
    """What any configuration of the study is served with: enough to write another's command."""
    engine, study = resolved.study.engine, resolved.study
    accelerator = engine.hardware.accelerator if engine.hardware is not None else study.resources.accelerator
    return {
        "kind": engine.kind,
        "model": engine.model,
        "args": dict(engine.args),
        **({"program": list(engine.command)} if engine.command else {}),
        "env": _env(resolved),
        "switches": list(resolved.switches),
        "gpus": study.gpus,
        "accelerator": accelerator,
        "cpus": study.resources.cpus,
    }


def _env(resolved: Resolved) -> dict[str, Any]:
    env = resolved.study.engine.env
    return {name: value if isinstance(value, str) else value.model_dump() for name, value in env.items()}
