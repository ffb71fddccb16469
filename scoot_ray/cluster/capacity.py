"""How many evaluations the cluster has room for now, node by node, and which nodes a trial keeps away from. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from scoot_ray.cluster.placement import bundle
from scoot_ray.study import Resources

Amounts = Mapping[str, float]
_GRAIN = 1e-4  # Ray counts in these
_MOST_OF_A_KIND = 1_000  # queued tasks that are looked at; more leave nothing idle either


@dataclass(frozen=True, slots=True)
class Node:
    """One living node. ``usable`` unless it is being drained; ``groups`` are the placement groups that it holds."""

    id: str
    name: str
    available: Amounts
    total: Amounts
    labels: Mapping[str, str]
    usable: bool
    groups: frozenset[str]


@dataclass(frozen=True, slots=True)
class Demand:
    """What somebody waits for: ``count`` bundles, each on one node. Its labels are not looked at."""

    wanted: Amounts
    count: int = 1


@dataclass(frozen=True, slots=True)
class Autoscaler:
    """What Ray's autoscaler has told last: nodes on their way by group, and why it could not have others.

    ``impossible`` are the placement groups that none of its node groups can hold, nor any node that is there.
    """

    coming: Mapping[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    impossible: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """The cluster at one moment. ``demands`` are other people's; ``autoscaler`` is None where none tells anything."""

    nodes: tuple[Node, ...]
    demands: tuple[Demand, ...] = ()
    autoscaler: Autoscaler | None = None

    def node_of(self, group: str) -> Node | None:
        """The node that holds a placement group, once that has been told."""
        return next((node for node in self.nodes if group in node.groups), None)

    def could_hold(self, resources: Resources) -> frozenset[str]:
        """Ids of the usable nodes that hold one evaluation when nothing else is on them."""
        wanted = bundle(resources)
        return frozenset(
            node.id
            for node in self.nodes
            if node.usable and _times(wanted, node.total) > 0 and labelled(node.labels, resources.labels)
        )


def labelled(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether a node has all labels."""
    return all(labels.get(name) == value for name, value in wanted.items())


def slots(view: View, resources: Resources) -> dict[str, int]:
    """Evaluations that each usable node has room for, by its id, once what others wait for has been put aside.

    Resources that lie apart on several nodes make no slot; nor do those that a queued task or group is about to get.
    """
    left = _without_demands(view)
    could = view.could_hold(resources)
    return {node: _times(bundle(resources), amounts) for node, amounts in left.items() if node in could}


def barred(view: View, resources: Resources, unwanted: Collection[str]) -> frozenset[str]:
    """Those of the ``unwanted`` nodes to keep away from: all, unless no other node could hold an evaluation."""
    could = view.could_hold(resources)
    return frozenset(unwanted) & could if could - frozenset(unwanted) else frozenset()


def _without_demands(view: View) -> dict[str, dict[str, float]]:
    """What is available on each usable node, less what the queued will take or are waiting to see free.

    A demand that could never be met by a present node is left to the autoscaler.
    """
    left = {node.id: dict(node.available) for node in view.nodes if node.usable}
    totals = {node.id: node.total for node in view.nodes if node.usable}
    for demand in sorted(view.demands, key=lambda one: -sum(one.wanted.values())):
        hosts = [node for node, total in totals.items() if _times(demand.wanted, total) > 0]
        for _ in range(min(demand.count, _MOST_OF_A_KIND)):
            if not hosts or not _put_aside(demand.wanted, [left[node] for node in hosts]):
                break
    return left


def _put_aside(wanted: Amounts, hosts: Sequence[dict[str, float]]) -> bool:
    """Take a demand, or what there is of it, from the node that has most of it; False where none has any."""
    covered = [sum(min(one.get(name, 0.0), amount) / amount for name, amount in wanted.items()) for one in hosts]
    most = max(covered)
    if most <= 0.0:
        return False
    host = hosts[covered.index(most)]
    for name, amount in wanted.items():
        host[name] = max(0.0, host.get(name, 0.0) - amount)
    return True


def _times(wanted: Amounts, available: Amounts) -> int:
    """How many times what is wanted is available."""
    return min(int((available.get(name, 0.0) + _GRAIN / 2) // amount) for name, amount in wanted.items())
