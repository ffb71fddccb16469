"""What the cluster can hold now, might hold later, or can never hold."""

from __future__ import annotations

import pytest

from scoot_ray.cluster.placement import NodeShape, bundle, check_can_hold
from scoot_ray.cluster.session import ClusterError
from scoot_ray.study import Resources

SMALL = NodeShape("small", {"CPU": 4.0}, {}, present=True)
GPUS = NodeShape("gpus", {"CPU": 32.0, "GPU": 8.0, "accelerator_type:A100": 1.0}, {"zone": "a"}, present=True)
LATER = NodeShape("autoscaler group big", {"CPU": 64.0, "GPU": 16.0}, None, present=False)


def test_a_present_node_holds_it() -> None:
    assert check_can_hold(Resources(gpus=8, cpus=8.0, accelerator="A100", labels={"zone": "a"}), [SMALL, GPUS])


def test_the_autoscaler_may_add_a_node_for_it() -> None:
    assert not check_can_hold(Resources(gpus=16, cpus=8.0), [SMALL, GPUS, LATER])


def test_an_autoscaler_that_does_not_tell_its_groups_may_have_one_that_fits() -> None:
    assert not check_can_hold(Resources(gpus=16), [SMALL, GPUS], lambda: True)
    assert not check_can_hold(Resources(), [], lambda: True)


def test_an_autoscaler_that_tells_them_is_believed() -> None:
    with pytest.raises(ClusterError):
        check_can_hold(Resources(gpus=32), [SMALL, LATER], lambda: True)


def test_what_labels_a_node_to_come_will_have_is_not_known() -> None:
    assert not check_can_hold(Resources(gpus=16, labels={"zone": "b"}), [SMALL, LATER])


@pytest.mark.parametrize(
    "wanted",
    [
        Resources(gpus=32),
        Resources(cpus=100.0),
        Resources(gpus=1, accelerator="H100"),
    ],
)
def test_what_no_single_node_can_ever_hold_is_refused_with_what_there_is(wanted: Resources) -> None:
    with pytest.raises(ClusterError) as caught:
        check_can_hold(wanted, [SMALL, GPUS, LATER])
    message = str(caught.value)
    assert message.startswith("resources: one evaluation needs")
    assert "gpus: 32 CPU, 8 GPU, A100" in message
    assert "\n" not in message


def test_a_label_that_no_node_has_is_refused_with_it() -> None:
    with pytest.raises(ClusterError, match=r"labels \{'zone': 'b'\}"):
        check_can_hold(Resources(gpus=1, labels={"zone": "b"}), [SMALL, GPUS])


def test_no_node_at_all_is_said() -> None:
    with pytest.raises(ClusterError, match="no node at all"):
        check_can_hold(Resources(), [])


def test_the_bundle_is_one_evaluation_in_rays_names() -> None:
    assert bundle(Resources(gpus=2, cpus=3.0, accelerator="L4")) == {
        "CPU": 3.0,
        "GPU": 2.0,
        "accelerator_type:L4": 0.001,
    }
    assert bundle(Resources(cpus=1.0)) == {"CPU": 1.0}
