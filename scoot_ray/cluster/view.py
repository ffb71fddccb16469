"""What Ray tells of its nodes and of who waits, in one question of about a millisecond."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import ray
from ray.core.generated import autoscaler_pb2
from ray.exceptions import RayError

from scoot_ray.cluster.capacity import Autoscaler, Demand, Node, View

_AGE_S = 0.5
_DEADLINE_S = 10.0  # for an answer of the head
_SPEAKS_WITHIN_S = 12.0  # twice what it takes between two looks
_OLDER_SAYS = b"__autoscaling_status"  # where the older one leaves what `ray status` shows
_STATUS: Any = autoscaler_pb2  # made at run time
_GROUP = re.compile(r"bundle_group_([0-9a-f]+)")


class Lookout:
    """Looks at the cluster at most twice a second."""

    def __init__(self) -> None:
        self._seen: tuple[float, Any] | None = None

    def look(self, own: Collection[str], fresh: bool = False) -> View | None:
        """The cluster now; None while its head does not answer. ``own`` placement groups are not others' demand."""
        now_s = time.monotonic()
        if self._seen is None or fresh or now_s - self._seen[0] > _AGE_S:
            self._seen = (now_s, _status())
        status = self._seen[1]
        if status is None:
            return None
        state = status.cluster_resource_state
        return View(tuple(_nodes(state)), tuple(_demands(state, own)), _autoscaler(status.autoscaling_state))


def autoscaler_present() -> bool:
    """Whether an autoscaler watches the cluster; one that has only just been started is waited for."""
    ends_s = time.monotonic() + _SPEAKS_WITHIN_S
    while not (found := _speaks()) and time.monotonic() < ends_s:
        time.sleep(1.0)
    return found


def _speaks() -> bool:
    status = _status()
    if status is not None and _autoscaler(status.autoscaling_state) is not None:
        return True
    return _older_speaks(_client().internal_kv_get(_OLDER_SAYS, None) or b"{}")


def _older_speaks(said: bytes) -> bool:
    """Whether the older autoscaler (v1) is there, by its status: where it may add nothing, its types are nodes."""
    try:
        report = json.loads(said).get("autoscaler_report") or {}
    except ValueError:
        return False
    types = {*(report.get("active_nodes") or {}), *(report.get("idle_nodes") or {})}
    return any(not name.startswith("node_") for name in types)


def _client() -> Any:  # compiled, without types
    worker: Any = ray._private.worker.global_worker  # no public way to the same client
    return worker.gcs_client


def _status() -> Any:  # a message of Ray's, or None
    """What the autoscaler reads and says: nothing else has availability, draining and demands of one moment."""
    reply = _STATUS.GetClusterStatusReply()
    try:
        reply.ParseFromString(_client().get_cluster_status(timeout_s=_DEADLINE_S))
    except (RayError, OSError):
        return None
    return reply


def _autoscaler(state: Any) -> Autoscaler | None:
    """Its last word; None where there has been none."""
    if not state.autoscaler_state_version:
        return None
    coming: Counter[str] = Counter()
    for one in state.pending_instance_requests:
        coming[one.ray_node_type_name] += one.count
    for one in state.pending_instances:
        coming[one.ray_node_type_name] += 1
    refused = tuple(f"{one.ray_node_type_name}: {_line(one.reason)}" for one in state.failed_instance_requests)
    impossible = frozenset(_group(one) for one in state.infeasible_gang_resource_requests)
    return Autoscaler(dict(coming), refused, impossible)


def _line(reason: str) -> str:
    return next(iter(reason.strip().splitlines()), "no reason given")


def _group(gang: Any) -> str:
    """The placement group that a request stands for."""
    return str(gang.details.partition(":")[0])


def _nodes(state: Any) -> Iterator[Node]:
    for one in state.node_states:
        if one.status != _STATUS.DEAD:
            total = dict(one.total_resources)
            groups = frozenset(found[1] for name in total if (found := _GROUP.fullmatch(name)))
            usable, node_id = one.status != _STATUS.DRAINING, one.node_id.hex()
            available = dict(one.available_resources)
            yield Node(node_id, one.node_ip_address, available, total, dict(one.labels), usable, groups)


def _demands(state: Any, own: Collection[str]) -> Iterator[Demand]:
    for one in state.pending_resource_requests:
        if wanted := _wanted(one.request):
            yield Demand(wanted, one.count)
    for gang in state.pending_gang_resource_requests:
        if _group(gang) not in own:
            bundles = gang.bundle_selectors[0].resource_requests if gang.bundle_selectors else gang.requests
            counts = Counter(tuple(sorted(_wanted(one).items())) for one in bundles)
            yield from (Demand(dict(wanted), count) for wanted, count in counts.items() if wanted)


def _wanted(request: Any) -> Mapping[str, float]:
    return {name: amount for name, amount in request.resources_bundle.items() if amount > 0.0}
