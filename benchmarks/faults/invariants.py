"""What must hold of a study whatever was done to it: a pure function of its journal, its files and what still runs.

The studies are such that no configuration can fail and no request can be refused: a failure that counts, or a
measurement with errors, is a fault taken for the configuration's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Event = Mapping[str, Any]  # as in the journal's files

_OURS = frozenset({"environment", "node_lost", "preempted", "port_taken", "client_lagged", "cancelled", "internal"})
_NOT_SEARCHED = frozenset({"confirmation", "probe"})


@dataclass(frozen=True, slots=True)
class Evidence:
    """A study as it was when the fault came (``before``: its events) and when all was over.

    ``saved`` are the outcomes in the trials' own files, ``engines`` the processes of engines and guardians left.
    """

    budget: int
    before: Sequence[Event]
    after: Sequence[Event]
    result: Mapping[str, Any] | None
    saved: Mapping[int, Any]
    engines: Sequence[str]


def broken(evidence: Evidence) -> tuple[str, ...]:
    """A sentence for each invariant that does not hold."""
    checks = (_kept, _once, _labels, _saved, _budget, _complete, _orphans)
    return tuple(sentence for check in checks for sentence in check(evidence))


def settled(events: Sequence[Event]) -> list[int]:
    """Trials with an outcome of their own, in the journal's order."""
    return [event["trial"] for event in _settling(events)]


def setbacks(events: Sequence[Event]) -> Counter[str]:
    """How many attempts ended without settling their trial, by kind."""
    outcomes = (event["data"]["outcome"] for event in events if event["type"] == "observed")
    return Counter(one["failed"] for one in outcomes if "failed" in one)


def _settling(events: Sequence[Event]) -> list[Event]:
    """The ids say which outcomes settle: ``observed/7`` does, ``observed/7/0`` is an attempt to be repeated."""
    return [event for event in events if event["type"] == "observed" and event["id"].count("/") == 1]


def _kept(evidence: Evidence) -> Iterator[str]:
    after = {event["seq"]: event for event in evidence.after}
    for event in evidence.before:
        if after.get(event["seq"]) != event:
            yield f"event {event['seq']} ({event['id']}) was lost or changed"


def _once(evidence: Evidence) -> Iterator[str]:
    for name, count in Counter(event["id"] for event in evidence.after).items():
        if count > 1:
            yield f"event {name} is there {count} times"
    for trial, count in Counter(settled(evidence.after)).items():
        if count > 1:
            yield f"trial {trial} has {count} outcomes"
    seqs = [event["seq"] for event in evidence.after]
    if seqs != list(range(len(seqs))):
        yield "the events are not numbered one after another"
    trials = [event["trial"] for event in evidence.after if event["type"] == "submitted"]
    if trials != list(range(len(trials))):
        yield f"trial ids are not unique and consecutive: {trials}"


def _labels(evidence: Evidence) -> Iterator[str]:
    for event in _settling(evidence.after):
        outcome = event["data"]["outcome"]
        if outcome.get("failed") in _OURS:
            yield f"trial {event['trial']}: a failure of ours, {outcome['failed']}, counts"
        elif "failed" in outcome:
            yield f"trial {event['trial']}: {outcome['failed']} is held against its configuration: {outcome['detail']}"
        elif outcome.get("measured", {}).get("error_rate"):
            yield f"trial {event['trial']}: measured with errors: the fault is in its figures"


def _saved(evidence: Evidence) -> Iterator[str]:
    for event in _settling(evidence.after):
        if evidence.saved.get(event["trial"]) != event["data"]["outcome"]:
            yield f"trial {event['trial']}: its own file does not say what the journal says"


def _budget(evidence: Evidence) -> Iterator[str]:
    submitted = [event for event in evidence.after if event["type"] == "submitted"]
    searched = {event["trial"] for event in submitted if event["data"]["origin"] not in _NOT_SEARCHED}
    done = searched & set(settled(evidence.after))
    if not len(searched) == len(done) == evidence.budget:
        yield f"{len(searched)} trials searched and {len(done)} of them settled for a budget of {evidence.budget}"
    if evidence.result is not None and evidence.result["budget"]["spent"] != evidence.budget:
        yield f"result.json: {evidence.result['budget']['spent']} spent of {evidence.budget}"


def _complete(evidence: Evidence) -> Iterator[str]:
    if evidence.result is None or not evidence.result["complete"]:
        reason = "there is no result.json" if evidence.result is None else evidence.result["reason"]
        yield f"the study did not end complete: {reason}"
    last = evidence.after[-1] if evidence.after else None
    if last is None or last["type"] != "stopped" or not last["data"]["complete"]:
        yield "the journal does not end with a complete study"


def _orphans(evidence: Evidence) -> Iterator[str]:
    for engine in evidence.engines:
        yield f"left running: {engine}"
