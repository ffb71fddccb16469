"""Where an evaluation can run: one placement-group bundle on one node, and whether the cluster could ever hold it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.util.placement_group import PlacementGroup, placement_group

from scoot_ray.cluster.session import ClusterError
from scoot_ray.study import Engine, Resources

ANY_ACCELERATOR = "any"
_NODE = "ray.io/node-id"  # a label that Ray gives every node
_ACCELERATOR = "accelerator_type:"
_MARKET = "ray.io/market-type"


@dataclass(frozen=True, slots=True)
class NodeShape:
    """What one node has in all, or what the autoscaler may start, whose ``labels`` it does not tell."""

    name: str
    resources: Mapping[str, float]
    labels: Mapping[str, str] | None
    present: bool


def bundle(resources: Resources) -> dict[str, float]:
    """What Ray reserves for one evaluation, in Ray's names."""
    wanted: dict[str, float] = {"CPU": resources.cpus}
    if resources.gpus:
        wanted["GPU"] = float(resources.gpus)
    if resources.accelerator not in (None, ANY_ACCELERATOR):
        wanted[f"{_ACCELERATOR}{resources.accelerator}"] = 0.001
    return wanted


def reserve(resources: Resources, nodes: Mapping[str, str]) -> PlacementGroup:
    """Ask for one bundle on one node; the group may have to wait for it, and while it does the autoscaler sees it.

    ``nodes`` are Ray's label conditions, from ``only`` or ``not_on``; the study's own go before them.
    """
    conditions = {**nodes, **resources.labels}
    labels = [conditions] if conditions else None
    group: PlacementGroup = placement_group([bundle(resources)], strategy="STRICT_PACK", bundle_label_selector=labels)
    return group


def only(node: str) -> dict[str, str]:
    """The condition that a group goes to one node."""
    return {_NODE: node}


def not_on(nodes: Collection[str]) -> dict[str, str]:
    """The condition that a group goes to none of these nodes."""
    return {_NODE: f"!in({','.join(sorted(nodes))})"} if nodes else {}


def of_one_accelerator(resources: Resources, shapes: Sequence[NodeShape]) -> Resources:
    """The resources with the one accelerator that the fitting nodes have: figures of two kinds cannot be compared.

    Raises:
        ClusterError: the nodes have several kinds and the study names none.
    """
    if not resources.gpus or resources.accelerator is not None:
        return resources
    kinds = sorted({kind for shape in shapes if _fits(resources, shape) for kind in _accelerators(shape)})
    if len(kinds) > 1:
        raise ClusterError(
            f"resources.accelerator: the nodes have {', '.join(kinds)}, whose figures cannot be compared; name one, or "
            f"write {ANY_ACCELERATOR!r} to mix them all the same"
        )
    return resources.model_copy(update={"accelerator": kinds[0]}) if kinds else resources


def steady(shapes: Sequence[NodeShape]) -> dict[str, str]:
    """A label selector that keeps an actor off preemptible nodes, empty where there is nothing else.

    Ray's own label for such nodes is ``ray.io/market-type: spot``; those without it are taken to stay.
    """
    elsewhere = any(shape.present and (shape.labels or {}).get(_MARKET) != "spot" for shape in shapes)
    return {_MARKET: "!spot"} if elsewhere else {}


def node_shapes() -> tuple[NodeShape, ...]:
    """The nodes that are alive, and the groups that the autoscaler may add to them."""
    present = [
        NodeShape(node["NodeManagerHostname"], node["Resources"], node.get("Labels") or {}, present=True)
        for node in ray.nodes()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        if node["Alive"]
    ]
    # No public way tells the autoscaler's limits, and only some autoscalers report them: Ray's own does not.
    config = ray._private.state.state.get_cluster_config()
    groups = config.node_group_configs if config is not None else ()
    possible = [
        NodeShape(f"autoscaler group {group.name}", dict(group.resources), None, present=False)
        for group in groups
        if group.max_count != 0
    ]
    return (*present, *possible)


def described(resources: Resources) -> str:
    """What one evaluation needs, for a message."""
    wanted = ", ".join(f"{amount:g} {name}" for name, amount in bundle(resources).items())
    return wanted + (f", labels {dict(resources.labels)}" if resources.labels else "")


def check_can_hold(
    resources: Resources, shapes: Sequence[NodeShape], autoscaler: Callable[[], bool] = lambda: False
) -> bool:
    """True where a present node can hold one evaluation, False where only the autoscaler could add one.

    Ray itself would wait for ever, without a word, for what can never be. ``autoscaler`` says whether there is one: one
    that does not tell its groups, as Ray's own does not, may have one that fits, which is seen when it is asked.

    Raises:
        ClusterError: neither can, and what each lacks.
    """
    fitting = [shape for shape in shapes if _fits(resources, shape)]
    if fitting:
        return any(shape.present for shape in fitting)
    if all(shape.present for shape in shapes) and autoscaler():
        return False
    wanted = described(resources)
    have = "; ".join(f"{shape.name}: {_offer(shape)}" for shape in shapes[:5]) or "no node at all"
    raise ClusterError(
        f"resources: one evaluation needs {wanted} on a single node, which no node has and no autoscaler group could "
        f"add ({have}); lower resources in the study or add such a node"
    )


def check_engine_present(engine: Engine, shapes: Sequence[NodeShape]) -> None:
    """Where this machine is the whole cluster, its engine and model must be here.

    Raises:
        ClusterError: engine.python or engine.model is a path that does not exist.
    """
    here = {socket.gethostname()}
    if {shape.name for shape in shapes} == here and engine.python is not None and not Path(engine.python).exists():
        raise ClusterError(f"engine.python: {engine.python}: no such file on this machine, which is the whole cluster")
    if {shape.name for shape in shapes} == here and engine.model[0] in "./~" and not Path(engine.model).exists():
        raise ClusterError(f"engine.model: {engine.model}: no such folder on this machine, which is the whole cluster")


def _fits(resources: Resources, shape: NodeShape) -> bool:
    enough = all(shape.resources.get(name, 0.0) >= amount for name, amount in bundle(resources).items())
    return enough and (
        shape.labels is None or all(shape.labels.get(name) == value for name, value in resources.labels.items())
    )


def _offer(shape: NodeShape) -> str:
    shown = {name: shape.resources.get(name, 0.0) for name in ("CPU", "GPU")}
    return ", ".join([f"{amount:g} {name}" for name, amount in shown.items()] + _accelerators(shape))


def _accelerators(shape: NodeShape) -> list[str]:
    return [name.removeprefix(_ACCELERATOR) for name in shape.resources if name.startswith(_ACCELERATOR)]
