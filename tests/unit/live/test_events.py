"""--events: what a machine reads while a study runs, and what happens when it stops reading."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from scoot_ray.cli import main
from scoot_ray.log import Log
from scoot_ray.results.live import EventLines, EventSink
from scoot_ray.search import Bounded, Failed, FailureKind, Measured, Observation, Origin, Trial
from scoot_ray.stopping import Stop
from tests.unit.live.scenes import TWO, Busy, plan
from tests.unit.test_confirm import DEFAULT, searched

SCHEMA = json.loads((Path(__file__).parents[2] / "schemas" / "events.json").read_text())


class Pipe:
    """The write end goes to the sink; what was written can be read."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.sink = EventSink(writer, "fake")

    def lines(self) -> list[dict[str, Any]]:
        text = os.read(self.reader, 65536).decode()
        assert text.endswith("\n")
        found = [json.loads(line) for line in text.splitlines()]
        for line in found:
            jsonschema.validate(line, SCHEMA)
        return found


def kinds(lines: list[dict[str, Any]]) -> list[tuple[str, int | None]]:
    return [(line["type"], line["trial"]) for line in lines]


def test_everything_that_happens_is_a_line() -> None:
    pipe, working = Pipe(), [Busy(Trial(0, DEFAULT, Origin.DEFAULT), "load")]
    trial = working[0].trial
    with EventLines(pipe.sink, plan(), "/runs/fake", lambda: tuple(working)) as events:
        working.clear()
        events.update(Log())
        assert kinds(pipe.lines()) == [("started", None)]
        log = Log().with_trial(trial)
        working[:] = [Busy(trial, "waiting for resources", where="")]
        events.update(log)
        working[:] = [Busy(trial, "load")]
        events.update(log)
        events.update(log)
        lines = pipe.lines()
        assert kinds(lines) == [("submitted", 0), ("phase", 0), ("phase", 0)]
        assert lines[0]["config"] == DEFAULT
        assert [line["phase"] for line in lines[1:]] == ["waiting for resources", "load"]
        lost = Observation(trial, Failed(FailureKind.NODE_LOST, "gone"), "gpu-7")
        log = log.with_observation(lost)
        events.update(log)
        lines = pipe.lines()
        assert kinds(lines) == [("failure", 0), ("phase", 0)] or kinds(lines) == [("failure", 0)]
        assert lines[0]["failed"] == "node_lost"
        working.clear()
        events.update(log.with_observation(Observation(trial, Measured({"mean_ttft_ms": 9.0}), "gpu-7", {"load_s": 3})))
        lines = pipe.lines()
        assert kinds(lines) == [("observed", 0)]
        assert lines[0]["metrics"] == {"mean_ttft_ms": 9.0}


@pytest.mark.parametrize(
    "outcome",
    [
        Measured({"mean_ttft_ms": 9.0, "mean_tpot_ms": 1.0}),
        Bounded({"mean_ttft_ms": (9.0, float("inf"))}, "it had lost"),
        Failed(FailureKind.OUT_OF_MEMORY, "no room\n\x1b[31m"),
    ],
)
def test_every_outcome_is_json(outcome: Measured | Bounded | Failed) -> None:
    pipe, trial = Pipe(), Trial(0, DEFAULT, Origin.DEFAULT)
    events = EventLines(pipe.sink, plan(), "/runs/fake", tuple)
    events.update(Log())
    events.update(Log((trial,), (Observation(trial, outcome),)))
    observed = pipe.lines()[2]
    assert observed["outcome"] in {"measured", "bounded", "failed"}


def test_what_was_there_is_counted_and_the_best_is_told_once() -> None:
    pipe, log = Pipe(), searched(TWO, 2)  # too few for models
    with EventLines(pipe.sink, plan(), "/runs/fake", tuple) as events:
        events.update(log)
    lines = pipe.lines()
    assert [line["type"] for line in lines] == ["started", "best"]
    assert lines[0]["budget"] == {"observations": 30, "spent": 2}
    assert lines[1]["front"][0] == lines[1]["trial"]
    assert lines[1]["confirmed"] is False
    assert set(lines[1]["against_default"]) == {"mean_ttft_ms", "mean_tpot_ms"}


def test_a_reader_that_has_gone_stops_the_run_and_breaks_nothing() -> None:
    pipe = Pipe()
    stop = Stop(plan().study, lambda: pipe.sink.closed)
    assert not stop.requested(Log())
    os.close(pipe.reader)
    assert stop.requested(Log())
    assert stop.interrupted
    assert stop.reason == "--events: nobody reads standard output any more"
    pipe.sink.write("started")
    assert pipe.sink.closed


def test_a_long_line_goes_through_a_short_pipe_whole() -> None:
    import threading

    pipe, config = Pipe(), {f"flag_{number}": "x" * 1000 for number in range(200)}
    read: list[bytes] = []

    def drain() -> None:
        while not b"".join(read).endswith(b"\n"):
            read.append(os.read(pipe.reader, 8192))

    reader = threading.Thread(target=drain)
    reader.start()
    pipe.sink.write("submitted", 0, origin="model", config=config)
    reader.join(timeout=30)
    assert json.loads(b"".join(read))["config"] == config


def test_no_value_of_the_environment_is_told() -> None:
    secret = plan().study.engine.model_copy(update={"env": {"HF_TOKEN": "hunter2"}, "args": {"api_key": "hunter2"}})
    pipe = Pipe()
    with EventLines(
        pipe.sink, replace(plan(), study=plan().study.model_copy(update={"engine": secret})), "r", tuple
    ) as e:
        e.update(searched(TWO, 2))
    assert "hunter2" not in json.dumps(pipe.lines())


@pytest.mark.parametrize("verb", ["tune", "resume"])
def test_events_and_json_exclude_each_other(verb: str) -> None:
    done = CliRunner().invoke(main, [verb, "anything", "--events", "--json"])
    assert done.exit_code == 2
    assert "--events" in done.stderr
    assert "--json" in done.stderr
    assert done.stdout == ""
