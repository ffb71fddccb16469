"""Many runs at once: each one's state, and none in another's way."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from scoot_ray.cli import main
from scoot_ray.journal import Journal
from scoot_ray.results.overview import overview_of
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Measured, Observation, Origin, Trial
from tests.runs import BEGAN, make_run

SEEN = [
    Observation(Trial(0, {}, Origin.DEFAULT), Measured({"mean_ttft_ms": 800.0, "mean_tpot_ms": 30.0})),
    Observation(Trial(1, {}, Origin.MODEL), Measured({"mean_ttft_ms": 200.0, "mean_tpot_ms": 40.0})),
]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    make_run(folder / "done", SEEN)
    make_run(folder / "died", SEEN[:1], stopped=False)
    make_run(folder / "foreign", SEEN, stopped=False)
    (folder / "foreign" / "journal" / "00000001.json").write_text('{"not": "ours"}')
    (folder / "notes").mkdir()
    return folder


def test_a_folder_of_runs_is_listed_whatever_is_wrong_with_one(runs: Path) -> None:
    done = CliRunner().invoke(main, ["status", str(runs), "--json"])
    assert done.exit_code == 0, done.output
    listed = {Path(one["run"]).name: one for one in json.loads(done.stdout)}
    assert {name: one["state"] for name, one in listed.items()} == {
        "done": "complete",
        "died": "no driver",
        "foreign": "unreadable",
    }
    assert listed["done"]["best"] == [
        {"metric": "mean_ttft_ms", "direction": "minimize", "value": 200.0, "default": 800.0},
        {"metric": "mean_tpot_ms", "direction": "minimize", "value": 30.0, "default": 30.0},
    ]
    assert "00000001.json: not an event" in listed["foreign"]["reason"]
    table = CliRunner().invoke(main, ["status", str(runs)]).stdout
    assert "2 of 30" in table
    assert "mean_ttft_ms 200 (800)" in table


def test_without_a_run_those_of_the_usual_folder_are_listed(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    assert len(json.loads(CliRunner().invoke(main, ["status", "--json"]).stdout)) == 3
    two = CliRunner().invoke(main, ["status", "runs/done", "runs/died", "--json"])
    assert [one["run"] for one in json.loads(two.stdout)] == ["runs/done", "runs/died"]
    monkeypatch.chdir(runs / "notes")
    nothing = CliRunner().invoke(main, ["status"])
    assert nothing.exit_code == 2
    assert nothing.stderr == "error: runs: not the folder of a run (it has no study.yaml), nor one of runs\n"


def test_a_run_under_way_says_so_with_its_driver_and_the_age_of_its_last_event(runs: Path) -> None:
    folder = RunFolder(runs / "died")
    with Journal(folder.journal).exclusive():
        document = overview_of(folder, BEGAN + timedelta(minutes=3))
    assert document["state"] == "running"
    assert document["reason"].startswith("process ")
    assert document["age_s"] == 120.0
