"""One entry of the journal, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VERSION = 1


class JournalError(Exception):
    """The journal cannot be read or written; the message says which file and why."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry. ``id`` is a function of what happened, so that the same happening is never counted twice.

    ``torn`` counts the torn files right before it that its writer has passed over.
    """

    seq: int
    id: str
    type: str
    trial: int | None
    attempt: int
    at: str
    data: Mapping[str, Any]
    torn: int = 0


def read_event(path: str, content: bytes) -> Event | None:
    """Read an event; None where it is torn. Raises JournalError where it is none of ours."""
    try:
        document = json.loads(content)
    except ValueError:
        return None
    try:
        if document["v"] > VERSION:
            raise JournalError(f"{path}: written by a newer scoot-ray (version {document['v']}); upgrade to read it")
        needed = {key: document[key] for key in ("seq", "id", "type", "trial", "attempt", "at", "data")}
        return Event(**needed, torn=document.get("torn", 0))
    except (ValueError, KeyError, TypeError) as error:
        raise JournalError(f"{path}: not an event of this journal ({error!r})") from error
