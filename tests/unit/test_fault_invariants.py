"""The invariants of the fault suite: each is broken by what it is there to find, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.faults.invariants import Evidence, broken, setbacks, settled

GOOD: dict[str, Any] = {"measured": {"error_rate": 0.0}, "runs": []}


def event(seq: int, name: str, trial: int | None, **data: Any) -> dict[str, Any]:
    return {"v": 1, "seq": seq, "id": name, "type": name.partition("/")[0], "trial": trial, "attempt": 0, "data": data}


def failed(kind: str) -> dict[str, Any]:
    return {"failed": kind, "detail": "gone", "ambiguous": False}


def evidence() -> Evidence:
    events = [
        event(0, "started/1", None),
        event(1, "submitted/0", 0, origin="default"),
        event(2, "submitted/1", 1, origin="search"),
        event(3, "observed/0/0", 0, outcome=failed("node_lost")),
        event(4, "observed/1", 1, outcome=GOOD),
        event(5, "observed/0", 0, outcome=GOOD),
        event(6, "stopped/1", None, reason="complete", complete=True),
    ]
    result = {"complete": True, "reason": "complete", "budget": {"spent": 2}}
    return Evidence(2, events[:4], events, result, {0: GOOD, 1: GOOD}, ())


def test_a_study_that_lost_an_attempt_and_nothing_else_is_whole() -> None:
    assert broken(evidence()) == ()
    assert settled(evidence().after) == [1, 0]
    assert setbacks(evidence().after) == {"node_lost": 1}


def with_event(at: int, new: dict[str, Any]) -> Callable[[Evidence], Evidence]:
    return lambda one: replace(one, after=[*one.after[:at], new, *one.after[at + 1 :]])


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda one: replace(one, engines=("4711 running",)), "left running: 4711"),
        (lambda one: replace(one, result=None), "no result.json"),
        (lambda one: replace(one, after=one.after[:-1]), "journal does not end"),
        (lambda one: replace(one, budget=3), "budget of 3"),
        (lambda one: replace(one, saved={0: GOOD}), "trial 1: its own file"),
        (with_event(1, event(1, "submitted/0", 0, origin="search")), "lost or changed"),
        (with_event(4, event(4, "observed/1", 1, outcome=failed("crashed"))), "held against its configuration"),
        (with_event(4, event(4, "observed/1", 1, outcome=failed("node_lost"))), "a failure of ours, node_lost"),
        (with_event(4, event(4, "observed/1", 1, outcome={"measured": {"error_rate": 0.1}})), "with errors"),
        (with_event(4, event(4, "observed/0", 0, outcome=GOOD)), "trial 0 has 2 outcomes"),
        (with_event(2, event(2, "submitted/0", 0, origin="search")), "not unique"),
        (with_event(6, event(7, "stopped/1", None, reason="complete", complete=True)), "not numbered"),
    ],
)
def test_each_harm_is_seen(harm: Callable[[Evidence], Evidence], sentence: str) -> None:
    assert any(sentence in found for found in broken(harm(evidence()))), broken(harm(evidence()))
