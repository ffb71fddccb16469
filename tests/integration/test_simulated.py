"""Simulated studies on a real Ray: reusable actors, their death, resume."""

from __future__ import annotations

import json
import signal

import psutil
import pytest

from tests.integration.conftest import Run, eventually

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def simulated(run: Run) -> Run:
    run.document["engine"] = {
        "kind": "simulated",
        "model": "Llama-2-7b-hf",
        "args": {"max-model-len": 2048},
        "hardware": {"accelerator": "A100-80G", "count": 2},
    }
    run.document.update(parallelism=4, budget={"observations": 8}, tuner="scoot")
    run.document["resources"] = {"cpus": 0.5}
    run.document["workload"].update(duration_s=20, request_timeout_s=100)
    run.document["confirmation"] = {"finalists": 1, "arrival_orders": 2, "max_arrival_orders": 2}
    return run


def test_four_at_a_time_on_fewer_cpus(simulated: Run) -> None:
    code, out, err = simulated.tune()
    assert code == 0, err
    result = json.loads(out)
    assert result["simulated"] is True
    assert result["budget"]["spent"] == 8
    assert result["recommended"]["confirmed"]
    assert "simulated" in err
    waves = [event["trial"] for event in simulated.events("submitted")][:5]
    first_done = simulated.events("observed")[0]["seq"]
    assert sum(event["seq"] < first_done for event in simulated.events("submitted")) >= 2, waves
    script = (simulated.output / "best" / "serve.sh").read_text()
    assert "SIMULATED" in script


def test_a_killed_actor_costs_no_observation(simulated: Run) -> None:
    simulated.document["budget"] = {"observations": 12}
    process = simulated.start("tune", str(simulated.study), "--json")
    assert eventually(lambda: len(simulated.events("observed")) >= 2, 120)
    actors = [one for one in psutil.process_iter() if _title(one).startswith(("ray::Simulator", "ray::trial"))]
    assert actors, "idle, or named after the trial that one is at"
    for one in actors[:2]:
        one.send_signal(signal.SIGKILL)
    code, out, err = simulated.finish(process)
    assert code == 0, err
    assert json.loads(out)["budget"]["spent"] == 12
    assert len(set(simulated.settled())) == len(simulated.settled())


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_in_real_time_the_same_engine_is_a_server_that_is_measured(simulated: Run) -> None:
    simulated.document["engine"].update(clock="real", args={"max-model-len": 2048})
    simulated.document["workload"].update(duration_s=3)
    simulated.document.update(parallelism=1, budget={"observations": 2}, tuner="random")
    simulated.document["confirmation"] = {"finalists": 0}
    code, out, err = simulated.tune()
    assert code == 0, err
    result = json.loads(out)
    assert result["simulated"] is True
    assert result["outcomes"]["measured"] == 2
    assert "simulated" in result["engine"]["engine_version"]
    assert result["cost"]["gpu_s"]["idle"] > 0
