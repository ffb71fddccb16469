"""Slots per node: apart is not together, drained is not free, and what others wait for is not idle."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.cluster.capacity import Demand, Node, View, barred, slots
from scoot_ray.cluster.placement import bundle
from scoot_ray.study import Resources

TWO_GPUS = Resources(gpus=2, cpus=4.0)


def node(name: str, gpus: float, cpus: float = 64.0, of: float = 8.0) -> Node:
    return Node(name, name, {"GPU": gpus, "CPU": cpus}, {"GPU": of, "CPU": 64.0}, {}, True, frozenset())


def free(*nodes: Node, resources: Resources = TWO_GPUS, demands: tuple[Demand, ...] = ()) -> dict[str, int]:
    return slots(View(nodes, demands), resources)


def test_one_gpu_here_and_one_there_make_no_slot_of_two() -> None:
    assert free(node("a", 1), node("b", 1), node("c", 5)) == {"a": 0, "b": 0, "c": 2}


def test_the_scarcest_resource_counts_and_rays_fractions_are_exact_enough() -> None:
    assert free(node("a", 8, cpus=8 - 1e-9)) == {"a": 2}
    assert free(node("a", 8, cpus=7.999)) == {"a": 1}


def test_a_node_that_is_drained_or_lacks_label_or_accelerator_has_none() -> None:
    typed = {"GPU": 8.0, "CPU": 64.0, "accelerator_type:H100": 1.0}
    wanted = Resources(gpus=2, cpus=4.0, accelerator="H100", labels={"zone": "a"})
    assert free(replace(node("a", 8), usable=False)) == {}
    assert free(node("a", 8), replace(node("b", 8), available=typed, total=typed), resources=wanted) == {}
    assert free(replace(node("b", 8), available=typed, total=typed, labels={"zone": "a"}), resources=wanted) == {"b": 4}


def test_what_others_wait_for_is_put_aside_where_most_of_it_is() -> None:
    nodes = (node("a", 2), node("b", 6))
    assert free(*nodes, demands=(Demand({"GPU": 8.0}),)) == {"a": 1, "b": 0}
    assert free(*nodes, demands=(Demand({"GPU": 1.0}, 2),)) == {"a": 0, "b": 3}
    assert free(*nodes, demands=(Demand({"GPU": 16.0}),)) == {"a": 1, "b": 3}, "only the autoscaler can meet it"
    assert free(*nodes, demands=(Demand({"TPU": 1.0}),)) == {"a": 1, "b": 3}


def test_a_node_is_kept_away_from_unless_it_is_the_only_one() -> None:
    view = View((node("a", 0), node("b", 8), node("small", 1, of=1)))
    assert barred(view, TWO_GPUS, {"a"}) == {"a"}
    assert barred(view, TWO_GPUS, {"a", "b"}) == frozenset()
    assert barred(View((node("a", 8), replace(node("b", 8), usable=False))), TWO_GPUS, {"a"}) == frozenset()


amounts = st.fixed_dictionaries({"GPU": st.integers(0, 8).map(float), "CPU": st.integers(0, 64).map(float)})
nodes_ = st.lists(amounts, min_size=1, max_size=6).map(
    lambda found: tuple(node(str(at), one["GPU"], one["CPU"]) for at, one in enumerate(found))
)
demands_ = st.lists(
    st.builds(
        Demand,
        st.dictionaries(st.sampled_from(["GPU", "CPU", "odd"]), st.floats(0.001, 80), min_size=1),
        st.integers(1, 5),
    ),
    max_size=4,
).map(tuple)


@given(nodes=nodes_, demands=demands_, gpus=st.integers(0, 4), cpus=st.floats(0.5, 20))
def test_slots_fit_what_is_available_and_no_demand_adds_any(
    nodes: tuple[Node, ...], demands: tuple[Demand, ...], gpus: int, cpus: float
) -> None:
    resources = Resources(gpus=gpus, cpus=cpus)
    alone, among = free(*nodes, resources=resources), free(*nodes, resources=resources, demands=demands)
    for one in nodes:
        for name, amount in bundle(resources).items():
            assert alone.get(one.id, 0) * amount <= one.available[name] + 1e-3
        assert 0 <= among.get(one.id, 0) <= alone.get(one.id, 0)
    for one in nodes:
        room = min((one.available[name] // amount for name, amount in bundle(resources).items()), default=0)
        assert alone.get(one.id, 0) >= room
