"""What is shown: the document, the tables, the plot, the script; for whole, empty, and hostile runs."""

from __future__ import annotations

import io
import json
import os
import random
import shlex
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scoot_ray.cluster.activity import Activity
from scoot_ray.confirm import next_trials
from scoot_ray.engine.flags import parse_flags
from scoot_ray.load.trace import Trace
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.results.deployment import deployment_of
from scoot_ray.results.export.shell import serve_script
from scoot_ray.results.live import PlainLines, expected_trials, remaining_s
from scoot_ray.results.report.text import plain
from scoot_ray.results.scatter import scatter
from scoot_ray.results.summary import sentence, summarise
from scoot_ray.results.tables import print_result
from scoot_ray.search import Failed, FailureKind, Objective, Observation, Origin, Problem, Trial
from scoot_ray.study import Confirmation
from scoot_ray.verdict import verdict
from tests.fakes import problem, study, truth
from tests.unit.test_confirm import DEFAULT, confirm_all, searched


def resolved(goal: Problem | None = None, **changes: object) -> Resolved:
    settled = study(confirmation=Confirmation(finalists=1, arrival_orders=4), **changes)
    return Resolved(settled, goal or problem(), Trace((), "trace.jsonl", "c0ffee"))


def document(plan: Resolved, log: Log, complete: bool = True) -> dict[str, Any]:
    found = summarise(plan, log, complete, "complete", {"engine_version": "1", "dropped": 2})
    parsed: dict[str, Any] = json.loads(json.dumps(found, allow_nan=False))
    return parsed


def printed(result: dict[str, Any], width: int = 120) -> str:
    out = io.StringIO()
    print_result(Console(file=out, width=width), result)
    return out.getvalue()


def confirmed_run(noise: float = 0.02) -> tuple[Resolved, dict[str, Any]]:
    goal = problem((Objective("mean_tpot_ms"),))
    plan = resolved(goal)
    log = confirm_all(goal, plan.study.confirmation, searched(goal), random.Random(5), noise)
    return plan, document(plan, log)


def test_a_confirmed_gain_is_recommended_with_its_command() -> None:
    _, result = confirmed_run()
    assert result["verdict"]["kind"] == "better"
    assert result["recommended"]["confirmed"]
    assert result["recommended"]["config"] == result["verdict"]["winner"]
    text = printed(result)
    assert "beats the default configuration beyond the noise" in text
    assert "vllm serve fake-model" in text
    assert "2 dropped" in text


def test_without_a_gain_what_runs_today_is_recommended_and_said_so() -> None:
    plan, result = confirmed_run(noise=3.0)
    assert result["verdict"]["kind"] == "none"
    assert result["recommended"]["config"] == dict(plan.problem.space.default or {})
    assert "No configuration was shown to beat the default" in printed(result)


def test_a_winner_that_is_not_chosen_is_not_praised_for_its_slos() -> None:
    plan, _ = confirmed_run()
    log = confirm_all(plan.problem, plan.study.confirmation, searched(plan.problem), random.Random(5), 0.02)
    decided = verdict(plan.problem, plan.study.confirmation, log)
    assert decided is not None
    reference, winner = replace(decided.reference, meets_slos=False), replace(decided.winner, meets_slos=True)
    kept = replace(decided, kind="none", winner=winner, reference=reference, chosen=reference)
    assert "keep the default configuration" in sentence(kept, ())
    assert sentence(replace(kept, kind="better", chosen=winner), ()).startswith("The winner keeps the SLOs, which")


def test_an_unconfirmed_best_is_marked() -> None:
    plan = resolved()
    result = document(plan, searched(plan.problem), complete=False)
    assert not result["recommended"]["confirmed"]
    text = printed(result)
    assert "Not confirmed" in text
    assert "Pareto front" in text
    assert "· measured, D default, ● front" in text
    assert len(result["observations"]) == 12


def test_a_run_without_a_success_says_so() -> None:
    trial = Trial(0, DEFAULT, Origin.DEFAULT)
    log = Log().with_trial(trial).with_observation(Observation(trial, Failed(FailureKind.REJECTED, "no")))
    result = document(resolved(), log)
    assert result["recommended"] is None
    assert result["outcomes"]["failed"] == {"rejected": 1}
    assert "No configuration could be measured" in printed(result)


def test_an_empty_run_can_be_shown() -> None:
    assert "0 of 30 observations" in printed(document(resolved(), Log(), complete=False))


def test_a_flat_throughput_objective_is_warned_of() -> None:
    goal = problem((Objective("request_throughput", "maximize"),))
    log = Log()
    trial = Trial(0, DEFAULT, Origin.DEFAULT)
    outcome = truth(DEFAULT)
    assert not isinstance(outcome, Failed)
    metrics = {"request_throughput": 4.95, "offered_rate": 5.0}
    log = log.with_trial(trial).with_observation(Observation(trial, type(outcome)(metrics)))  # type: ignore[call-arg,arg-type]  # a Measured
    assert any("99%" in warning for warning in document(resolved(goal), log)["warnings"])


