"""The result of a run as of now, whether it has ended or not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from scoot_ray.journal import Event, Journal
from scoot_ray.recall import recall
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import RunFolder


@dataclass(frozen=True, slots=True)
class Run:
    """A run's folder, its result document, and when it was last heard of (None before anything happened)."""

    folder: RunFolder
    result: dict[str, Any]
    at: datetime | None


def read_run(folder: RunFolder) -> Run:
    """Read ``result.json`` where the run has ended; else make the result anew from the journal.

    Neither needs the trace, the model or the engine, so that runs of other machines can be read.

    Raises:
        StudyError: the run is of an older version, has no result, and its study cannot be resolved here.
        JournalError: the journal cannot be read.
    """
    journal, last = Journal(folder.journal), None
    for event in journal.events():
        last = event
    at = datetime.fromisoformat(last.at) if last is not None else None
    return Run(folder, _ended(folder, last) or _made_anew(folder, journal), at)


def _ended(folder: RunFolder, last: Event | None) -> dict[str, Any] | None:
    if last is None or last.type != "stopped":
        return None
    document = folder.read_json("result.json")
    return document if document is not None and "serving" in document else None  # older ones lack it


def _made_anew(folder: RunFolder, journal: Journal) -> dict[str, Any]:
    resolved = recall(folder)
    log, complete = journal.replay(), journal.finished
    reason = "complete" if complete else f"{len(log.open)} evaluations open"
    made = summarise(resolved, log, complete, reason, folder.circumstances, folder.circumstances_of)
    document: dict[str, Any] = json.loads(json.dumps(made))
    return document
