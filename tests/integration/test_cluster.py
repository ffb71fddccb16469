"""What only a cluster has: replicas on several GPUs, workers that die, jobs."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.integration.conftest import Run, eventually, free_port, listens

pytestmark = pytest.mark.ray


def test_gpus_beyond_tensor_parallelism_run_replicas_that_share_the_load(run: Run) -> None:
    run.document["resources"] = {"cpus": 1, "gpus": 4}
    run.document["engine"]["args"] = {"tensor-parallel-size": 2}
    run.document["budget"] = {"observations": 1}
    code, out, err = run.tune()
    assert code == 0, err
    assert json.loads(out)["engine"]["replicas"] == 2
    trial = run.output / "trials" / "0000"
    for replica in (0, 1):
        assert (trial / f"replica-{replica}" / "engine.log").is_file()
    assert json.loads(out)["default"]["metrics"]["error_rate"] == 0, "a replica refused its share"
    assert run.engines() == []


def test_a_killed_worker_costs_nothing_but_time(run: Run) -> None:
    run.document["budget"] = {"observations": 2}
    run.document["workload"]["duration_s"] = 4
    driver = run.start("tune", str(run.study), "--json")
    assert eventually(lambda: run.events("submitted") and run.engines() and _has_logged(run.engines()[0]), 120)
    engine = set(run.engines())
    own = {process.pid for process in psutil.Process().children(recursive=True)}  # the cluster is this session's child
    for process in psutil.process_iter(["cmdline"]):
        if process.pid in own and "ray::Worker" in " ".join(process.info["cmdline"] or ()):
            process.kill()
    assert eventually(lambda: not engine & set(run.engines()), 10), "the engine outlived its worker"
    code, out, err = run.finish(driver)
    assert code == 0, err
    assert json.loads(out)["outcomes"] == {"measured": 2, "bounded": 0, "failed": {}, "retried": 1}
    assert "node_lost" in err
    assert sorted(run.settled()) == [0, 1]
    log = next((run.output / "trials").glob("*/lost-1/engine.log"))
    assert log.read_text().strip(), "what the engine had said went with its worker"


def _has_logged(engine: int) -> bool:
    try:
        return (Path(psutil.Process(engine).cwd()) / "engine.log").stat().st_size > 0
    except (psutil.Error, OSError):
        return False


def test_more_evaluations_than_the_cluster_holds_wait_for_their_turn(run: Run) -> None:
    run.document["resources"] = {"cpus": 3}
    run.document["parallelism"] = 2
    code, out, err = run.tune()
    assert code == 0, err
    assert json.loads(out)["outcomes"]["measured"] == 3


def test_the_same_command_runs_as_a_ray_job(run: Run, tmp_path: Path) -> None:
    run.document["output"] = str(tmp_path / "runs")  # a job has a folder of its own
    port, dashboard = free_port(), free_port()
    ray = str(Path(sys.executable).with_name("ray"))
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
    environment.pop("RAY_ADDRESS", None)
    start = [
        *(ray, "start", "--head", "--block", "--num-cpus=2", f"--port={port}", "--disable-usage-stats"),
        *("--include-dashboard=true", f"--dashboard-port={dashboard}", "--dashboard-host=127.0.0.1"),
        f"--dashboard-agent-listen-port={free_port()}",
    ]
    with (tmp_path / "ray.log").open("w") as log:
        head = subprocess.Popen(start, stdout=log, stderr=log, env=environment, start_new_session=True)
    try:
        assert eventually(lambda: listens(dashboard), 90), (tmp_path / "ray.log").read_text()
        submit = [ray, "job", "submit", "--address", f"http://127.0.0.1:{dashboard}", "--"]
        command = [sys.executable, "-m", "scoot_ray", "tune", str(run.study), "--json"]
        answers: list[subprocess.CompletedProcess[str]] = []

        def submitted() -> bool:
            answers.append(
                subprocess.run(
                    submit + command, env=environment, capture_output=True, text=True, timeout=200, check=False
                )
            )
            return "No available agent" not in answers[-1].stderr  # the dashboard answers before its agent is up

        assert eventually(submitted, 90)
        assert answers[-1].returncode == 0, answers[-1].stdout + answers[-1].stderr
        assert json.loads((run.output / "result.json").read_text())["complete"]
        assert sorted(run.settled()) == [0, 1, 2]
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        try:
            head.wait(timeout=45)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait(timeout=10)
    assert run.engines() == []


def test_a_killed_optimizer_is_replaced_and_the_study_ends_as_it_would_have(run: Run) -> None:
    run.document["workload"]["duration_s"] = 3
    driver = run.start("tune", str(run.study), "--json")
    assert eventually(lambda: len(run.events("submitted")) >= 2, 60)
    own = {process.pid for process in psutil.Process().children(recursive=True)}
    killed = 0
    for process in psutil.process_iter(["cmdline"]):
        if process.pid in own and "ray::SearchOptimizer" in " ".join(process.info["cmdline"] or ()):
            process.kill()
            killed += 1
    assert killed == 1
    code, out, err = run.finish(driver)
    assert code == 0, err
    assert json.loads(out)["budget"] == {"observations": 3, "spent": 3}
    assert sorted(run.settled()) == [0, 1, 2]
