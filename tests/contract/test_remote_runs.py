"""A run named by a URI: tuned there, read there by every verb, taken up from another folder or machine."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from scoot_ray.cli import main
from scoot_ray.rerun.reproduce import conclude, evaluate_again, new_folder, read_past
from scoot_ray.resolve import resolve
from scoot_ray.run_folder import RunFolder, folder_of
from scoot_ray.simulation import Simulation
from scoot_ray.study import read_study
from scoot_ray.sweep import InlinePool, run_inline
from tests.fakes import Never, Silent

DOCUMENT: dict[str, Any] = {
    "name": "small",
    "tuner": "random",
    "engine": {
        "kind": "simulated",
        "version": "0.4.2",
        "model": "Llama-2-7b-hf",
        "args": {"max-model-len": 2048},
        "hardware": {"accelerator": "A10", "count": 2},
    },
    "workload": {"trace": "trace.jsonl", "arrivals": {"process": "poisson", "rate": 4}, "duration_s": 10},
    "objectives": "interactive",
    "space": "vllm-0.4.2",
    "budget": {"observations": 3},
    "confirmation": {"finalists": 1, "arrival_orders": 2},
}


def scoot(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments), catch_exceptions=False)


def write_trace(path: Path, tokens: int) -> None:
    rows = [{"timestamp": i, "input_length": tokens + i, "output_length": 20} for i in range(60)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(params=["file", "s3"])
def output(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return f"file://{tmp_path}/there"
    return f"s3://bucket/{tmp_path.name}{request.getfixturevalue('s3')}"


def test_a_run_by_its_uri_is_tuned_read_and_not_mistaken_for_another(output: str, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.jsonl", 300)
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({**DOCUMENT, "output": output}))
    swept = scoot("sweep", str(study), "--jobs", "1", "--json")
    assert swept.exit_code == 0, swept.output
    place, mark, options = output.partition("?")
    run = f"{place}/small{mark}{options}"

    shown = json.loads(scoot("status", run, "--json").stdout)
    assert shown["complete"]
    assert shown["budget"]["spent"] == 3
    (listed,) = json.loads(scoot("status", output, "--json").stdout)
    assert (listed["state"], listed["observations"]) == ("complete", 3)
    assert json.loads(scoot("explain", run, "--json").stdout)
    assert "--max-num-seqs" in scoot("choose", run, "--knee").stdout
    assert "max" in scoot("export", run, "--trial", "0", "--format", "command").stdout
    assert scoot("compare", run, run, "--json").exit_code == 0
    assert scoot("report", run, "--format", "json").exit_code == 0
    assert RunFolder(run).storage.read("report.json") is not None

    watched = scoot("status", run, "--watch")
    assert watched.exit_code == 0
    assert f"scoot-ray verify {shlex.quote(str(RunFolder(run)))}" in watched.stdout

    again = scoot("tune", str(study))
    assert again.exit_code == 2
    assert "has been run already" in again.stderr
    (tmp_path / "trace.jsonl").rename(tmp_path / "moved.jsonl")
    absent = scoot("resume", run)
    assert absent.exit_code == 2
    assert absent.stderr.startswith(f"error: {RunFolder(run).storage.within('study.yaml')}: workload: ")
    assert absent.stderr.count("\n") == 1
    assert json.loads(scoot("status", run, "--json").stdout) == shown
    assert scoot("explain", run, "--json").exit_code == 0
    assert scoot("report", run, "--format", "json").exit_code == 0
    write_trace(tmp_path / "other.jsonl", 301)
    other = scoot("resume", run, "--trace", str(tmp_path / "other.jsonl"))
    assert other.exit_code == 1
    assert "is not the file that this run has measured so far" in other.stderr


def test_a_place_that_is_no_run_or_cannot_be_used_is_one_line(output: str, tmp_path: Path) -> None:
    place, mark, options = output.partition("?")
    for arguments in (["explain", f"{place}/nothing{mark}{options}"], ["resume", output], ["status", "ftp://x/y"]):
        done = scoot(*arguments)
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    write_trace(tmp_path / "trace.jsonl", 300)
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump({**DOCUMENT, "output": "s3://key:secret@bucket/runs"}))
    refused = scoot("validate", str(study))
    assert refused.exit_code == 2
    assert "output: a s3:// with a credential in it" in refused.stderr
    assert "secret" not in refused.stderr


def test_a_trial_of_a_run_by_its_uri_is_evaluated_again_beside_its_journal(output: str, tmp_path: Path) -> None:
    write_trace(tmp_path / "trace.jsonl", 300)
    (tmp_path / "study.yaml").write_text(yaml.safe_dump({**DOCUMENT, "output": output}))
    plan = resolve(read_study(tmp_path / "study.yaml"), tmp_path / "study.yaml")
    run = folder_of(output, "small")
    run_inline(plan, run)
    past = read_past(plan, run, 1)
    for count in (1, 2):
        own = new_folder(run, past.seen.trial)
        pool = InlinePool(Simulation(plan.study, plan.trace.requests), own)
        found = evaluate_again(plan, own, past.again(1), pool, Never(), Silent())
        document = conclude(plan, run, own, past, found)
        assert document["reproduced"]
        assert document["folder"] == run.named(f"reproduced/0001-{count}")
        assert run.read_json(f"reproduced/0001-{count}/reproduction.json") == document
