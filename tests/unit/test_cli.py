"""The command line itself: quick help, one line for a mistake, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from scoot_ray.cli import main
from tests.fakes import STUDY
from tests.unit.test_study import TRACE


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "trace.jsonl").write_text(TRACE)
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def test_help_loads_nothing_heavy() -> None:
    heavy = {"ray", "torch", "pydantic", "aiohttp", "rich", "scipy", "numpy"}
    code = "import sys\nfrom scoot_ray import cli\nprint(*(name for name in sys.modules if '.' not in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert heavy.isdisjoint(done.stdout.split())


VERBS = [
    *("init", "validate", "space", "tune", "resume", "status", "explain", "report", "replay", "capacity", "doctor"),
    *("reproduce", "verify"),
]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str) -> None:
    done = CliRunner().invoke(main, [verb, "--help"])
    assert done.exit_code == 0
    assert done.output.startswith("Usage: ")


def test_validate_prints_the_resolved_study_and_the_estimate(study: Path) -> None:
    done = CliRunner().invoke(main, ["validate", str(study), "--json"])
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["study"]["workload"]["trace"] == str(study.parent / "trace.jsonl")
    assert document["estimate"]["engine_starts"] == 30 + 4 * 10
    assert CliRunner().invoke(main, ["validate", str(study)]).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["validate", "missing.yaml"], "missing.yaml: cannot be read"),
        (["tune", "missing.yaml"], "missing.yaml: cannot be read"),
        (["resume", "nowhere"], "nowhere: not the folder of a run"),
        (["status", "nowhere"], "nowhere: not the folder of a run"),
        (["explain", "nowhere"], "nowhere: not the folder of a run"),
        (["replay", "--base-url", "http://127.0.0.1:9", "--model", "m", "--trace", "missing.jsonl"], "missing.jsonl"),
        (["replay", "--base-url", "ftp://x", "--model", "m", "--trace", "t"], "base_url: ftp://x"),
        (["replay", "--base-url", "http://x", "--model", "m", "--trace", "t", "--header", "secret"], "Name: value"),
        (["replay", "--base-url", "http://x", "--model", "m", "--trace", "t", "stray"], "stray: not an option"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(arguments: list[str], said: str) -> None:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_validate_takes_traces_of_others_and_says_what_is_left_out(study: Path) -> None:
    rows = "".join(f"{n},GPT-4,{100 * (n % 5)},20,0,API log\n" for n in range(50))
    header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    (study.parent / "trace.jsonl").write_text(header + rows)
    done = CliRunner().invoke(main, ["validate", str(study)])
    assert done.exit_code == 0, done.output
    assert "10 rows ask for no tokens, and are left out" in " ".join(done.output.split())
