"""Many runs at once: the state, the progress, the best and the age of each. Needs neither traces nor engines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from scoot_ray.journal import Event, Journal, JournalError
from scoot_ray.log import Log
from scoot_ray.results.report.text import duration
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Measured, Objective, Origin, preset
from scoot_ray.storage import holder
from scoot_ray.study import Study, StudyError, read_study

_UNREADABLE = "unreadable"


def runs_in(folder: RunFolder) -> Iterator[RunFolder]:
    """The run itself, or else the runs in a folder of runs, by name. Raises OSError."""
    if folder.is_run:
        yield folder
        return
    for name in folder.storage.names():
        inner = RunFolder(folder.storage.within(name))
        if inner.is_run:
            yield inner


def overview_of(folder: RunFolder, now: datetime) -> dict[str, Any]:
    """One run as a document; one that cannot be read says so, and is in nobody's way.

    ``state`` is ``complete``, ``stopped``, ``running``, ``no driver`` (it died; resume goes on) or ``unreadable``.
    """
    try:
        study, journal = read_study(folder.study), Journal(folder.journal)
        log, events = journal.replay(), tuple(journal.events())
        state, reason = _state(events, holder(folder.journal))
    except (StudyError, JournalError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        return {"run": str(folder), "study": None, "state": _UNREADABLE, "reason": reason}
    changed = datetime.fromisoformat(events[-1].at) if events else None
    return {
        "run": str(folder),
        "study": study.name,
        "state": state,
        "reason": reason,
        "simulated": study.engine.simulated,
        "observations": len(log.searched),
        "budget": study.budget.observations,
        "open": len(log.open),
        "confirmed": len(log.confirmed),
        "best": [_best(log, objective) for objective in _objectives(study)],
        "changed": None if changed is None else changed.isoformat(),
        "age_s": None if changed is None else max(0.0, (now - changed).total_seconds()),
    }


def overview_table(documents: Sequence[Mapping[str, Any]]) -> Table:
    """A row for each run."""
    table = Table(title=f"{len(documents)} {'run' if len(documents) == 1 else 'runs'}", title_justify="left")
    for name in ("run", "state", "observations", "open", "best of each objective (default)", "last event"):
        table.add_column(name, overflow="fold")
    for one in documents:
        if one["state"] == _UNREADABLE:
            table.add_row(Text(one["run"]), Text(_UNREADABLE, style="red"), "", "", Text(one["reason"]), "")
            continue
        confirmed = f" + {one['confirmed']} confirming" if one["confirmed"] else ""
        table.add_row(
            Text(one["run"]),
            Text(one["state"] if one["reason"] is None else f"{one['state']}: {one['reason']}"),
            f"{one['observations']} of {one['budget']}{confirmed}",
            str(one["open"]),
            Text(("simulated: " if one["simulated"] else "") + "\n".join(map(_figures, one["best"]))),
            "–" if one["age_s"] is None else f"{duration(one['age_s'])} ago",
        )
    return table


def now_utc() -> datetime:
    """The time that ages are counted to."""
    return datetime.now(UTC)


def _state(events: Sequence[Event], driver: str | None) -> tuple[str, str | None]:
    last = events[-1] if events else None
    if last is not None and last.type == "stopped":
        return ("complete", None) if last.data["complete"] else ("stopped", str(last.data["reason"]))
    return ("no driver", None) if driver is None else ("running", driver)


def _objectives(study: Study) -> tuple[Objective, ...]:
    if isinstance(study.objectives, str):
        return preset(study.objectives)
    return tuple(Objective(one.metric, one.direction) for one in study.objectives)


def _best(log: Log, objective: Objective) -> dict[str, Any]:
    """The best single measurement of the search, whatever the SLOs, and the default's."""
    seen = [
        (objective.sign * one.outcome.metrics[objective.metric], one.outcome.metrics[objective.metric], one.trial)
        for one in log.searched
        if isinstance(one.outcome, Measured) and objective.metric in one.outcome.metrics
    ]
    value = min(seen, key=lambda one: one[0])[1] if seen else None
    default = next((metric for _, metric, trial in seen if trial.origin is Origin.DEFAULT), None)
    return {"metric": objective.metric, "direction": objective.direction, "value": value, "default": default}


def _figures(best: Mapping[str, Any]) -> str:
    value, default = ("–" if best[name] is None else f"{best[name]:.4g}" for name in ("value", "default"))
    return f"{best['metric']} {value} ({default})"
