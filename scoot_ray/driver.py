"""The driver: one study from its file to its result. It joins the pieces and owns the run's folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from ray.exceptions import RayError
from rich.console import Console

from scoot_ray.cluster.optimizer import OptimizerError, RemoteOptimizer
from scoot_ray.cluster.placement import check_can_hold, check_engine_present, node_shapes
from scoot_ray.cluster.pool import RayPool
from scoot_ray.cluster.readings import Slots
from scoot_ray.cluster.session import ray_session
from scoot_ray.cluster.simulated import SimulatedPool
from scoot_ray.cluster.task import Task
from scoot_ray.cluster.telemetry import StudyGauges
from scoot_ray.environment import environment_of
from scoot_ray.history import KEPT, pasts_to_json
from scoot_ray.journal import Journal, JournalError
from scoot_ray.log import Log
from scoot_ray.problem import ending_rule, goodput_limits, rate_slos
from scoot_ray.resolve import Resolved
from scoot_ray.results.deployment import deployment_of
from scoot_ray.results.export.shell import serve_script
from scoot_ray.results.live import LiveDisplay, PlainLines
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Failed
from scoot_ray.simulation import Simulation
from scoot_ray.study import Study
from scoot_ray.tune import RetryPolicy, Watchers, tune


class RunError(Exception):
    """The run cannot be started, or had to end; the message is one line for the user."""


class Stop:
    """Ends the loop on SIGINT, SIGTERM, the deadline, or too many failures of ours; ``reason`` says which."""

    def __init__(self, study: Study) -> None:
        self._deadline, self._retries = study.budget.deadline, RetryPolicy()
        self.signal: int | None = None
        self.reason: str | None = None

    def requested(self, log: Log) -> bool:
        """Whether the loop should end now."""
        if self.signal is not None:
            self.reason = f"interrupted by {signal.Signals(self.signal).name}"
        elif self._deadline is not None and datetime.now(UTC) >= self._deadline.astimezone(UTC):
            self.reason = f"budget.deadline {self._deadline.isoformat()} has passed"
        else:
            self.reason = self._retries.exhausted(log)
        return self.reason is not None

    @property
    def interrupted(self) -> bool:
        """Whether a signal asked for the end."""
        return self.signal is not None

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note SIGINT and SIGTERM instead of dying of them; a second SIGINT is not waited for."""
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.signal == signal.SIGINT == number:
            raise KeyboardInterrupt
        self.signal = number


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the document of ``result.json``, and whether a signal cut it short."""

    result: Mapping[str, Any]
    interrupted: bool


def create(resolved: Resolved) -> RunFolder:
    """Make the folder of a new run.

    Raises:
        RunError: the study has been run already.
    """
    folder = RunFolder(Path(resolved.study.output) / resolved.study.name)
    if folder.has_events:
        raise RunError(
            f"{folder.path}: this study has been run already; 'scoot-ray resume {folder.path}' goes on with it, or "
            "choose another name or output"
        )
    if "runtime_resources" in folder.path.parts:
        raise RunError(
            f"output: {resolved.study.output}: is in the job's own folder, which Ray removes; give a full path"
        )
    document = resolved.study.model_dump(mode="json", exclude_none=True)
    try:
        folder.write_text("study.yaml", yaml.safe_dump(document, sort_keys=False))
        if resolved.pasts:
            folder.write_json(KEPT, pasts_to_json(resolved.pasts))
    except OSError as error:
        raise RunError(f"output: {folder.path}: cannot be written: {error.strerror}") from error
    return folder


def run(
    resolved: Resolved, folder: RunFolder, console: Console, ray_address: str | None, dashboard: bool = False
) -> Outcome:
    """Tune, confirm, and write the result; whatever the folder's journal holds already is taken up.

    Raises:
        RunError: another driver holds the study, the journal is unreadable, or the optimizer gave up.
        ClusterError: Ray cannot be reached or cannot hold an evaluation.
    """
    journal, stop = Journal(folder.journal), Stop(resolved.study)
    try:
        with journal.exclusive():
            log = _take_up(resolved, journal, folder)
            # Ray sets signal handlers of its own when it starts, so ours come after.
            with ray_session(ray_address, dashboard), stop.listening():
                check_engine_present(resolved.study.engine, node_shapes())
                if not check_can_hold(resolved.study.resources, node_shapes()):
                    console.print("no present node can hold an evaluation; waiting for the autoscaler to add one")
                environment = environment_of(resolved)
                folder.write_json("environment.json", environment)
                log = _loop(resolved, folder, journal, journal.started(log, environment), stop, console)
            return _finish(resolved, folder, journal, log, stop)
    except (JournalError, RayError, OSError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise RunError(f"{line}; 'scoot-ray resume {folder.path}' goes on once this is mended") from error


def _take_up(resolved: Resolved, journal: Journal, folder: RunFolder) -> Log:
    """Replay the journal, and add what was measured and saved but not yet written there."""
    log = journal.replay()
    measured_on = next((event.data["trace_sha256"] for event in journal.events() if event.type == "started"), None)
    if measured_on not in {None, resolved.trace.sha256}:
        raise RunError(f"workload.trace: {resolved.trace.source}: is not the file that this run has measured so far")
    for observation in list(folder.unclaimed(log.open)):
        outcome = observation.outcome
        if not isinstance(outcome, Failed) or (outcome.kind.of_configuration and not outcome.ambiguous):
            log = journal.observed(log, observation)
    return log


def _loop(resolved: Resolved, folder: RunFolder, journal: Journal, log: Log, stop: Stop, console: Console) -> Log:
    pool = _pool(resolved, folder)
    optimizer = RemoteOptimizer(resolved, cancelled=lambda: stop.interrupted)

    def slots() -> Slots:
        return Slots(pool.activities, resolved.study.parallelism, optimizer.thinking)

    with _display(resolved, pool, console) as display, StudyGauges(resolved, folder.path, slots) as gauges:
        watchers = Watchers((display, gauges))
        watchers.update(log)
        try:
            return tune(resolved.study, log, optimizer, pool, journal, stop, watchers)
        except OptimizerError as error:
            stop.reason = str(error)
            return journal.replay()


def _pool(resolved: Resolved, folder: RunFolder) -> RayPool | SimulatedPool:
    limits, slos = goodput_limits(resolved.problem), rate_slos(resolved.problem)
    rule = ending_rule(resolved.study, resolved.problem)
    if resolved.study.engine.in_virtual_time:
        return SimulatedPool(Simulation(resolved.study, resolved.trace.requests, limits, slos, rule), folder)
    env = resolved.study.engine.environment(os.environ)
    return RayPool(Task(resolved.study, resolved.trace, env, resolved.switches, limits, slos, rule), folder)


def _display(resolved: Resolved, pool: RayPool | SimulatedPool, console: Console) -> LiveDisplay | PlainLines:
    if console.is_terminal:
        return LiveDisplay(console, resolved, lambda: pool.activities)
    return PlainLines(console, resolved, lambda: pool.activities)


def _finish(resolved: Resolved, folder: RunFolder, journal: Journal, log: Log, stop: Stop) -> Outcome:
    complete, reason = stop.reason is None, stop.reason or "complete"
    result = summarise(resolved, log, complete, reason, folder.circumstances, folder.circumstances_of)
    folder.write_json("result.json", result)
    if result["recommended"] is not None:
        deployment = deployment_of(result, datetime.now(UTC))
        folder.write_text("best/serve.sh", serve_script(deployment), executable=True)
    journal.stopped(reason, complete)
    return Outcome(result, stop.interrupted)
