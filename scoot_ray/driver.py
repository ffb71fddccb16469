"""The driver: one study from its file to its result. It joins the pieces and owns the run's folder."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import yaml
from ray.exceptions import RayError
from rich.console import Console

from scoot_ray.cluster.entrance import Entrance
from scoot_ray.cluster.optimizer import OptimizerError, RemoteOptimizer
from scoot_ray.cluster.placement import check_can_hold, check_engine_present, node_shapes, of_one_accelerator
from scoot_ray.cluster.pool import RayPool
from scoot_ray.cluster.readings import Slots
from scoot_ray.cluster.session import ray_session
from scoot_ray.cluster.simulated import SimulatedPool
from scoot_ray.cluster.task import Task
from scoot_ray.cluster.telemetry import StudyGauges
from scoot_ray.cluster.view import autoscaler_present
from scoot_ray.environment import environment_of
from scoot_ray.history import pasts_to_json
from scoot_ray.journal import Journal, JournalError
from scoot_ray.log import Log
from scoot_ray.problem import ending_rule, goodput_limits, rate_slos
from scoot_ray.resolve import Resolved
from scoot_ray.results.deployment import deployment_of
from scoot_ray.results.export.shell import serve_script
from scoot_ray.results.live import EventLines, EventSink, LiveDisplay, PlainLines
from scoot_ray.results.notices import Notices
from scoot_ray.results.report import html_report, read_run, report_of
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import KEPT, STUDY, RunFolder, folder_of
from scoot_ray.search import Failed
from scoot_ray.simulation import Simulation
from scoot_ray.stopping import Stop
from scoot_ray.storage import PlaceError, absolute
from scoot_ray.study import Study
from scoot_ray.tune import Watcher, Watchers, tune


class RunError(Exception):
    """The run cannot be started, or had to end; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended: the document of ``result.json``, whether it was cut short from outside, and its report.

    ``in_time``: it ended at its deadline, as the study asks.
    """

    result: Mapping[str, Any]
    interrupted: bool
    report: str | None
    in_time: bool = False


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
    events: EventSink | None = None,
    new: bool = False,
) -> Outcome:
    """Tune, confirm, and write the result; whatever the folder's journal holds already is taken up.

    What happens is told on ``console``, and to ``events`` where there are any.

    Raises:
        RunError: another driver holds the study, a ``new`` one has begun meanwhile, the storage failed, the journal is
            unreadable, or the optimizer gave up.
        ClusterError: Ray cannot be reached or cannot hold an evaluation.
    """
    journal = Journal(folder.journal)
    stop = Stop(resolved.study, (lambda: events.closed) if events is not None else (lambda: False))
    try:
        with journal.exclusive(lambda line: console.print(line, markup=False)):
            if new:
                _settle(resolved, folder)
            log = _take_up(resolved, journal, folder)
            # Ray sets signal handlers of its own when it starts, so ours come after.
            with ray_session(ray_address, dashboard), stop.listening():
                check_cluster(resolved.study, console)
                environment = environment_of(resolved)
                folder.write_json("environment.json", environment)
                log = _loop(resolved, folder, journal, journal.started(log, environment), stop, console, events)
            return _finish(resolved, folder, journal, log, stop, console)
    except (JournalError, RayError, OSError) as error:
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        again = f"'scoot-ray resume {shlex.quote(str(folder))}'"
        raise RunError(f"{line}; {again} goes on once this is mended") from error


def check_cluster(study: Study, console: Console) -> None:
    """See that the session's cluster has the engine and can hold an evaluation.

    Raises:
        ClusterError: it has not, or never can.
    """
    check_engine_present(study.engine, node_shapes())
    if not check_can_hold(study.resources, node_shapes(), autoscaler_present):
        console.print("no present node can hold an evaluation; waiting for the autoscaler to add one")


def check_trace(resolved: Resolved, journal: Journal) -> None:
    """See that the study's trace is the one that its run has measured with.

    Raises:
        RunError: it is another.
    """
    measured_on = next((event.data["trace_sha256"] for event in journal.events() if event.type == "started"), None)
    if measured_on not in {None, resolved.trace.sha256}:
        raise RunError(f"workload.trace: {resolved.trace.source}: is not the file that this run has measured so far")


def _take_up(resolved: Resolved, journal: Journal, folder: RunFolder) -> Log:
    """Replay the journal, and add what was measured and saved but not yet written there."""
    log = journal.replay()
    check_trace(resolved, journal)
    for observation in list(folder.unclaimed(log.open)):
        outcome = observation.outcome
        if not isinstance(outcome, Failed) or (outcome.kind.of_configuration and not outcome.ambiguous):
            log = journal.observed(log, observation)
    return log


def _loop(
    resolved: Resolved,
    folder: RunFolder,
    journal: Journal,
    log: Log,
    stop: Stop,
    console: Console,
    events: EventSink | None,
) -> Log:
    pool = pool_of(resolved, folder, log)
    stop.over = lambda: pool.over
    optimizer = RemoteOptimizer(resolved, cancelled=lambda: stop.interrupted)

    def slots() -> Slots:
        return Slots(pool.activities, resolved.study.parallelism.max, optimizer.thinking)

    with (
        _watching(resolved, folder, pool, console, events) as display,
        StudyGauges(resolved, str(folder), slots) as gauges,
    ):
        watchers = Watchers((display, gauges))
        watchers.update(log)
        try:
            return tune(resolved.study, log, optimizer, pool, journal, stop, watchers)
        except OptimizerError as error:
            stop.reason = str(error)
            return journal.replay()


def pool_of(resolved: Resolved, folder: RunFolder, log: Log) -> RayPool | SimulatedPool:
    """What evaluates the study's trials in the session's cluster, and keeps their files in ``folder``."""
    limits, slos = goodput_limits(resolved.problem), rate_slos(resolved.problem)
    rule = ending_rule(resolved.study, resolved.problem)
    entrance = Entrance(resolved.study, log.observations)
    if resolved.study.engine.in_virtual_time:
        return SimulatedPool(Simulation(resolved.study, resolved.trace.requests, limits, slos, rule), folder, entrance)
    env = resolved.study.engine.environment(os.environ)
    task = Task(resolved.study, resolved.trace, env, resolved.switches, limits, slos, rule)
    resources = of_one_accelerator(resolved.study.resources, node_shapes())
    return RayPool(task, resources, folder, entrance)


@contextmanager
def _watching(
    resolved: Resolved, folder: RunFolder, pool: RayPool | SimulatedPool, console: Console, events: EventSink | None
) -> Iterator[Watcher]:
    """What shows the run. The reader of the events may have the terminal, so that no full screen goes with them."""
    lines = Notices(PlainLines(console, resolved, lambda: pool.activities), console, lambda: pool.notices)
    if events is not None:
        with EventLines(events, resolved, absolute(str(folder)), lambda: pool.activities) as told:
            yield Watchers((lines, told))
    elif console.is_terminal and not console.is_dumb_terminal:
        with LiveDisplay(console, resolved, lambda: pool.activities, note=lambda: "; ".join(pool.notices)) as display:
            yield display
    else:
        yield lines


def _finish(resolved: Resolved, folder: RunFolder, journal: Journal, log: Log, stop: Stop, console: Console) -> Outcome:
    complete, reason = stop.reason is None, stop.reason or "complete"
    result = summarise(resolved, log, complete, reason, folder.circumstances, folder.circumstances_of)
    folder.write_json("result.json", result)
    if result["recommended"] is not None:
        deployment = deployment_of(result, datetime.now(UTC))
        folder.write_text("best/serve.sh", serve_script(deployment), executable=True)
    journal.stopped(reason, complete)
    # Whoever interrupts is in haste, and may kill next.
    report = None if stop.interrupted else _write_report(resolved, folder, console)
    return Outcome(result, stop.interrupted, report, stop.in_time)


def _write_report(resolved: Resolved, folder: RunFolder, console: Console) -> str | None:
    """Write the report; None where it could not be made, which takes nothing from the result."""
    try:
        folder.write_text("report.html", html_report(report_of(read_run(folder, resolved))))
    except Exception as error:  # whatever it is: the run has its result
        again = f"'scoot-ray report {shlex.quote(str(folder))}'"
        console.print(f"report: {_line(error)}; {again} tries again", style="yellow", markup=False)
        return None
    report = folder.named("report.html")
    console.print(f"report: {report}", markup=False, soft_wrap=True)
    return report
