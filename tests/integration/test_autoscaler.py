"""A cluster whose nodes are all still to come: demand reaches Ray's own autoscaler, and what it does is shown."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.autoscaling import autoscaling
from tests.integration.conftest import Run, a_run

pytestmark = [pytest.mark.ray, pytest.mark.slow]

GROUPS = {
    "plain": {"resources": {"CPU": 1}},
    "labelled": {"resources": {"CPU": 1, "accelerator_type:H100": 1}, "labels": {"zone": "a"}},
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with autoscaling(tmp_path_factory.mktemp("autoscaler"), GROUPS) as found:
        yield found


@pytest.fixture
def later(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with a_run(tmp_path, address) as run:
        run.document["budget"] = {"observations": 2}
        yield run


def places(address: str) -> list[dict[str, Any]]:
    """The nodes that have come, in the words of Ray."""
    import ray

    ray.init(address=address, log_to_driver=False)
    try:
        found: list[dict[str, Any]] = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]  # Ray leaves it untyped
        return found
    finally:
        ray.shutdown()


def test_a_label_and_an_accelerator_bring_the_group_that_has_them(later: Run, address: str) -> None:
    later.document["resources"] = {"cpus": 1, "accelerator": "H100", "labels": {"zone": "a"}}
    later.document["parallelism"] = {"min": 1, "max": 3, "when": "idle"}
    code, out, err = later.finish(later.start("tune", str(later.study), "--json"))
    assert code == 0, err
    assert sorted(later.settled()) == [0, 1]
    assert json.loads(out)["outcomes"]["measured"] == 2
    # "the autoscaler is starting 1 × labelled" follows, unless its node is there before it is asked again
    assert "no present node can hold an evaluation; waiting for the autoscaler to add one" in err
    assert {node["Labels"].get("zone") for node in places(address)} == {None, "a"}, "a head and a node of that group"


def test_always_brings_a_node_for_each_evaluation_and_idle_uses_what_has_come(later: Run) -> None:
    later.document["parallelism"] = {"min": 2, "max": 3, "when": "idle"}
    later.document["budget"] = {"observations": 4}
    later.document["workload"]["duration_s"] = 4
    code, _, err = later.finish(later.start("tune", str(later.study), "--json"))
    assert code == 0, err
    assert sorted(later.settled()) == [0, 1, 2, 3]


def test_what_no_group_has_is_said_and_the_study_goes_on_waiting(later: Run) -> None:
    later.document["resources"] = {"cpus": 1, "labels": {"zone": "nowhere"}}
    driver = later.start("tune", str(later.study), "--json")
    assert driver.stderr is not None
    said = next(line for line in driver.stderr if "no group of nodes" in line)
    assert "labels {'zone': 'nowhere'}" in said
    os.kill(driver.pid, signal.SIGINT)
    code, _, err = later.finish(driver, deadline_s=90)
    assert code == 130, err
