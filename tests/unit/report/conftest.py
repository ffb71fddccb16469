"""Runs to report on: the same known truth, in every state a run can be in."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scoot_ray.log import Log
from scoot_ray.resolve import resolve
from scoot_ray.results.report import Report, read_run, report_of
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Observation, Origin
from scoot_ray.study import Confirmation, read_study
from tests.fakes import problem
from tests.runs import TIMINGS, make_run
from tests.unit.test_confirm import confirm_all, searched

WRITTEN = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)


def reported(folder: RunFolder, *, logs: bool = True) -> Report:
    """The report of a folder, as of a fixed day."""
    return report_of(read_run(folder, resolve(read_study(folder.study), folder.study), WRITTEN), logs=logs)


def timed(observations: Sequence[Observation]) -> list[Observation]:
    """The same, on a host, with timings."""
    return [replace(seen, where="gpu-7", timings=TIMINGS) for seen in observations]


def confirmed(count: int = 12, noise: float = 0.02, gain: float = 1.0) -> Log:
    """A search and its confirmation of two finalists."""
    goal = problem()
    settings = Confirmation(finalists=2, arrival_orders=3)
    return confirm_all(goal, settings, searched(goal, count), random.Random(5), noise, gain)


def records(base_ms: float) -> str:
    """Forty requests, each a little slower than the one before."""
    lines = []
    for number in range(40):
        first_s = 100.0 + (base_ms + number) / 1e3
        lines.append(
            {"i": number, "sched": 100.0, "sent": 100.0, "ev": [first_s, first_s + 0.02, first_s + 0.04],
             "done": first_s + 0.04, "status": 200, "error": None,
             "usage": {"prompt_tokens": 8, "completion_tokens": 3}}
        )  # fmt: skip
    return "".join(json.dumps(line) + "\n" for line in lines)


@pytest.fixture(scope="session")
def whole_folder(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A complete run with a confirmed gain, failures, and records of every request."""
    log = confirmed()
    files = {
        seen.trial.id: {"requests-1.jsonl": records(50.0 if seen.trial.config["max_num_seqs"] == 64 else 20.0)}
        for seen in log.confirmed
    }
    changes = {"confirmation": {"finalists": 2, "arrival_orders": 3}, "slos": ["tpot:mean<60ms"]}
    return make_run(tmp_path_factory.mktemp("runs") / "fake", timed(log.observations), files=files, changes=changes)


@pytest.fixture(scope="session")
def whole(whole_folder: RunFolder) -> Report:
    """Its report."""
    return reported(whole_folder)


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[..., RunFolder]:
    """Make a run from observations."""

    def make(observations: Sequence[Observation], **how: object) -> RunFolder:
        return make_run(tmp_path / "fake", observations, **how)  # type: ignore[arg-type]  # passed on as it is

    return make


def only_search(log: Log) -> list[Observation]:
    """What the search alone has seen."""
    return [seen for seen in log.observations if seen.trial.origin is not Origin.CONFIRMATION]
