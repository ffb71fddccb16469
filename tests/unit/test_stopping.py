"""What ends a run, and whether that is what the study has asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from scoot_ray.cli.studies import _exit_code
from scoot_ray.driver import Outcome
from scoot_ray.log import Log
from scoot_ray.search import Failed, FailureKind, Observation, Origin, Trial
from scoot_ray.stopping import Stop
from scoot_ray.study import Budget
from tests.fakes import study


def stop_at(deadline: datetime | None = None) -> Stop:
    return Stop(study(budget=Budget(deadline=deadline)))


def failing(times: int) -> Log:
    trial = Trial(0, {}, Origin.DEFAULT)
    log = Log().with_trial(trial)
    for _ in range(times):
        log = log.with_observation(Observation(trial, Failed(FailureKind.NODE_LOST, "gone")))
    return log


def test_nothing_ends_a_run_that_has_time_left() -> None:
    assert not stop_at().requested(Log())
    assert not stop_at(datetime.now(UTC) + timedelta(hours=1)).requested(Log())


def test_the_deadline_and_what_would_not_end_before_it_are_what_was_asked_for() -> None:
    passed = stop_at(datetime.now(UTC) - timedelta(seconds=1))
    assert passed.requested(Log())
    assert passed.in_time
    over = stop_at()
    over.over = lambda: "no evaluation of some 60 s would end before then"
    assert over.requested(Log())
    assert over.in_time


def test_a_signal_and_failures_of_ours_are_not() -> None:
    interrupted = stop_at(datetime.now(UTC) - timedelta(seconds=1))
    interrupted.signal = 15
    assert interrupted.requested(Log())
    assert interrupted.interrupted
    assert not interrupted.in_time
    failed = stop_at()
    failed.over = lambda: "nor this"
    assert failed.requested(failing(5))
    assert failed.reason is not None
    assert "5 attempts failed" in failed.reason
    assert not failed.in_time


@pytest.mark.parametrize(
    ("complete", "recommended", "interrupted", "in_time", "code"),
    [
        (True, {}, False, False, 0),
        (False, {}, False, True, 0),
        (False, None, False, True, 1),
        (False, {}, False, False, 1),
        (True, None, False, False, 1),
        (False, {}, True, False, 130),
    ],
)
def test_the_exit_code_says_whether_the_run_did_what_it_was_to(
    complete: bool, recommended: dict[str, object] | None, interrupted: bool, in_time: bool, code: int
) -> None:
    result = {"complete": complete, "recommended": recommended}
    assert _exit_code(Outcome(result, interrupted, None, in_time)) == code
