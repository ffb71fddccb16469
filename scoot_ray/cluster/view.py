"""What Ray tells of its nodes and of who waits, in one question of about a millisecond."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import ray
from ray.autoscaler.v2.sdk import get_cluster_resource_state
from ray.core.generated import autoscaler_pb2
from ray.exceptions import RayError

from scoot_ray.cluster.capacity import Demand, Node, View

_AGE_S = 0.5
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
            self._seen = (now_s, _state())
        state = self._seen[1]
        return None if state is None else View(tuple(_nodes(state)), tuple(_demands(state, own)))


def _state() -> Any:  # a message of Ray's, or None
    """The state that the autoscaler reads: no other has availability, draining and demands of one moment."""
    worker: Any = ray._private.worker.global_worker  # no public way to the same client
    try:
        return get_cluster_resource_state(worker.gcs_client)
    except (RayError, OSError):
        return None


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
        if gang.details.partition(":")[0] not in own:
            bundles = gang.bundle_selectors[0].resource_requests if gang.bundle_selectors else gang.requests
            counts = Counter(tuple(sorted(_wanted(one).items())) for one in bundles)
            yield from (Demand(dict(wanted), count) for wanted, count in counts.items() if wanted)


def _wanted(request: Any) -> Mapping[str, float]:
    return {name: amount for name, amount in request.resources_bundle.items() if amount > 0.0}
