"""A study on the fake engine, and scoot-ray run as a user would."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

FAKE_VLLM = Path(__file__).parents[1] / "fake_vllm"
MARK = "SCOOT_RAY_TEST_ENGINE"  # in the environment of every engine that a test starts


@dataclass
class Run:
    """One study in a folder of its own, run by the command line against a local Ray."""

    folder: Path
    document: dict[str, Any]
    address: str = "local"
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def study(self) -> Path:
        path = self.folder / "study.yaml"
        path.write_text(yaml.safe_dump(self.document, sort_keys=False))
        return path

    @property
    def output(self) -> Path:
        return self.folder / "runs" / str(self.document["name"])

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "scoot_ray", *arguments, "--ray-address", self.address]
        process = subprocess.Popen(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        self.started.append(process)
        return process

    def tune(self) -> tuple[int, str, str]:
        return self.finish(self.start("tune", str(self.study), "--json"))

    def resume(self) -> tuple[int, str, str]:
        return self.finish(self.start("resume", str(self.output), "--json"))

    def finish(self, process: subprocess.Popen[str], deadline_s: float = 200) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=deadline_s)
        return process.returncode, out, err

    def engines(self) -> list[int]:
        """Living processes of engines that this run has started, wherever they have gone."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        paths = sorted((self.output / "journal").glob("[0-9]*.json")) if self.output.exists() else []
        return [event for event in map(_read, paths) if event["type"] == kind]

    def settled(self) -> list[int]:
        """Trials that have an outcome of their own, in the order of the journal."""
        ours = {"node_lost", "preempted", "port_taken", "client_lagged", "cancelled", "internal"}
        return [
            event["trial"] for event in self.events("observed") if event["data"]["outcome"].get("failed") not in ours
        ]


def _read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def eventually(condition: Callable[[], object], deadline_s: float) -> bool:
    """Whether a condition comes true in time."""
    ends_s = time.monotonic() + deadline_s
    while time.monotonic() < ends_s:
        if condition():
            return True
        time.sleep(0.1)
    return bool(condition())


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Ray cluster that was there before the study, as on a shared machine; gives its address."""
    port = free_port()
    scratch = tmp_path_factory.mktemp("ray")
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16))
    command = [
        *(str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--num-cpus=4", "--num-gpus=4"),
        *(f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"),
    ]
    with (scratch / "ray.log").open("w") as log:
        head = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        assert eventually(lambda: listens(port), 60), (scratch / "ray.log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        del os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"]
        head.terminate()
        try:
            head.wait(timeout=45)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait(timeout=10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def own_run(run: Run) -> Run:
    """The same with a Ray that the study starts and ends itself."""
    run.address = "local"
    return run


@pytest.fixture
def run(tmp_path: Path, cluster: str) -> Iterator[Run]:
    with a_run(tmp_path, cluster) as found:
        yield found


@contextmanager
def a_run(tmp_path: Path, address: str) -> Iterator[Run]:
    """A small study on the fake engine; what it has started and left is killed in the end."""
    rows = ({"timestamp": 100 * i, "input_length": 40 + i, "output_length": 4 + i % 5} for i in range(40))
    (tmp_path / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "name": "fake",
        "tuner": "random",
        "engine": {
            "model": "fake-model",
            "env": {"PYTHONPATH": str(FAKE_VLLM), MARK: str(tmp_path)},
            "start_timeout_s": 30,
        },
        "resources": {"cpus": 1},
        "workload": {
            "trace": "trace.jsonl",
            "arrivals": {"process": "poisson", "rate": 20},
            "duration_s": 1.5,
            "warmup": 1,
            "request_timeout_s": 3,
        },
        "objectives": "interactive",
        "space": {
            "max_num_seqs": {"type": "integer", "low": 1, "high": 64, "scale": "powers_of_two", "default": 32},
            "max_num_batched_tokens": {
                "type": "integer",
                "low": 32,
                "high": 1024,
                "scale": "powers_of_two",
                "default": 512,
            },
        },
        "constraints": ["max_num_batched_tokens >= max_num_seqs"],
        "budget": {"observations": 3},
        "confirmation": {"finalists": 0},
    }
    found = Run(tmp_path, document, address)
    try:
        yield found
    finally:
        for process in found.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
