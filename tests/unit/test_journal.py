"""The journal: what is read back is what was written; what is not ours is left alone; one writer at a time."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoot_ray.journal import Journal, JournalError
from scoot_ray.log import Log
from scoot_ray.search import Bounded, Failed, FailureKind, Measured, Observation, Origin, Outcome, Trial

values = (
    st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
metrics = st.dictionaries(st.sampled_from(["mean_ttft_ms", "error_rate"]), st.floats(0, 1e6))
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(Measured, metrics, st.lists(metrics, max_size=3).map(tuple)),
    st.builds(Bounded, st.just({"mean_ttft_ms": (1.0, inf), "a": (-inf, 2.5)}), st.text(max_size=20)),
    st.builds(Failed, st.sampled_from(FailureKind), st.text(max_size=40), st.booleans()),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=8), values, max_size=4), st.lists(outcomes, max_size=4))
def test_what_is_read_back_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, config: dict[str, bool | int | float | str], happened: list[Outcome]
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    log = journal.started(journal.replay(), {"python": "3.11"})
    trial = Trial(0, config, Origin.INITIAL, (0, 2), ((812.5, 31.0), (240.0, 60.0)))
    log = journal.submitted(log, trial)
    for outcome in happened:
        log = journal.observed(log, Observation(trial, outcome, "host", {"load_s": 1.5}))
    journal.stopped("complete", complete=True)
    assert Journal(folder).replay() == log
    restored = Journal(folder).replay().trials[0].config
    assert [(type(value), value) for value in restored.values()] == [(type(value), value) for value in config.values()]


def one_trial(folder: Path) -> tuple[Journal, Log]:
    journal = Journal(folder)
    return journal, journal.submitted(journal.replay(), Trial(0, {"x": 1}, Origin.DEFAULT))


def test_a_duplicate_and_a_foreign_file_change_nothing(tmp_path: Path) -> None:
    _, log = one_trial(tmp_path)
    (tmp_path / "00000007.json").write_bytes((tmp_path / "00000000.json").read_bytes())
    (tmp_path / "notes.txt").write_text("by hand")
    (tmp_path / ".00000001.json.4711").write_text('{"v": 1, "se')
    assert Journal(tmp_path).replay() == log


def test_an_event_of_a_newer_version_and_a_foreign_one_are_refused_by_name(tmp_path: Path) -> None:
    one_trial(tmp_path)
    document = json.loads((tmp_path / "00000000.json").read_text())
    (tmp_path / "00000001.json").write_text(json.dumps({**document, "v": 2, "id": "x"}))
    with pytest.raises(JournalError, match=r"00000001\.json: written by a newer"):
        Journal(tmp_path).replay()
    (tmp_path / "00000001.json").write_text('{"metrics": [1, 2]}')
    with pytest.raises(JournalError, match=r"00000001\.json: not an event"):
        Journal(tmp_path).replay()


@pytest.mark.parametrize("torn", [b"", b'{"v": 1, "seq"', b"\0" * 64])
def test_a_torn_event_at_the_end_counts_for_nothing_and_the_next_driver_goes_on_after_it(
    tmp_path: Path, torn: bytes
) -> None:
    _, log = one_trial(tmp_path)
    (tmp_path / "00000001.json").write_bytes(torn)
    journal = Journal(tmp_path)
    assert journal.replay() == log
    log = journal.started(log, {})
    log = journal.observed(log, Observation(log.trials[0], Measured({"mean_ttft_ms": 1.0})))
    assert (tmp_path / "00000001.json").read_bytes() == torn
    assert Journal(tmp_path).replay() == log


def test_a_torn_event_that_others_rest_on_and_a_missing_one_are_refused_by_name(tmp_path: Path) -> None:
    journal, log = one_trial(tmp_path)
    log = journal.observed(log, Observation(log.trials[0], Measured({"mean_ttft_ms": 1.0})))
    journal.submitted(log, Trial(1, {"x": 2}, Origin.INITIAL))
    (tmp_path / "00000001.json").write_text('{"v": 1, "seq"')
    with pytest.raises(JournalError, match=r"00000001\.json: torn"):
        Journal(tmp_path).replay()
    (tmp_path / "00000001.json").unlink()
    with pytest.raises(JournalError, match=r"00000001\.json: missing"):
        Journal(tmp_path).replay()


def test_two_drivers_on_one_study_are_refused(tmp_path: Path) -> None:
    with (
        Journal(tmp_path).exclusive(),
        pytest.raises(JournalError, match="another driver"),
        Journal(tmp_path).exclusive(),
    ):
        pass
    with Journal(tmp_path).exclusive():
        pass


def test_a_second_writer_that_slipped_past_the_lock_is_found_at_its_first_event(tmp_path: Path) -> None:
    first, log = one_trial(tmp_path)
    second = Journal(tmp_path)
    second.replay()
    first.submitted(log, Trial(1, {"x": 2}, Origin.INITIAL))
    with pytest.raises(JournalError, match="another driver"):
        second.submitted(log, Trial(1, {"x": 3}, Origin.INITIAL))


def test_nothing_that_json_cannot_say_gets_in(tmp_path: Path) -> None:
    journal, log = one_trial(tmp_path)
    with pytest.raises(ValueError, match="not JSON compliant"):
        journal.observed(log, Observation(log.trials[0], Measured({"mean_ttft_ms": float("nan")})))
    assert Journal(tmp_path).replay() == log


@pytest.mark.parametrize(
    ("said", "kind"), [({"of_configuration": True}, FailureKind.CRASHED), ({}, FailureKind.INTERNAL)]
)
def test_a_kind_that_only_a_newer_version_knows_still_says_whose_fault_it_was(
    tmp_path: Path, said: dict[str, bool], kind: FailureKind
) -> None:
    journal, log = one_trial(tmp_path)
    journal.observed(log, Observation(log.trials[0], Failed(FailureKind.REJECTED, "too hot")))
    path = tmp_path / "00000001.json"
    event = json.loads(path.read_bytes())
    event["data"]["outcome"] = {"failed": "melted", "detail": "too hot", **said}
    path.write_text(json.dumps(event))
    read = Journal(tmp_path).replay()
    (seen,) = read.observations or read.setbacks
    assert seen.outcome == Failed(kind, "melted: too hot")


def test_failures_written_before_there_were_ambiguous_ones_are_certain(tmp_path: Path) -> None:
    journal, log = one_trial(tmp_path)
    journal.observed(log, Observation(log.trials[0], Failed(FailureKind.CRASHED, "boom")))
    path = tmp_path / "00000001.json"
    event = json.loads(path.read_bytes())
    event["data"]["outcome"] = {"failed": "crashed", "detail": "boom"}
    path.write_text(json.dumps(event))
    assert Journal(tmp_path).replay().observations[0].outcome == Failed(FailureKind.CRASHED, "boom")


def test_events_are_read_on_from_a_number_without_what_came_twice(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.started(Log(), {})
    journal.stopped("complete", complete=True)
    copy = json.loads((tmp_path / "00000000.json").read_bytes()) | {"seq": 2}
    (tmp_path / "00000002.json").write_text(json.dumps(copy))
    assert [event.seq for event in Journal(tmp_path).events(since=1)] == [1]
