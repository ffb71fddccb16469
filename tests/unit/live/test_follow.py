"""status --watch: a run of another process, as far as its journal tells."""

from __future__ import annotations

import io
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from scoot_ray.cli import main
from scoot_ray.journal import Journal
from scoot_ray.log import Log
from scoot_ray.results.live import follow, plan_of
from scoot_ray.results.live.follow import Follower
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed, FailureKind, Observation, Origin, Trial
from tests.fakes import truth
from tests.runs import make_run
from tests.unit.live.scenes import TWO
from tests.unit.test_confirm import DEFAULT, searched

BEGAN = datetime(2026, 1, 2, tzinfo=UTC)
TRIAL = Trial(0, DEFAULT, Origin.DEFAULT)


def test_the_log_grows_as_the_journal_does(tmp_path: Path) -> None:
    now = [BEGAN]
    journal = Journal(tmp_path, clock=lambda: now[0])
    follower = Follower(Journal(tmp_path), clock=lambda: now[0])
    assert follower.catch_up()
    log = journal.submitted(journal.started(Log(), {}), TRIAL)
    now[0] += timedelta(seconds=70)
    assert follower.catch_up()
    (under_way,) = follower.activities
    assert (under_way.trial, under_way.phase, under_way.since_s) == (TRIAL, "under way", 70.0)
    assert follower.running_s == 70.0
    log = journal.observed(log, Observation(TRIAL, Failed(FailureKind.NODE_LOST, "gone")))
    assert follower.catch_up()
    assert follower.activities[0].phase == "tried again"
    assert follower.note == ""
    now[0] += timedelta(minutes=12)
    assert "nothing heard for 12 min" in follower.note
    journal.observed(log, Observation(TRIAL, truth(DEFAULT)))
    journal.stopped("complete", complete=True)
    assert not follower.catch_up()
    assert follower.activities == ()
    assert follower.log == Journal(tmp_path).replay()


def test_a_driver_that_goes_on_is_followed_too(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    log = journal.submitted(journal.started(Log(), {}), TRIAL)
    journal.stopped("interrupted by SIGTERM", complete=False)
    follower = Follower(Journal(tmp_path))
    assert not follower.catch_up()
    journal.started(log, {})
    assert follower.catch_up()
    assert follower.log.open == (TRIAL,)


def test_a_watcher_sees_the_run_until_its_end(tmp_path: Path) -> None:
    log = searched(TWO, 4)
    folder = make_run(tmp_path / "fake", log.observations[:2], stopped=False)
    writer = Journal(folder.journal)
    so_far = writer.replay()
    out = io.StringIO()
    watching = threading.Thread(
        target=follow, args=(folder, plan_of(folder), Console(file=out, width=200)), kwargs={"every_s": 0.01}
    )
    watching.start()
    for seen in log.observations[2:]:
        so_far = writer.observed(writer.submitted(so_far, seen.trial), seen)
    writer.stopped("complete", complete=True)
    watching.join(timeout=60)
    assert not watching.is_alive()
    assert "trial   3" in out.getvalue()


def test_neither_trace_nor_engine_need_be_here(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "fake", searched(TWO, 2).observations)
    (folder.path / "trace.jsonl").unlink()
    seen = plan_of(RunFolder(folder.path))
    assert seen.problem.space.default == DEFAULT
    assert [one.metric for one in seen.problem.objectives] == ["mean_ttft_ms", "mean_tpot_ms"]


def test_a_run_that_has_ended_is_shown_at_once(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "fake", searched(TWO, 3).observations)
    done = CliRunner().invoke(main, ["status", str(folder.path), "--watch"])
    assert done.exit_code == 0, done.output
    assert "Pareto front" in done.stdout
    assert f"scoot-ray export {folder.path}" in done.stdout
    assert f"scoot-ray verify {folder.path}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["runs/one", "--watch", "--json"], "--watch: goes on and on"),
        (["--watch"], "--watch: follows one run, and none are named"),
        (["runs/one", "runs/two", "--watch"], "--watch: follows one run, and 2 are named"),
        (["runs", "--watch"], "runs: not the folder of a run"),
    ],
)
def test_one_run_is_watched_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        make_run(tmp_path / "runs" / name, searched(TWO, 2).observations)
    done = CliRunner().invoke(main, ["status", *arguments])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
