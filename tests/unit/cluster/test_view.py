"""What Ray's messages mean: nodes, other people's demands, and what the autoscaler says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ray.core.generated import autoscaler_pb2

from scoot_ray.cluster import view
from scoot_ray.cluster.capacity import Autoscaler, Demand
from scoot_ray.cluster.view import Lookout, autoscaler_present

MESSAGES: Any = autoscaler_pb2  # made at run time


class Head:
    """Answers as the head does."""

    def __init__(self) -> None:
        self.status = MESSAGES.GetClusterStatusReply()
        self.older: bytes | None = None

    def get_cluster_status(self, timeout_s: float) -> bytes:
        assert timeout_s > 0
        return bytes(self.status.SerializeToString())

    def internal_kv_get(self, key: bytes, namespace: None) -> bytes | None:
        return self.older if key == b"__autoscaling_status" else None


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    found = Head()
    worker = SimpleNamespace(global_worker=SimpleNamespace(gcs_client=found))
    monkeypatch.setattr(view, "ray", SimpleNamespace(_private=SimpleNamespace(worker=worker)))
    monkeypatch.setattr(view, "_SPEAKS_WITHIN_S", 0.0)
    return found


def wait(head: Head, group: str, cpus: float) -> None:
    gang = head.status.cluster_resource_state.pending_gang_resource_requests.add(details=f"{group}:STRICT_PACK|PENDING")
    gang.requests.add(resources_bundle={"CPU": cpus})


def test_nobody_speaks_for_a_plain_cluster(head: Head) -> None:
    seen = Lookout().look(())
    assert seen is not None
    assert seen.autoscaler is None
    assert not autoscaler_present()


def test_what_the_autoscaler_says_is_understood(head: Head) -> None:
    state = head.status.autoscaling_state
    state.autoscaler_state_version = 3
    state.pending_instance_requests.add(ray_node_type_name="spot", count=2)
    state.pending_instances.add(ray_node_type_name="spot")
    state.failed_instance_requests.add(ray_node_type_name="big", reason="no quota\n  at line 3")
    state.infeasible_gang_resource_requests.add(details="abc:STRICT_PACK|PENDING")
    seen = Lookout().look(())
    assert seen is not None
    assert seen.autoscaler == Autoscaler({"spot": 3}, ("big: no quota",), frozenset({"abc"}))
    assert autoscaler_present()


def test_the_older_autoscaler_is_known_by_its_groups_and_nodes_added_by_hand_are_none(head: Head) -> None:
    head.older = json.dumps({"autoscaler_report": {"active_nodes": {"ray.head.default": 1}}}).encode()
    assert autoscaler_present()
    head.older = json.dumps({"autoscaler_report": {"active_nodes": {"node_ab12": 1}, "idle_nodes": None}}).encode()
    assert not autoscaler_present()
    head.older = b"{"
    assert not autoscaler_present()


def test_own_groups_are_not_other_peoples_demand(head: Head) -> None:
    wait(head, "ours", 1)
    wait(head, "theirs", 2)
    seen = Lookout().look({"ours"})
    assert seen is not None
    assert seen.demands == (Demand({"CPU": 2.0}, 1),)
