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

import pytest

from scoot_ray.cluster.readings import METRICS
from tests.integration.conftest import Run, eventually, free_port, listens

pytestmark = [pytest.mark.ray, pytest.mark.slow]

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
        return self.ray("job", verb, name).stdout

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
        assert eventually(lambda: listens(dashboard) and listens(metrics), 90), (scratch / "ray.log").read_text()
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
    """A simulated service in real time, in a folder that is handed to the cluster."""
    rows = ({"timestamp": 100 * i, "input_length": 40 + i, "output_length": 4 + i % 5} for i in range(40))
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "name": "night",
        "tuner": "random",
        "engine": {
            "kind": "simulated",
            "clock": "real",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A100-80G", "count": 2},
        },
        "resources": {"cpus": 1},
        "workload": {
            "trace": "trace.jsonl",
            "arrivals": {"process": "poisson", "rate": 20},
            "duration_s": 3,
            "warmup": 1,
            "request_timeout_s": 20,
        },
        "objectives": "interactive",
        "space": {"max_num_seqs": {"type": "integer", "low": 1, "high": 64, "scale": "powers_of_two", "default": 32}},
        "budget": {"observations": 3},
        "confirmation": {"finalists": 0},
        "output": str(tmp_path / "out"),
    }
    return Run(tmp_path, document)


def test_a_study_is_submitted_watched_and_fetched(head: Head, job: Run, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for path in (job.study, tmp_path / "trace.jsonl"):
        (work / path.name).write_text(path.read_text())
    stranger = tmp_path / "stranger"
    stranger.write_text(secrets.token_hex(16))
    assert head.ray("job", "list", token=stranger).returncode != 0

    environment = {"env_vars": {"PYTHONPATH": str(ROOT), "RAY_JOB_STOP_WAIT_TIME_S": "60"}}
    submitted = head.ray(
        *("job", "submit", "--no-wait", "--submission-id", "night", "--working-dir", str(work)),
        *("--runtime-env-json", json.dumps(environment)),
        *("--", sys.executable, "-m", "scoot_ray", "tune", "study.yaml"),
    )
    assert submitted.returncode == 0, submitted.stderr
    seen = ""

    def measured() -> bool:
        nonlocal seen
        seen = head.exported()
        return (value(seen, "observations", 'outcome="measured"') or 0) >= 1

    assert eventually(measured, 120), head.job("logs", "night")
    assert value(seen, "budget_observations") == 3
    assert value(seen, "parallelism_wanted") == 1
    assert value(seen, "best_objective", 'objective="mean_ttft_ms"')
    assert value(seen, "gpu_seconds", 'phase="load"') == pytest.approx(
        2 * (value(seen, "phase_seconds", 'phase="load"') or 0)
    )
    assert {f"ray_{metric.name}" for metric in METRICS} == set(
        re.findall(r"^(ray_scoot_ray_\w+)\{", seen, re.MULTILINE)
    )

    assert eventually(lambda: "succeeded" in head.job("status", "night").lower(), 120), head.job("logs", "night")
    assert "trial   0  default" in head.job("logs", "night")
    result = json.loads((tmp_path / "out" / "night" / "result.json").read_text())
    assert result["complete"]
    assert result["budget"] == {"observations": 3, "spent": 3}
    assert sum(result["cost"]["gpu_s"].values()) == pytest.approx(result["cost"]["gpu_hours"] * 3600)
    assert result["cost"]["gpu_s"]["idle"] > 0


def value(text: str, name: str, tag: str = "") -> float | None:
    """A gauge of the study as exported."""
    for line in text.splitlines():
        labels, _, figure = line.rpartition(" ")
        if labels.startswith(f"ray_scoot_ray_{name}{{") and 'study="night"' in labels and tag in labels:
            return float(figure)
    return None


def test_the_dashboard_answers_nobody_without_the_token(head: Head) -> None:
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{head.dashboard}/api/jobs/", timeout=10)
