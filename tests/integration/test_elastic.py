"""Nodes that come and go under a study: several Ray nodes on this machine, real engines' processes, real signals."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.conftest import Run, a_run, eventually

pytestmark = [pytest.mark.ray, pytest.mark.slow]

QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2_000,
    "health_check_failure_threshold": 4,
}


@pytest.fixture(scope="module")
def machines() -> Iterator[Any]:
    """A head with one CPU, to which tests add nodes once a driver is connected to the head."""
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster  # untyped
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    found = cluster(initialize_head=True, head_node_args=head)
    yield found
    found.shutdown()


@pytest.fixture
def elastic(tmp_path: Path, machines: Any) -> Iterator[Run]:
    with a_run(tmp_path, machines.address) as run:
        run.document["parallelism"] = {"min": 1, "max": 3, "when": "idle"}
        run.document["workload"]["duration_s"] = 3
        yield run
    for node in list(machines.worker_nodes):
        machines.remove_node(node, allow_graceful=False)


def under_way(run: Run) -> int:
    return len(run.events("submitted")) - len(run.settled())


def raylet(node: Any) -> int:
    pid: int = node.all_processes["raylet"][0].process.pid
    return pid


def has_worker(node: Any) -> bool:
    """Whether an actor lives on that node: Ray calls a process with none `ray::IDLE`."""
    names = [" ".join(one.cmdline()[:1]) for one in psutil.Process(raylet(node)).children()]
    return any(name.startswith("ray::") and not name.startswith("ray::IDLE") for name in names)


def test_a_node_that_joins_is_used_and_one_cpu_was_one_evaluation(elastic: Run, machines: Any) -> None:
    elastic.document["budget"] = {"observations": 6}
    driver = elastic.start("tune", str(elastic.study), "--json")
    assert eventually(lambda: len(elastic.settled()) >= 2, 120)
    at_once = [len(elastic.events("submitted")) - done for done in range(len(elastic.settled()))]
    assert under_way(elastic) <= 1, at_once
    machines.add_node(num_cpus=2)
    assert eventually(lambda: under_way(elastic) == 3, 120)
    code, out, err = elastic.finish(driver)
    assert code == 0, err
    assert sorted(elastic.settled()) == list(range(6))
    assert json.loads(out)["outcomes"] == {"measured": 6, "bounded": 0, "failed": {}, "retried": 0}
    assert elastic.engines() == []


def test_a_killed_node_costs_its_trial_a_retry_and_nothing_else(elastic: Run, machines: Any) -> None:
    elastic.document["budget"] = {"observations": 3}
    driver = elastic.start("tune", str(elastic.study), "--json")
    assert eventually(lambda: elastic.events("submitted"), 120)
    node = machines.add_node(num_cpus=1)
    assert eventually(lambda: under_way(elastic) == 2 and len(elastic.engines()) >= 2, 120)
    os.kill(raylet(node), signal.SIGKILL)
    code, out, err = elastic.finish(driver)
    assert code == 0, err
    outcomes = json.loads(out)["outcomes"]
    assert outcomes == {"measured": 3, "bounded": 0, "failed": {}, "retried": 1}
    assert "node_lost" in err
    assert sorted(elastic.settled()) == list(range(3))
    assert elastic.engines() == []


def drain(machines: Any, node: Any) -> None:
    import ray._raylet

    soon_ms = int((datetime.now(UTC) + timedelta(minutes=5)).timestamp() * 1000)
    head: Any = ray._raylet.GcsClient  # type: ignore[attr-defined]  # compiled, without types
    drained, why = head(machines.address).drain_node(node.node_id, 2, "spot instance goes", soon_ms)
    assert drained, why


def test_a_drained_node_is_left_alone_and_its_trial_ends(elastic: Run, machines: Any) -> None:
    elastic.document["budget"] = {"observations": 5}
    driver = elastic.start("tune", str(elastic.study), "--json")
    assert eventually(lambda: elastic.events("submitted"), 120)
    node = machines.add_node(num_cpus=1)
    assert eventually(lambda: under_way(elastic) == 2 and has_worker(node), 120)
    drain(machines, node)
    before = len(elastic.settled())
    assert eventually(lambda: len(elastic.settled()) >= before + 2, 120)
    assert under_way(elastic) <= 1
    code, out, err = elastic.finish(driver)
    assert code == 0, err
    assert json.loads(out)["outcomes"] == {"measured": 5, "bounded": 0, "failed": {}, "retried": 0}


def test_a_node_drained_before_the_worker_is_there_costs_nothing(elastic: Run, machines: Any) -> None:
    elastic.document["budget"] = {"observations": 4}
    driver = elastic.start("tune", str(elastic.study), "--json")
    assert eventually(lambda: elastic.events("submitted"), 120)
    node = machines.add_node(num_cpus=1)
    assert eventually(lambda: under_way(elastic) == 2, 120)
    drain(machines, node)
    code, out, err = elastic.finish(driver)
    assert code == 0, err
    assert sorted(elastic.settled()) == list(range(4))
    assert json.loads(out)["outcomes"] == {"measured": 4, "bounded": 0, "failed": {}, "retried": 0}
    assert elastic.engines() == []


def test_out_of_its_window_nothing_starts_and_within_it_goes_on(elastic: Run) -> None:
    now = datetime.now(UTC)
    closed = f"{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=3):%H:%M} UTC"
    elastic.document["parallelism"] = {"max": 3, "when": closed}
    elastic.document["budget"] = {"observations": 1}
    driver = elastic.start("tune", str(elastic.study), "--json")
    assert driver.stderr is not None
    said = next(line for line in driver.stderr if "nothing is started" in line)
    assert "the window is closed; the next opens" in said
    os.kill(driver.pid, signal.SIGINT)
    code, _, err = elastic.finish(driver, deadline_s=60)
    assert code == 130, err
    assert elastic.events("submitted") == []
    resolved = elastic.output / "study.yaml"
    resolved.write_text(resolved.read_text().replace(closed, "Mon-Sun UTC"))
    code, _, err = elastic.resume()
    assert code == 0, err
    assert elastic.settled() == [0]
