"""A node that kills every engine is left alone, then tried with one evaluation at a time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scoot_ray.cluster.capacity import Autoscaler, Node, View
from scoot_ray.cluster.nodes import Nodes
from scoot_ray.cluster.quarantine import PAUSE_S, Quarantine, sign
from scoot_ray.search import Bounded, Failed, FailureKind, Measured, Observation, Origin, Outcome, Trial
from scoot_ray.study import Resources

CRASHED = Failed(FailureKind.CRASHED, "nobody knows why", ambiguous=True)
LOST = Failed(FailureKind.NODE_LOST, "the worker died")
REFUSED = Failed(FailureKind.REJECTED, "no such flag")
FINE = Measured({})


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (FINE, True),
        (Bounded({}, "lost"), True),
        (CRASHED, False),
        (LOST, False),
        (Failed(FailureKind.ENVIRONMENT, "disk full"), False),
        (REFUSED, None),
        (Failed(FailureKind.PREEMPTED, "drained"), None),
    ],
)
def test_what_an_outcome_says_of_its_node(outcome: Outcome, said: bool | None) -> None:
    assert sign(outcome) is said


def struck(times: int = 3, now_s: float = 0.0) -> Quarantine:
    found = Quarantine()
    for _ in range(times):
        found.note("bad", CRASHED, now_s)
    return found


def test_three_in_a_row_shut_a_node_and_a_survivor_or_two_do_not() -> None:
    assert struck(2).shut == frozenset()
    assert struck(3).shut == {"bad"}
    mixed = struck(2)
    mixed.note("bad", FINE, 0.0)
    mixed.note("bad", CRASHED, 0.0)
    mixed.note("bad", REFUSED, 0.0)
    mixed.note("bad", LOST, 0.0)
    assert mixed.shut == frozenset()


def test_after_a_minute_one_canary_may_go_and_its_survival_opens_the_node() -> None:
    found = struck()
    assert found.due(PAUSE_S - 1) == frozenset()
    assert found.due(PAUSE_S) == {"bad"}
    found.send("bad", 7)
    assert found.due(PAUSE_S) == frozenset(), "one at a time"
    found.ended(7)
    found.note("bad", FINE, PAUSE_S + 30)
    assert found.shut == frozenset()


def test_a_canary_that_dies_doubles_the_pause_up_to_half_an_hour() -> None:
    found, now_s = struck(), 0.0
    for pause_s in (60, 120, 240, 480, 960, 1800, 1800):
        assert found.due(now_s + pause_s - 1) == frozenset()
        now_s += pause_s
        assert found.due(now_s) == {"bad"}
        found.send("bad", 7)
        found.ended(7)
        found.note("bad", LOST, now_s)


def test_a_canary_that_says_nothing_is_followed_by_another() -> None:
    found = struck()
    found.send("bad", 7)
    found.ended(7)
    found.note("bad", REFUSED, PAUSE_S)
    assert found.due(PAUSE_S) == {"bad"}


def view(*names: str) -> View:
    has = {"CPU": 4.0}
    return View(tuple(Node(name, name, has, has, {}, True, frozenset()) for name in names))


def trial(number: int) -> Trial:
    return Trial(number, {"max_num_seqs": 8}, Origin.MODEL)


def nodes_with_bad(monkeypatch: pytest.MonkeyPatch, seen: View) -> tuple[Nodes, list[float]]:
    clock = [0.0]
    monkeypatch.setattr("scoot_ray.cluster.nodes.time.monotonic", lambda: clock[0])
    nodes = Nodes(Resources(cpus=1.0))
    for number in range(3):
        nodes.note("bad", Observation(trial(number), CRASHED, "host-of-bad"), seen)
    return nodes, clock


def test_a_trial_that_failed_is_tried_elsewhere_and_others_go_anywhere() -> None:
    nodes = Nodes(Resources(cpus=1.0))
    nodes.note("a", Observation(trial(0), LOST), view("a", "b"))
    assert nodes.for_trial(trial(0), view("a", "b")) == {"ray.io/node-id": "!in(a)"}
    assert nodes.for_trial(trial(1), view("a", "b")) == {}
    assert nodes.for_trial(trial(0), view("a")) == {}, "there is no elsewhere"
    assert nodes.for_trial(trial(0), None) == {}


def test_a_node_in_quarantine_gets_nothing_and_then_a_canary_that_has_not_failed_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = view("bad", "good")
    nodes, clock = nodes_with_bad(monkeypatch, seen)
    assert nodes.idle(seen) == 4
    assert list(nodes.notices) == ["node host-of-bad is in quarantine: evaluation after evaluation failed there"]
    assert nodes.for_trial(trial(9), seen) == {"ray.io/node-id": "!in(bad)"}
    clock[0] = PAUSE_S
    assert nodes.idle(seen) == 5
    assert nodes.for_trial(trial(0), seen) == {"ray.io/node-id": "!in(bad)"}
    assert nodes.for_trial(trial(9), seen) == {"ray.io/node-id": "bad"}
    assert nodes.for_trial(trial(10), seen) == {"ray.io/node-id": "!in(bad)"}
    nodes.taken_back(trial(9))
    assert nodes.for_trial(trial(10), seen) == {"ray.io/node-id": "bad"}
    nodes.note("bad", Observation(trial(10), FINE), seen)
    assert not nodes.notices


def test_the_only_node_is_used_whatever_is_known_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, _ = nodes_with_bad(monkeypatch, view("bad"))
    assert nodes.idle(view("bad")) == 4
    assert nodes.for_trial(trial(9), view("bad")) == {}


def test_nothing_is_held_against_a_node_that_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes, _ = nodes_with_bad(monkeypatch, view("other"))
    assert nodes.notices == ()


def canary(number: int) -> Trial:
    return Trial(number, {"max_num_seqs": 8}, Origin.PROBE)


def test_the_default_is_measured_again_where_it_was_measured_least() -> None:
    nodes, seen = Nodes(Resources(cpus=1.0)), view("a", "b", "c")
    default = Trial(0, {"max_num_seqs": 8}, Origin.DEFAULT)
    nodes.note("a", Observation(default, FINE), seen)
    nodes.note("b", Observation(Trial(1, {"max_num_seqs": 16}, Origin.MODEL), FINE), seen)
    went = []
    for number in range(2, 7):
        (node,) = nodes.for_trial(canary(number), seen).values()
        nodes.note(node, Observation(canary(number), FINE), seen)
        went.append(node)
    assert went == ["b", "c", "a", "b", "c"]
    assert nodes.for_trial(trial(8), seen) == {}, "others go anywhere"


def test_a_canary_waits_for_no_node_in_particular_where_none_or_one_has_room() -> None:
    nodes, seen = Nodes(Resources(cpus=1.0)), view("a", "b")
    full = View(tuple(replace(node, available={"CPU": 0.0}) for node in seen.nodes))
    assert nodes.for_trial(canary(1), full) == {}
    assert nodes.for_trial(canary(1), View((seen.nodes[0], full.nodes[1]))) == {}


def test_no_canary_of_the_default_goes_to_a_node_in_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = view("a", "b", "bad")
    nodes, _ = nodes_with_bad(monkeypatch, seen)
    assert nodes.for_trial(canary(9), seen) == {"ray.io/node-id": "a"}


def test_what_is_waited_for_is_said() -> None:
    nodes = Nodes(Resources(cpus=2.0))
    assert nodes.waiting_for(view("a"), "g") == "waiting for 2 CPU free on one node"
    assert nodes.waiting_for(view(), "g").endswith("none is there, so for the autoscaler or whoever adds one")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (Autoscaler(), "none is there; the autoscaler has been asked"),
        (Autoscaler({"b": 1, "a": 2}), "none is there; the autoscaler is starting 2 × a, 1 × b"),
        (Autoscaler(refused=("a: no quota",)), "the autoscaler has been asked; it could not have a: no quota"),
        (Autoscaler(impossible=frozenset({"g"})), "the autoscaler has no group of nodes left that could hold it"),
        (Autoscaler(impossible=frozenset({"another"})), "the autoscaler has been asked"),
    ],
)
def test_what_the_autoscaler_does_about_it_is_said(told: Autoscaler, said: str) -> None:
    waits = Nodes(Resources(cpus=2.0, labels={"zone": "a"})).waiting_for(View((), autoscaler=told), "g")
    assert waits.startswith("waiting for a node with 2 CPU, labels {'zone': 'a'}: none is there")
    assert waits.endswith(said)


def test_a_busy_cluster_that_grows_says_both() -> None:
    growing = View(view("a").nodes, autoscaler=Autoscaler({"b": 1}))
    said = Nodes(Resources(cpus=2.0)).waiting_for(growing, "g")
    assert said == "waiting for 2 CPU free on one node; the autoscaler is starting 1 × b"
