"""The pool around a Ray that does as it is told: results that do not come, workers that die, what both have cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError

from scoot_ray.cluster import arrival, pool, running
from scoot_ray.cluster.arrival import HERE_WITHIN_S
from scoot_ray.cluster.capacity import Node, View
from scoot_ray.cluster.entrance import Entrance
from scoot_ray.cluster.evaluation import Finished
from scoot_ray.cluster.pool import RayPool
from scoot_ray.cluster.task import Task
from scoot_ray.load.trace import Trace
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Measured, Observation, Origin, Trial
from scoot_ray.study import Parallelism, Resources
from tests.fakes import study

FINE = Finished(Observation(Trial(0, {}, Origin.MODEL), Measured({}), "host", {"load_s": 10.0}), {})


class World:
    """Ray, its cluster and the clock. References are strings: ``w1 result`` is that of the first worker."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.blocked_s = 0.0
        self.here: dict[str, object] = {}  # results, or errors, on this machine
        self.elsewhere: set[str] = set()
        self.vanished: set[str] = set()  # said to be here, and not to be had
        self.nodes: dict[str, frozenset[str]] = {"n": frozenset()}
        self.draining: set[str] = set()
        self._workers = itertools.count(1)
        self._groups = itertools.count(1)

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def put(self, value: object) -> object:
        return value

    def kill(self, worker: object, no_restart: bool) -> None:
        assert no_restart

    def wait(
        self, refs: Sequence[str], num_returns: int = 1, timeout: float | None = None, fetch_local: bool = True
    ) -> tuple[list[str], list[str]]:
        assert timeout is not None, "every wait has a deadline"
        ready = [ref for ref in refs if ref in self.here or (ref in self.elsewhere and not fetch_local)][:num_returns]
        if len(ready) < num_returns:
            self.now_s += timeout
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref: str, timeout: float) -> object:
        if ref in self.vanished:
            self.now_s += timeout
            self.blocked_s += timeout
            raise GetTimeoutError("too late")
        found = self.here[ref]
        if isinstance(found, Exception):
            raise found
        return found

    def remote(self, cls: type) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=self._worker))

    def _worker(self) -> Any:
        name = f"w{next(self._workers)}"

        def asks(what: str) -> Any:
            return SimpleNamespace(remote=lambda *_: f"{name} {what}")

        return SimpleNamespace(evaluate=asks("result"), phase=asks("phase"), freed=asks("freed"))

    def reserve(self, resources: Resources, nodes: object) -> Any:
        name = f"g{next(self._groups)}"
        return SimpleNamespace(id=SimpleNamespace(hex=lambda: name))

    def look(self, own: object, fresh: bool = False) -> View:
        has = {"CPU": 8.0}
        stays = {name: name not in self.draining for name in self.nodes}
        return View(tuple(Node(name, name, has, has, {}, stays[name], groups) for name, groups in self.nodes.items()))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()
    for module in (pool, arrival, running):
        monkeypatch.setattr(module, "ray", found)
        monkeypatch.setattr(module, "time", found)
    monkeypatch.setattr(pool, "reserve", found.reserve)
    monkeypatch.setattr(pool, "PlacementGroupSchedulingStrategy", lambda group: None)
    monkeypatch.setattr(pool, "Lookout", lambda: found)
    monkeypatch.setattr(running, "remove_placement_group", lambda group: None)
    monkeypatch.setattr(pool, "Salvage", lambda *_: SimpleNamespace(fetch=lambda *_: None, collect=lambda: None))
    return found


@pytest.fixture
def under_test(world: World, tmp_path: Path) -> RayPool:
    one = study(parallelism=Parallelism(min=2, max=2, when="always"))
    task = Task(one, Trace((), "trace.jsonl", "0" * 64), {})
    return RayPool(task, one.resources, RunFolder(tmp_path), Entrance(one))


def wait_s(evaluator: RayPool, world: World, seconds: float) -> list[Observation]:
    """Wait as the loop does, until something comes or the time is up."""
    ends_s = world.now_s + seconds
    while world.now_s < ends_s:
        before_s = world.now_s
        if found := list(evaluator.wait(1.0)):
            return found
        assert world.now_s - before_s < 5.0, "the loop was blocked"
    return []


def test_a_result_that_is_here_is_collected_with_its_files(world: World, under_test: RayPool) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    assert wait_s(under_test, world, 3.0) == []
    world.here["w1 result"] = FINE
    (seen,) = wait_s(under_test, world, 3.0)
    assert isinstance(seen.outcome, Measured)
    assert not under_test.pending


