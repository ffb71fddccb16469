"""The driver: one study from its file to its result. It joins the pieces and owns the run's folder."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from types import FrameType
from typing import Any

import yaml
from ray.exceptions import RayError
from rich.console import Console

from scoot_ray.cluster.optimizer import OptimizerError, RemoteOptimizer
from scoot_ray.cluster.placement import check_can_hold, check_engine_present, node_shapes
from scoot_ray.cluster.pool import RayPool
from scoot_ray.cluster.session import ray_session
from scoot_ray.cluster.simulated import SimulatedPool
from scoot_ray.cluster.task import Task
from scoot_ray.environment import environment_of
from scoot_ray.history import pasts_to_json
from scoot_ray.journal import Journal, JournalError
from scoot_ray.log import Log
from scoot_ray.problem import ending_rule, goodput_limits, rate_slos
from scoot_ray.resolve import Resolved
from scoot_ray.results.deployment import deployment_of
from scoot_ray.results.export.shell import serve_script
from scoot_ray.results.live import LiveDisplay, PlainLines
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import KEPT, STUDY, RunFolder, folder_of
from scoot_ray.search import Failed
from scoot_ray.simulation import Simulation
from scoot_ray.storage import PlaceError
from scoot_ray.study import Study
from scoot_ray.tune import RetryPolicy, tune


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
    """Make the folder of a new run. What is in it is settled once the study is held: see ``run``.

    Raises:
        RunError: the study has been run already, or its output cannot be written.
    """
    output = resolved.study.output
    if "runtime_resources" in PurePath(output).parts:
        raise RunError(f"output: {output}: is in the job's own folder, which Ray removes; give a full path")
    try:
        folder = folder_of(output, resolved.study.name)
        _refuse_begun(folder)
        if not folder.is_run:  # else of a start that failed, or of one at this moment
            _write(resolved, folder)
    except PlaceError as error:
        raise RunError(f"output: {error}") from error
    except OSError as error:
        raise RunError(f"output: {output}: cannot be written: {_line(error)}") from error
    return folder


def _refuse_begun(folder: RunFolder) -> None:
    if folder.has_events:
        raise RunError(
            f"{folder}: this study has been run already; 'scoot-ray resume {shlex.quote(str(folder))}' goes on with "
            "it, or choose another name or output"
        )


def _settle(resolved: Resolved, folder: RunFolder) -> None:
    """Write what a new run goes by, now that no other driver can."""
    _refuse_begun(folder)
    _write(resolved, folder)


def _write(resolved: Resolved, folder: RunFolder) -> None:
    document = resolved.study.model_dump(mode="json", exclude_none=True)
    folder.write_text(STUDY, yaml.safe_dump(document, sort_keys=False))
    if resolved.pasts:
        folder.write_json(KEPT, pasts_to_json(resolved.pasts))


def _line(error: Exception) -> str:
    """The first line of what went wrong."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return next(iter(reason.strip().splitlines()), type(error).__name__)


def run(
    resolved: Resolved,
    folder: RunFolder,
    console: Console,
    ray_address: str | None,
    dashboard: bool = False,
    new: bool = False,
) -> Outcome:
    """Tune, confirm, and write the result; whatever the folder's journal holds already is taken up.

    Raises:
        RunError: another driver holds the study, a ``new`` one has begun meanwhile, the storage failed, the journal is
            unreadable, or the optimizer gave up.
        ClusterError: Ray cannot be reached or cannot hold an evaluation.
    """
    journal, stop = Journal(folder.journal), Stop(resolved.study)
    try:
        with journal.exclusive(lambda line: console.print(line, markup=False)):
            if new:
                _settle(resolved, folder)
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
        again = f"'scoot-ray resume {shlex.quote(str(folder))}'"
        raise RunError(f"{line}; {again} goes on once this is mended") from error


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
    with _display(resolved, pool, console) as watcher:
        watcher.update(log)
        try:
            return tune(resolved.study, log, optimizer, pool, journal, stop, watcher)
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
