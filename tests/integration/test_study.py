"""Whole studies on a real Ray with a fake engine: outcomes, faults, interruption, resume."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

import pytest

from tests.integration.conftest import Run, eventually

pytestmark = pytest.mark.ray


def test_a_study_runs_to_its_result_with_confirmation_and_learns_from_crashes(run: Run) -> None:
    run.document.update(tuner="scoot", parallelism=2, budget={"observations": 5})
    run.document["confirmation"] = {"finalists": 1, "arrival_orders": 2, "max_arrival_orders": 2}
    run.document["engine"]["env"]["FAKE_VLLM_CRASH_ABOVE_SEQS"] = "32"
    code, out, err = run.tune()
    assert code == 0, err
    result = json.loads(out)
    assert json.loads((run.output / "result.json").read_text()) == result
    assert result["complete"]
    assert result["outcomes"]["measured"] + sum(result["outcomes"]["failed"].values()) == 5
    assert result["default"]["trial"] == 0
    assert result["recommended"]["confirmed"]
    assert [one["role"] for one in result["confirmation"]] == ["default", "finalist"]
    assert all(len(promise["runs"]) == 2 for one in result["confirmation"] for promise in one["promises"])
    script = (run.output / "best" / "serve.sh").read_text()
    assert "vllm serve fake-model" in script
    trial = run.output / "trials" / "0000"
    assert {path.name for path in trial.iterdir()} >= {"engine.log", "requests-0.jsonl", "result.json"}
    assert json.loads((trial / "circumstances.json").read_text())["engine_version"].endswith("fake")
    assert run.engines() == []


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("crash_at_start", "crashed"),
        ("oom_at_start", "out_of_memory"),
        ("hang_at_start", "start_timeout"),
        ("crash_under_load", "crashed"),
        ("hang_under_load", "stalled"),
    ],
)
def test_every_failure_of_the_configuration_is_named_and_counts(run: Run, fault: str, outcome: str) -> None:
    run.document["engine"]["env"].update(FAKE_VLLM_FAULT=fault, FAKE_VLLM_FAULT_AFTER="1")
    run.document["engine"]["start_timeout_s"] = 4 if fault == "hang_at_start" else 30
    run.document["budget"] = {"observations": 1}
    code, out, err = run.tune()
    assert code == 1, err
    result = json.loads(out)
    assert result["outcomes"]["failed"] == {outcome: 1}
    assert result["recommended"] is None
    assert run.engines() == []


@pytest.mark.parametrize("fault", ["garbage", "error_in_stream", "cut_stream"])
def test_an_engine_that_answers_wrongly_is_measured_and_never_recommended(run: Run, fault: str) -> None:
    run.document["engine"]["env"].update(FAKE_VLLM_FAULT=fault, FAKE_VLLM_FAULT_AFTER="6")
    run.document["budget"] = {"observations": 1}
    code, out, err = run.tune()
    assert code == 1, err
    result = json.loads(out)
    assert result["outcomes"]["measured"] == 1
    assert result["default"]["metrics"]["error_rate"] > 0
    assert result["recommended"] is None


def test_a_slow_engine_is_measured(run: Run) -> None:
    run.document["engine"]["env"].update(FAKE_VLLM_FAULT="slow")
    run.document["budget"] = {"observations": 1}
    run.document["workload"]["request_timeout_s"] = 60
    code, out, err = run.tune()
    assert code == 0, err
    assert json.loads(out)["outcomes"]["measured"] == 1


def test_a_failure_of_ours_is_tried_again_and_then_stops_the_run_with_its_reason(run: Run) -> None:
    run.document["engine"]["env"].update(FAKE_VLLM_FAULT="hub_unreachable")
    code, out, err = run.tune()
    assert code == 1
    result = json.loads(out)
    assert not result["complete"]
    assert result["outcomes"] == {"measured": 0, "bounded": 0, "failed": {}, "retried": 5}
    assert "LocalEntryNotFoundError" in result["reason"]
    assert "scoot-ray resume" in err


def test_sigkill_of_the_driver_leaves_no_engine_and_resume_loses_nothing_and_doubles_nothing(own_run: Run) -> None:
    run = own_run
    run.document.update(parallelism=2, budget={"observations": 6})
    driver = run.start("tune", str(run.study), "--json")
    assert eventually(lambda: len(run.settled()) >= 2 and run.engines(), 90)
    before = run.settled()
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate(timeout=30)
    assert eventually(lambda: not run.engines(), 10)
    finished = {trial: _saved(run, trial) for trial in before}
    code, out, err = run.resume()
    assert code == 0, err
    settled = run.settled()
    assert settled[: len(before)] == before
    assert sorted(settled) == list(range(6))
    assert {trial: _saved(run, trial) for trial in before} == finished
    assert json.loads(out)["budget"] == {"observations": 6, "spent": 6}


def _saved(run: Run, trial: int) -> Any:
    return json.loads((run.output / "trials" / f"{trial:04d}" / "result.json").read_text())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_everything_and_says_how_to_go_on(own_run: Run, number: signal.Signals) -> None:
    run = own_run
    run.document["workload"]["duration_s"] = 60
    driver = run.start("tune", str(run.study), "--json")
    assert eventually(lambda: run.events("submitted") and run.engines(), 60)
    os.kill(driver.pid, number)
    code, out, err = run.finish(driver, deadline_s=30)
    assert code == 130, err
    assert f"interrupted by {number.name}" in json.loads(out)["reason"]
    assert f"scoot-ray resume {run.output}" in err
    assert eventually(lambda: not run.engines(), 10)
    run.document["workload"]["duration_s"] = 1.5
    (run.output / "study.yaml").write_text((run.output / "study.yaml").read_text().replace("60.0", "1.5"))
    code, out, err = run.resume()
    assert code == 0, err
    assert sorted(run.settled()) == [0, 1, 2]


def test_what_the_cluster_can_never_hold_is_refused_before_anything_waits(run: Run) -> None:
    run.document["resources"] = {"gpus": 512, "cpus": 1}
    code, out, err = run.tune()
    assert code == 2
    assert out == ""
    assert "512 GPU" in err
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]]
    run.document["resources"] = {"cpus": 1}
    assert run.tune()[0] == 0, "a study that never began can be corrected and started"


def test_bad_input_gives_one_line_and_starts_nothing(run: Run) -> None:
    run.document["workload"]["arrivals"]["rate"] = 0
    code, out, err = run.tune()
    assert (code, out) == (2, "")
    assert err == f"error: {run.folder}/study.yaml: workload.arrivals.rate: 0: input should be greater than 0\n"
    assert not run.output.exists()


def test_a_study_that_has_been_run_is_not_overwritten(run: Run) -> None:
    run.document["budget"] = {"observations": 1}
    assert run.tune()[0] == 0
    code, _, err = run.tune()
    assert code == 2
    assert "scoot-ray resume" in err


def test_a_flag_the_engine_does_not_know_is_refused_by_name(run: Run) -> None:
    run.document["space"]["max_num_sequences"] = {"type": "boolean", "default": False}
    code, _, err = run.tune()
    assert code == 2
    assert "max_num_sequences: vllm 0.32.0+fake has no such flag; did you mean 'max_num_seqs'?" in err


def test_a_secret_reaches_the_engine_and_no_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.document["engine"]["env"]["HF_TOKEN"] = {"from_env": "TEST_SECRET_TOKEN"}
    run.document["budget"] = {"observations": 1}
    code, out, err = run.tune()
    assert code == 2
    assert "TEST_SECRET_TOKEN: this variable is not set" in err
    monkeypatch.setenv("TEST_SECRET_TOKEN", "hunter2-hunter2")
    code, out, err = run.tune()
    assert code == 0, err
    assert "hunter2" not in out + err
    for path in run.folder.rglob("*"):
        assert not path.is_file() or b"hunter2" not in path.read_bytes(), path


def test_an_engine_that_is_nowhere_is_refused(run: Run) -> None:
    run.document["engine"]["python"] = "nowhere/bin/python"
    code, _, err = run.tune()
    assert code == 2
    assert "engine.python: nowhere/bin/python: no such file on this machine" in err