def test_a_result_on_a_node_that_is_dying_is_given_up_after_a_minute_and_blocks_nobody(
    world: World, under_test: RayPool
) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    under_test.submit(Trial(1, {}, Origin.MODEL))
    world.elsewhere.add("w1 result")
    assert wait_s(under_test, world, HERE_WITHIN_S / 2) == []
    world.here["w2 result"] = FINE
    (other,) = wait_s(under_test, world, 3.0)
    assert (other.trial.id, isinstance(other.outcome, Measured)) == (1, True)
    (lost,) = wait_s(under_test, world, HERE_WITHIN_S)
    assert lost.trial.id == 0
    assert isinstance(lost.outcome, Failed)
    assert lost.outcome.kind is FailureKind.NODE_LOST
    assert not under_test.pending


def test_a_result_that_vanishes_under_our_hands_is_given_up_too(world: World, under_test: RayPool) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    world.here["w1 result"], world.vanished = FINE, {"w1 result"}
    (lost,) = wait_s(under_test, world, 3 * HERE_WITHIN_S)
    assert isinstance(lost.outcome, Failed)
    assert lost.outcome.kind is FailureKind.NODE_LOST


def test_a_result_that_comes_late_counts(world: World, under_test: RayPool) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    world.elsewhere.add("w1 result")
    assert wait_s(under_test, world, HERE_WITHIN_S - 10) == []
    world.here["w1 result"] = FINE
    (seen,) = wait_s(under_test, world, 3.0)
    assert isinstance(seen.outcome, Measured)


def test_what_a_dead_worker_held_is_counted_from_when_it_had_its_node(world: World, under_test: RayPool) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    assert wait_s(under_test, world, 20.0) == []
    world.nodes["n"] = frozenset({"g1"})
    assert wait_s(under_test, world, 30.0) == []
    world.here["w1 result"] = ActorDiedError()
    (lost,) = wait_s(under_test, world, 5.0)
    assert isinstance(lost.outcome, Failed)
    assert lost.held_s == pytest.approx(30.0, abs=3.0)
    assert lost.timings["queue_s"] == pytest.approx(20.0, abs=3.0)


def test_a_worker_that_died_before_it_had_a_node_has_cost_nothing(world: World, under_test: RayPool) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    world.here["w1 result"] = ActorDiedError()
    (lost,) = wait_s(under_test, world, 5.0)
    assert lost.held_s == 0.0


def test_what_no_node_can_hold_is_noticed_until_one_can(world: World, under_test: RayPool) -> None:
    del world.nodes["n"]
    under_test.submit(Trial(0, {}, Origin.MODEL))
    wait_s(under_test, world, 2.0)
    assert list(under_test.notices) == [
        "waiting for a node with 1 CPU: none is there, so for the autoscaler or whoever adds one"
    ]
    world.nodes["n"] = frozenset()
    wait_s(under_test, world, 2.0)
    assert list(under_test.notices) == []


def test_a_trial_whose_node_is_drained_before_its_worker_is_there_is_taken_back(
    world: World, under_test: RayPool
) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    world.nodes["n"] = frozenset({"g1"})
    assert wait_s(under_test, world, 60.0) == [], "a worker may take long where its node stays"
    assert list(under_test.pending) == [0]
    world.draining.add("n")
    assert wait_s(under_test, world, 5.0) == [], "nothing was measured, and nothing has failed"
    assert not under_test.pending


def test_a_worker_that_has_begun_may_end_on_a_node_that_is_drained(world: World, under_test: RayPool) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    world.nodes["n"], world.here["w1 phase"] = frozenset({"g1"}), ("replaying", "n")
    wait_s(under_test, world, 5.0)
    world.draining.add("n")
    assert wait_s(under_test, world, 60.0) == []
    world.here["w1 result"] = FINE
    (seen,) = wait_s(under_test, world, 3.0)
    assert isinstance(seen.outcome, Measured)


def test_a_worker_that_is_never_started_is_given_up_without_a_label(world: World, under_test: RayPool) -> None:
    under_test.submit(Trial(0, {}, Origin.MODEL))
    world.nodes["n"] = frozenset({"g1"})
    (lost,) = wait_s(under_test, world, 1_000.0)
    assert lost.outcome == Failed(FailureKind.INTERNAL, "no worker was started in its place within 900 s")
    assert not under_test.pending
