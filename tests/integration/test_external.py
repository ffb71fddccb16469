"""A service that the user's own command starts, tuned end to end: the simulated server behind a launcher of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import MARK, Run

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
LAUNCHER = """#!/bin/sh
# As launchers do: takes words of its own, starts the server, and stays until it ends.
echo "launching $3 sequences on port $2"
exec {python} -m scoot_ray.simulator.server --model "$1" --host 127.0.0.1 --port "$2" --max-num-seqs "$3" \\
  --sim-accelerator A10 --max-model-len 2048
"""


@pytest.fixture
def external(run: Run) -> Run:
    launcher = run.folder / "launch.sh"
    launcher.write_text(LAUNCHER.format(python=sys.executable))
    launcher.chmod(0o755)
    run.document["engine"] = {
        "kind": "external",
        "model": "Llama-2-7b-hf",
        "command": ["./launch.sh", "{model}", "{port}", "{max_num_seqs}"],
        "ready_url": "http://{host}:{port}/health",
        "stop_command": ["/bin/echo", "goodbye from port {port}"],
        "env": {"PYTHONPATH": str(ROOT), "VLLM_API_KEY": {"from_env": "TEST_SERVICE_KEY"}, MARK: str(run.folder)},
        "api_key_variable": "VLLM_API_KEY",
        "start_timeout_s": 120,
    }
    run.document["space"] = {"max_num_seqs": {"type": "integer", "low": 1, "high": 64, "default": 32}}
    run.document["constraints"] = []
    run.document["workload"]["request_timeout_s"] = 30
    run.document["budget"] = {"observations": 2}
    return run


def test_an_external_study_is_tuned_and_leaves_nothing(external: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVICE_KEY", "hunter2-hunter2")
    code, out, err = external.finish(external.start("tune", str(external.study), "--json"), deadline_s=500)
    assert code == 0, err
    result = json.loads(out)
    assert result["outcomes"]["measured"] == 2
    assert "simulated" in result["engine"]["engine_version"]
    seqs = result["recommended"]["config"]["max_num_seqs"]
    script = (external.output / "best" / "serve.sh").read_text()
    assert f"exec {external.folder / 'launch.sh'} Llama-2-7b-hf 8000 {seqs}" in script
    assert os.access(external.output / "best" / "serve.sh", os.X_OK)
    log = (external.output / "trials" / "0000" / "engine.log").read_text()
    assert "launching 32 sequences on port" in log
    assert "goodbye from port" in log
    assert "stop_command ended with exit code 0" in log
    assert external.engines() == []
    for path in external.folder.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path


def test_a_template_that_cannot_be_meant_is_refused_before_anything_starts(external: Run) -> None:
    external.document["engine"]["command"] = ["./launch.sh", "{model}", "{port}", "{max_seqs}"]
    code, out, err = external.tune()
    assert (code, out) == (2, "")
    assert err == (
        f"error: {external.folder}/study.yaml: engine.command: {{max_seqs}}: unknown placeholder; "
        "allowed are {model}, {host}, {port}, {max_num_seqs}\n"
    )
