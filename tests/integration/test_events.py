"""tune --events and status --watch on simulated studies: what a machine reads is what the journal holds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.integration.conftest import Run, eventually

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SCHEMA = json.loads((Path(__file__).parents[1] / "schemas" / "events.json").read_text())


@pytest.fixture
def small(run: Run) -> Run:
    run.document["engine"] = {
        "kind": "simulated",
        "model": "Llama-2-7b-hf",
        "args": {"max-model-len": 2048},
        "hardware": {"accelerator": "A100-80G", "count": 2},
    }
    run.document.update(parallelism=2, budget={"observations": 4}, tuner="random")
    run.document["resources"] = {"cpus": 0.5}
    run.document["workload"].update(duration_s=10, request_timeout_s=100)
    run.document["confirmation"] = {"finalists": 1, "arrival_orders": 2, "max_arrival_orders": 2}
    return run


def parsed(out: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in out.splitlines()]
    for line in lines:
        jsonschema.validate(line, SCHEMA)
    return lines


def trials(lines: list[dict[str, Any]], kind: str) -> list[int]:
    return [line["trial"] for line in lines if line["type"] == kind]


def test_events_tell_what_the_journal_holds(small: Run) -> None:
    code, out, err = small.finish(small.start("tune", str(small.study), "--events"))
    assert code == 0, err
    lines = parsed(out)
    assert lines[0]["type"] == "started"
    assert lines[-1]["type"] == "stopped"
    assert {line["study"] for line in lines} == {"fake"}
    assert trials(lines, "submitted") == [event["trial"] for event in small.events("submitted")]
    assert trials(lines, "observed") == [event["trial"] for event in small.events("observed")]
    assert set(trials(lines, "phase")) <= set(trials(lines, "submitted"))
    assert set(trials(lines, "best")) <= set(trials(lines, "observed"))
    assert lines[-1]["exit_code"] == 0
    result = json.loads(Path(lines[-1]["result"]).read_text())
    assert lines[-1]["recommended"]["config"] == result["recommended"]["config"]
    assert Path(lines[-1]["report"]).read_text().startswith("<!DOCTYPE html>")
    assert "report: " in err


def test_a_reader_that_leaves_ends_the_run_as_sigterm_does(small: Run) -> None:
    small.document["budget"] = {"observations": 500}
    process = small.start("tune", str(small.study), "--events")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "started"
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as said:
        err = said.read()
    assert process.wait(timeout=120) == 130
    assert "Traceback" not in err
    assert "nobody reads standard output any more" in err
    (stopped,) = small.events("stopped")
    assert stopped["data"]["complete"] is False


def test_another_process_watches_the_run_to_its_end(small: Run) -> None:
    process = small.start("tune", str(small.study), "--events")
    assert eventually(lambda: small.events("started"), 120)
    command = [sys.executable, "-m", "scoot_ray", "status", str(small.output), "--watch"]
    watcher = subprocess.run(command, check=False, capture_output=True, text=True, timeout=200)
    assert small.finish(process)[0] == 0
    assert watcher.returncode == 0, watcher.stderr
    assert "confirmation" in watcher.stdout
    assert "Use this (simulated)" in watcher.stdout
