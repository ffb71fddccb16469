"""Every trial with what came of it and the end of its engine's log; and the points of the front to choose from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scoot_ray.results.report.run import Run
from scoot_ray.results.report.text import config_text, duration, named, plain, value_text
from scoot_ray.results.report.timeline import Span
from scoot_ray.search import Bounded, Config, Failed, Measured, Observation, Trial
from scoot_ray.storage import Storage

_ALL_LOGS = 1_500_000  # characters of log in one report
_LONGEST, _SHORTEST = 4_000, 600  # characters of one trial's log
_MAY_QUOTE = re.compile(r"Received request|prompt_token_ids|\bprompt\s*[:=]", re.IGNORECASE)
_LOG_BYTES = 1_000_000  # of the end of one log
_LEFT_OUT = "[a line that may quote a prompt is left out]"


@dataclass(frozen=True, slots=True)
class Row:
    """A trial as it is listed. ``outcome`` is a word or two, ``kind`` one of measured, failed, early, open."""

    trial: int
    origin: str
    kind: str
    outcome: str
    figures: tuple[tuple[str, str], ...]
    differs: str
    config: str
    detail: str
    took: str
    where: str
    log: str
    on_front: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """A point of the front: its figures against today's, its settings and the command that serves with it."""

    trial: int
    recommended: bool
    figures: tuple[tuple[str, str, str], ...]
    settings: tuple[tuple[str, str, str], ...]
    command: str


def rows_of(run: Run, spans: Sequence[Span], *, logs: bool) -> tuple[Row, ...]:
    """All trials in the order of their ids, those under way too."""
    settled = {seen.trial.id: seen for seen in run.log.observations}
    front = {one["trial"] for one in run.result["front"]}
    slots = {span.trial: span for span in spans}
    most = max(_SHORTEST, min(_LONGEST, _ALL_LOGS // max(1, len(run.log.trials)))) if logs else 0
    return tuple(
        _row(run, trial, settled.get(trial.id), slots.get(trial.id), log_tail(run.folder.trial(trial.id), most), front)
        for trial in sorted(run.log.trials, key=lambda trial: trial.id)
    )


def choices_of(run: Run) -> tuple[Choice, ...]:
    """The front's points, best compromise first; for one objective the best alone."""
    recommended = run.result["recommended"]
    return tuple(
        Choice(
            one["trial"],
            recommended is not None and one["config"] == recommended["config"],
            _against_today(run, one["metrics"]),
            _settings(run, one["config"]),
            run.command(one["config"]),
        )
        for one in run.result["front"]
    )


def log_tail(folder: Storage, most: int) -> str:
    """At most ``most`` characters from the end of a trial's engine logs, whole lines, without prompts."""
    if most <= 0:
        return ""
    inner = [f"{one}/{name}" for one in folder.names() if "." not in one for name in folder.names(one)]
    logs = sorted(name for name in (*folder.names(), *inner) if name.endswith(".log"))
    parts = []
    for name in logs:
        head = f"{name}:\n" if len(logs) > 1 else ""
        text = (folder.read(name) or b"")[-_LOG_BYTES:].decode(errors="replace")
        parts.append(head + _tail(text, most // len(logs)))
    return "\n".join(parts)


def _tail(text: str, most: int) -> str:
    clean = "\n".join(_LEFT_OUT if _MAY_QUOTE.search(line) else line for line in plain(text[-4 * most :]).splitlines())
    if len(text) > 4 * most:
        clean = clean.partition("\n")[2]  # the first line may be the end of one that quotes a prompt
    if len(clean) <= most:
        return clean
    cut = clean[-most:]
    return "…\n" + (cut.partition("\n")[2] or cut)


def _row(run: Run, trial: Trial, seen: Observation | None, span: Span | None, log: str, front: set[int]) -> Row:
    kind, outcome, detail = _outcome(seen)
    return Row(
        trial.id,
        trial.origin.value.replace("_", " "),
        kind,
        outcome,
        _figures(run, seen),
        config_text(trial.config, run.default) or "the default",
        config_text(trial.config),
        detail,
        duration(span.end_s - span.begin_s) if span and span.phases else "",
        seen.where if seen else "",
        log,
        trial.id in front,
    )


def _outcome(seen: Observation | None) -> tuple[str, str, str]:
    match seen.outcome if seen else None:
        case Measured():
            return "measured", "measured", ""
        case Failed(kind=kind, detail=detail):
            return "failed", kind.value.replace("_", " "), detail
        case Bounded(reason=reason):
            return "early", "ended early", reason
        case None:
            return "open", "under way", ""


def _figures(run: Run, seen: Observation | None) -> tuple[tuple[str, str], ...]:
    """The objectives, then what SLOs are about, then errors where there were any."""
    if seen is None or not isinstance(seen.outcome, Measured):
        return ()
    metrics = seen.outcome.metrics
    wanted = dict.fromkeys([*run.metrics, *(slo.metric for slo in run.resolved.problem.slos)])
    if metrics.get("error_rate"):
        wanted["error_rate"] = None
    return tuple((named(name).label, named(name).quantity(metrics[name])) for name in wanted if name in metrics)


def _against_today(run: Run, metrics: Mapping[str, float]) -> tuple[tuple[str, str, str], ...]:
    """(label, today, here) for the objectives, the SLOs' metrics, throughput and errors."""
    seen = run.measured(run.today[1])
    today = seen.outcome.metrics if seen is not None and isinstance(seen.outcome, Measured) else {}
    slos = (slo.metric for slo in run.resolved.problem.slos)
    wanted = dict.fromkeys([*run.metrics, *slos, "request_throughput", "p99_ttft_ms", "p99_tpot_ms", "error_rate"])
    return tuple(
        (named(name).label, named(name).quantity(today.get(name)), named(name).quantity(metrics[name]))
        for name in wanted
        if name in metrics
    )


def _settings(run: Run, config: Config) -> tuple[tuple[str, str, str], ...]:
    """(parameter, today, here) of what differs from today."""
    from_today = run.today[1]
    parameters = [name for name, value in config.items() if from_today.get(name) != value]
    return tuple((name, value_text(from_today.get(name)), value_text(config[name])) for name in parameters)