def test_the_script_is_valid_shell_and_gives_back_the_configuration(tmp_path: Path) -> None:
    _, result = confirmed_run()
    result["serving"]["env"] = {"PLAIN": "a b", "HF_TOKEN": {"from_env": "MY_TOKEN"}}
    result["study"] = "evil\n$(touch pwned)"
    script = serve_script(deployment_of(result, datetime(2026, 1, 2, tzinfo=UTC)))
    path = tmp_path / "serve.sh"
    path.write_text(script)
    subprocess.run(["sh", "-n", str(path)], check=True)
    *exports, command = [line for line in script.splitlines() if not line.startswith("#")]
    assert exports == ["export PLAIN='a b'", 'export HF_TOKEN="${MY_TOKEN:?}"']
    assert parse_flags(shlex.split(command)[1:]) == result["recommended"]["config"]
    assert "# date    2026-01-02" in script
    assert "worst of 4 runs" in script


def test_the_script_writes_the_files_that_its_command_reads(tmp_path: Path) -> None:
    _, result = confirmed_run()
    result["serving"] |= {"kind": "tensorrt-llm", "args": {"max_seq_len": 512, "print_iter_log": "$(touch pwned)"}}
    result["recommended"]["config"] = {"max_batch_size": 8, "kv_cache_config.enable_block_reuse": False}
    tmp_path.joinpath("trtllm-serve").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    tmp_path.joinpath("trtllm-serve").chmod(0o755)
    path = tmp_path / "serve.sh"
    path.write_text(serve_script(deployment_of(result, None)))
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    said = subprocess.run(["sh", str(path)], check=True, cwd=tmp_path, env=env, capture_output=True, text=True).stdout
    options = "llm_api_options.yaml"
    given = ["--max_seq_len", "512", "--max_batch_size", "8", "--extra_llm_api_options", options]
    assert said.split()[1:] == given
    assert yaml.safe_load(tmp_path.joinpath(options).read_text()) == {
        "kv_cache_config": {"enable_block_reuse": False},
        "print_iter_log": "$(touch pwned)",
    }
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize("hostile", ["[bold]x[/", "[/]", "\x1b[31m", "${HOME}"])
def test_markup_in_names_and_details_is_shown_not_obeyed(hostile: str) -> None:
    trial = Trial(0, DEFAULT, Origin.DEFAULT)
    log = Log().with_trial(trial)
    out = io.StringIO()
    lines = PlainLines(Console(file=out, width=300), resolved(), tuple)
    lines.update(log)
    lines.update(log.with_observation(Observation(trial, Failed(FailureKind.CRASHED, hostile))))
    assert plain(hostile) in out.getvalue()
    assert "\x1b" not in out.getvalue()


def test_what_takes_long_is_told_once_a_minute() -> None:
    out = io.StringIO()
    waiting = Activity(Trial(0, DEFAULT, Origin.DEFAULT), "waiting for resources", 0.0, "")
    since_s = iter([10.0, 61.0, 70.0, 121.0])
    lines = PlainLines(Console(file=out, width=300), resolved(), lambda: [replace(waiting, since_s=next(since_s))])
    for _ in range(4):
        lines.update(Log())
    assert out.getvalue().splitlines() == [f"trial   0  waiting for resources for {minute} min" for minute in (1, 2)]


def test_a_finalist_that_fails_when_measured_again_is_never_recommended() -> None:
    goal = problem((Objective("mean_tpot_ms"),))
    plan = resolved(goal)
    log = searched(goal)
    while trials := next_trials(goal, plan.study.confirmation, log, 1):
        outcome = truth(DEFAULT) if trials[0].config == DEFAULT else Failed(FailureKind.CRASHED, "boom")
        log = log.with_trial(trials[0]).with_observation(Observation(trials[0], outcome))
    result = document(plan, log)
    assert result["verdict"] is None
    assert result["recommended"]["config"] == dict(DEFAULT)
    assert "keep the default" in result["sentence"]


def test_progress_counts_down() -> None:
    plan = resolved(problem((Objective("mean_tpot_ms"),)))
    assert expected_trials(plan) == 30 + 2 * 8
    log = searched(plan.problem)
    assert remaining_s(plan, log) < remaining_s(plan, Log())


points = st.lists(st.tuples(st.floats(-1, 1e9), st.floats(0, 1e9), st.sampled_from("D●")), max_size=20)


@given(points)
def test_a_plot_keeps_its_frame_whatever_the_points(drawn: list[tuple[float, float, str]]) -> None:
    picture = scatter(drawn, "x", "y")
    if any(x > 0 and y > 0 for x, y, _ in drawn):
        assert all(len(line) <= 80 for line in picture.splitlines())
        assert any(mark in picture for mark in "D●")
    else:
        assert picture == ""
