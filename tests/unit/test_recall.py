"""A run is read where neither its trace nor the runs it began from are: by every verb that reads, and alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from scoot_ray.cli import main
from scoot_ray.journal import Journal
from scoot_ray.recall import recall
from scoot_ray.resolve import Resolved, resolve
from scoot_ray.results.explained import explain_document
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import RunFolder
from scoot_ray.study import read_study
from scoot_ray.sweep import run_inline


def run_study(folder: Path, name: str, **changes: Any) -> tuple[Resolved, Path]:
    rows = [{"timestamp": i, "input_length": 300 + i, "output_length": 20 + i % 30} for i in range(60)]
    (folder / "trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = {
        "name": name,
        "tuner": "random",
        "engine": {
            "kind": "simulated",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A10", "count": 2},
        },
        "workload": {"trace": "trace.jsonl", "arrivals": {"rate": 4}, "duration_s": 8},
        "objectives": "interactive",
        "slos": ["ttft:p99<9s"],
        "space": "vllm",
        "baseline": "--max-num-seqs 32",
        "budget": {"observations": 5},
        "confirmation": {"finalists": 1, "arrival_orders": 2, "max_arrival_orders": 2},
        "output": str(folder / "runs"),
        **changes,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document))
    resolved = resolve(read_study(path), path)
    run = folder / "runs" / name
    run_inline(resolved, RunFolder(run))
    return resolved, run


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> tuple[Resolved, Path]:
    """A run that began from another, as it was resolved, and its folder on a machine that has nothing else."""
    home, elsewhere = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("elsewhere") / "run"
    _, first = run_study(home, "first")
    resolved, run = run_study(home, "second", warm_start=[str(first)])
    shutil.copytree(run, elsewhere)
    shutil.rmtree(home)
    return resolved, elsewhere


def test_what_is_recalled_is_what_was_resolved(away: tuple[Resolved, Path]) -> None:
    resolved, run = away
    recalled, log = recall(RunFolder(run)), Journal(run / "journal").replay()
    assert recalled.study == resolved.study
    assert recalled.pasts
    assert not recalled.trace.requests

    def told(plan: Resolved) -> str:
        return json.dumps([summarise(plan, log, True, "complete", {}), explain_document(plan, log)])

    assert told(recalled) == told(resolved)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    "verb",
    [
        ["status", "--json"],
        ["export", "--format", "vllm"],
        ["choose", "--knee"],
        ["explain", "--json"],
        ["report", "--format", "json", "-o", "-"],
    ],
    ids=lambda words: str(words[0]),
)
def test_every_verb_that_reads_does_without_the_trace(
    away: tuple[Resolved, Path], tmp_path: Path, verb: list[str], ended: bool
) -> None:
    run = shutil.copytree(away[1], tmp_path / "run")
    if not ended:  # as when the driver was killed
        (run / "result.json").unlink()
        max((run / "journal").glob("*.json")).unlink()
    name, *options = verb
    done = CliRunner().invoke(main, [name, str(run), *options])
    assert done.exit_code == 0, done.output
    assert done.stdout
    both = CliRunner().invoke(main, ["compare", str(run), str(run), "--json"])
    assert both.exit_code == 0, both.output


def test_a_run_that_remembers_too_little_says_what_is_missing(away: tuple[Resolved, Path], tmp_path: Path) -> None:
    run = shutil.copytree(away[1], tmp_path / "run")
    noted = json.loads((run / "environment.json").read_bytes())
    (run / "environment.json").write_text(json.dumps({**noted, "remembered": None}))
    done = CliRunner().invoke(main, ["explain", str(run)])
    assert done.exit_code == 2
    assert done.output.count("\n") == 1
    assert "workload" in done.output
    assert "trace.jsonl" in done.output
    assert CliRunner().invoke(main, ["status", str(run)]).exit_code == 0, "its result is there"


@pytest.mark.parametrize(
    ("content", "said"),
    [('{"remem', "is not JSON"), ("[]", "is not a JSON object"), ('{"remembered": {}}', "is damaged, at 'traffic'")],
)
@pytest.mark.parametrize("verb", ["report", "explain"])
def test_a_broken_note_of_the_environment_is_one_line(
    away: tuple[Resolved, Path], tmp_path: Path, verb: str, content: str, said: str
) -> None:
    run = tmp_path / "run"
    shutil.copytree(away[1], run)
    (run / "environment.json").write_text(content)
    found = CliRunner().invoke(main, [verb, str(run)])
    assert found.exit_code == 1
    assert found.exception is None or isinstance(found.exception, SystemExit)
    (line,) = found.output.strip().splitlines()
    assert f"environment.json: {said}" in line
