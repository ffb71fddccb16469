"""`ray job submit` on a cluster that was started apart, with token authentication: submitted, watched, fetched."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scoot_ray.cluster.readings import METRICS
from tests.integration.conftest import Run, eventually, free_port, listens

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))


@dataclass(frozen=True)
class Head:
    """A Ray head with its dashboard, and the environment of those who know its token."""

    dashboard: str
    metrics: str
    environment: dict[str, str]

    def ray(
        self, *arguments: str, token: Path | None = None, deadline_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        changed = {"RAY_AUTH_TOKEN_PATH": str(token)} if token else {}
        return subprocess.run(
            [RAY, *arguments],
            env={**self.environment, **changed},
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )

    def job(self, verb: str, name: str) -> str:
        done = self.ray("job", verb, name)
        return done.stdout + done.stderr

    def exported(self) -> str:
        with urllib.request.urlopen(self.metrics, timeout=10) as answer:
            text: str = answer.read().decode()
        return text


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    scratch = tmp_path_factory.mktemp("head")
    token = scratch / "token"
    token.write_text(secrets.token_hex(16))
    port, dashboard, metrics = free_port(), free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "PYTHONPATH": str(ROOT)}
    command = [
        *(RAY, "start", "--head", "--block", "--num-cpus=4", "--disable-usage-stats", f"--port={port}"),
        *(
            f"--dashboard-port={dashboard}",
            f"--metrics-export-port={metrics}",
            f"--ray-client-server-port={free_port()}",
        ),
        *(f"--dashboard-agent-listen-port={free_port()}", "--labels=ray.io/market-type=on-demand"),
    ]
    with (scratch / "ray.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        assert eventually(lambda: listens(dashboard) and listens(metrics), 240), (scratch / "ray.log").read_text()
        environment["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{dashboard}"
        yield Head(f"http://127.0.0.1:{dashboard}", f"http://127.0.0.1:{metrics}/metrics", environment)
    finally:
        process.terminate()
        try:
            process.wait(timeout=45)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)


@pytest.fixture
def job(tmp_path: Path) -> Run:
    """A simulated study, in a folder that is handed to the cluster."""
    rows = ({"timestamp": 100 * i, "input_length": 40 + i, "output_length": 4 + i % 5} for i in range(40))
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "name": "night",
        "tuner": "random",
        "engine": {
            "kind": "simulated",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A100-80G", "count": 2},
        },
        "resources": {"cpus": 0.5},
        "workload": {
            "trace": "trace.jsonl",
            "arrivals": {"process": "poisson", "rate": 20},
            "duration_s": 20,
            "request_timeout_s": 100,
        },
        "objectives": "interactive",
        "space": {
            "max_num_seqs": {"type": "integer", "low": 1, "high": 64, "default": 32},
            "max_num_batched_tokens": {"type": "integer", "low": 64, "high": 2048, "default": 512},
        },
        "constraints": ["max_num_batched_tokens >= max_num_seqs"],
        "budget": {"observations": 4},
        "confirmation": {"finalists": 0},
        "output": str(tmp_path / "runs"),
    }
    return Run(tmp_path, document)


def submit(head: Head, job: Run, name: str) -> None:
    """As a user does: the study and its trace go along as the working directory."""
    work = job.folder / "work"
    work.mkdir()
    for path in (job.study, job.folder / "trace.jsonl"):
        (work / path.name).write_text(path.read_text())
    environment = {"env_vars": {"PYTHONPATH": str(ROOT), "RAY_JOB_STOP_WAIT_TIME_S": "60"}}
    submitted = head.ray(
        *("job", "submit", "--no-wait", "--submission-id", name, "--working-dir", str(work)),
        *("--runtime-env-json", json.dumps(environment)),
        *("--", sys.executable, "-m", "scoot_ray", "tune", "study.yaml"),
    )
    assert submitted.returncode == 0, submitted.stderr


def result(job: Run) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((job.output / "result.json").read_text())
    return document


def value(job: Run, text: str, name: str, tag: str = "") -> float | None:
    """A gauge of the run as exported."""
    for line in text.splitlines():
        labels, _, figure = line.rpartition(" ")
        if labels.startswith(f"ray_scoot_ray_{name}{{") and f'run="{job.output}"' in labels and tag in labels:
            return float(figure)
    return None


def test_a_study_is_submitted_watched_and_fetched_by_who_has_the_token(head: Head, job: Run) -> None:
    stranger = job.folder / "stranger"
    stranger.write_text(secrets.token_hex(16))
    assert head.ray("job", "list", token=stranger).returncode != 0
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{head.dashboard}/api/jobs/", timeout=10)
    submit(head, job, "walk-through")
    assert eventually(lambda: "succeeded" in head.job("status", "walk-through"), 200), head.job("logs", "walk-through")
    assert "trial   0  default" in head.job("logs", "walk-through")
    assert result(job)["complete"]
    assert result(job)["budget"] == {"observations": 4, "spent": 4}
    assert sum(result(job)["cost"]["gpu_s"].values()) == pytest.approx(result(job)["cost"]["gpu_hours"] * 3600)


def test_a_study_shows_its_figures_until_it_is_stopped(head: Head, job: Run) -> None:
    job.document.update(tuner="scoot", parallelism=2, budget={"observations": 500})
    submit(head, job, "shown")
    seen = ""

    def learning() -> bool:
        nonlocal seen
        seen = head.exported()
        return (value(job, seen, "observations", 'outcome="measured"') or 0) >= 2 and bool(
            value(job, seen, "suggestion_spent_seconds")
        )

    assert eventually(learning, 200), head.job("logs", "shown")
    assert value(job, seen, "budget_observations") == 500
    assert value(job, seen, "parallelism_wanted") == 2
    assert value(job, seen, "best_objective", 'objective="mean_ttft_ms"')
    loaded_s = value(job, seen, "phase_seconds", 'phase="load"')
    assert loaded_s
    assert value(job, seen, "gpu_seconds", 'phase="load"') == pytest.approx(2 * loaded_s)
    assert 'study="night"' in seen
    assert {f"ray_{metric.name}" for metric in METRICS} == set(re.findall(r"^(ray_scoot_ray_\w+){", seen, re.MULTILINE))
    head.job("stop", "shown")
    assert eventually(lambda: "stopped" in head.job("status", "shown"), 60)
    assert "interrupted by SIGTERM" in result(job)["reason"]
    assert len(job.settled()) == result(job)["budget"]["spent"]
