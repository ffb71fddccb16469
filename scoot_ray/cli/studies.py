"""Verbs of a study: validate, tune, resume, status."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

import click

from scoot_ray.cli.console import BAD_INPUT, DONE, FAILED, INTERRUPTED, console, fail, first_line, refuse

if TYPE_CHECKING:
    from scoot_ray.driver import Outcome
    from scoot_ray.resolve import Resolved
    from scoot_ray.results.live import EventSink
    from scoot_ray.run_folder import RunFolder

Form: TypeAlias = Literal["text", "json", "events"]
_Command = TypeVar("_Command", bound=Callable[..., Any])


def _running_options(command: _Command) -> _Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print result.json on standard output, and nothing else."),
        click.option(
            "--events", is_flag=True, help="Print what happens as JSON lines on standard output, and nothing else."
        ),
        click.option(
            "--ray-address",
            help="Cluster to join, or local. [default: RAY_ADDRESS, one running here, a new one]",
        ),
        click.option("--dashboard", is_flag=True, help="With --ray-address local: start the Ray dashboard too."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the resolved study and the estimate as one JSON document.")
def validate(study: Path, as_json: bool) -> None:
    """Check STUDY in full, print it as resolved, and estimate what it will cost. Nothing is started."""
    from scoot_ray.results.plan import plan_document, print_plan  # noqa: PLC0415 - --help stays quick

    resolved = resolve_or_refuse(study)
    if as_json:
        click.echo(json.dumps(plan_document(resolved), indent=2))
    else:
        print_plan(console(sys.stdout), resolved)


@click.command()
@click.argument("study", type=click.Path(path_type=Path))
@_running_options
def tune(study: Path, as_json: bool, events: bool, ray_address: str | None, dashboard: bool) -> None:
    """Run STUDY: tune, confirm, and print the configuration to use."""
    from scoot_ray.driver import RunError, create  # noqa: PLC0415 - --help stays quick

    form = _form(as_json, events)
    resolved = startable(study)
    try:
        folder = create(resolved)
    except RunError as error:
        refuse(str(error))
    _run(resolved, folder, form, ray_address, dashboard, new=True)


@click.command()
@click.argument("run")
@click.option("--trace", help="Where the study's trace is on this machine. [default: where it was]")
@_running_options
def resume(run: str, trace: str | None, as_json: bool, events: bool, ray_address: str | None, dashboard: bool) -> None:
    """Go on with RUN, the folder (or URI) of a run that was stopped. Nothing measured is measured again."""
    form = _form(as_json, events)
    folder = run_folder(run)
    _run(startable(folder, trace), folder, form, ray_address, dashboard)


@click.command()
@click.argument("runs", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--watch", is_flag=True, help="Show one run as it goes on, from its journal, until its driver stops.")
def status(runs: tuple[str, ...], as_json: bool, watch: bool) -> None:
    """Show how far a run has come and what it has found. Works while it runs and afterwards.

    Of several RUNS, or a folder of runs, one line each; without any, of those in runs/.
    """
    from scoot_ray.cli.overview import list_runs, only_run  # noqa: PLC0415 - --help stays quick

    if watch:
        _watch(_watched(runs, as_json))
    elif (one := only_run(runs)) is not None:
        _show(one, as_json)
    else:
        list_runs(runs, as_json)


def _show(folder: RunFolder, as_json: bool) -> None:
    from scoot_ray.cli.runs import result_or_refuse  # noqa: PLC0415 - which imports from here
    from scoot_ray.results.tables import print_result  # noqa: PLC0415 - --help stays quick

    document = result_or_refuse(folder).result
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_result(console(sys.stdout), document, str(folder))


def _watched(runs: tuple[str, ...], as_json: bool) -> RunFolder:
    """The one run to follow."""
    if as_json:
        refuse("--watch: goes on and on, --json prints once; choose one of them")
    if len(runs) != 1:
        refuse(f"--watch: follows one run, and {len(runs) or 'none'} are named; name the folder of one")
    return run_folder(runs[0])


def _watch(folder: RunFolder) -> None:
    from scoot_ray.results.live import follow, plan_of  # noqa: PLC0415 - --help stays quick
    from scoot_ray.results.reading import read_run  # noqa: PLC0415 - the same
    from scoot_ray.results.tables import print_result  # noqa: PLC0415 - the same

    out = console(sys.stdout)
    try:
        with readable(folder):
            follow(folder, plan_of(folder), out)
            print_result(out, read_run(folder).result, str(folder))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def resolve_or_refuse(source: Path | RunFolder, trace: str | None = None) -> Resolved:
    """The study of a file or a run, checked against the world; what is wrong with it ends the command.

    ``trace`` stands in for the study's own.
    """
    from scoot_ray.resolve import resolve  # noqa: PLC0415 - --help stays quick
    from scoot_ray.study import StudyError, read_study  # noqa: PLC0415 - the same

    try:
        path = source if isinstance(source, Path) else source.study
        study = read_study(path)
        if trace is not None:
            study = study.model_copy(update={"workload": study.workload.model_copy(update={"trace": trace})})
        return resolve(study, path)
    except StudyError as error:
        refuse(str(error) if isinstance(source, Path) else in_words_of(source, error))
    except OSError as error:
        refuse(f"{source}: cannot be read: {first_line(error)}")


def in_words_of(folder: RunFolder, error: Exception) -> str:
    """What is wrong with a run's study, named as the user knows it and not by the copy that was read."""
    return str(error).replace(str(folder.study), folder.named(folder.study.name))


def recall_or_refuse(folder: RunFolder) -> Resolved:
    """The study of a run, as its folder remembers it; what is wrong with it ends the command."""
    from scoot_ray.recall import recall  # noqa: PLC0415 - --help stays quick

    with readable(folder):
        return recall(folder)


def startable(source: Path | RunFolder, trace: str | None = None) -> Resolved:
    """The same, with every secret at hand that the engine will need."""
    from scoot_ray.study import StudyError  # noqa: PLC0415 - --help stays quick

    resolved = resolve_or_refuse(source, trace)
    try:
        resolved.study.engine.environment(os.environ)
    except StudyError as error:
        refuse(f"{source}: {error}")
    return resolved


def _form(as_json: bool, events: bool) -> Form:
    """What standard output is for."""
    if as_json and events:
        refuse("--events: cannot go with --json, since both have standard output for themselves; choose one of them")
    return "json" if as_json else "events" if events else "text"


def _run(
    resolved: Resolved, folder: RunFolder, form: Form, ray_address: str | None, dashboard: bool, new: bool = False
) -> None:
    """Run with standard output kept for the result, or the events, alone."""
    from scoot_ray.cluster.session import ClusterError, real_stdout  # noqa: PLC0415 - --help stays quick
    from scoot_ray.driver import RunError, run  # noqa: PLC0415 - the same
    from scoot_ray.results.live import EventSink  # noqa: PLC0415 - the same

    with real_stdout() as out:
        progress = console(sys.stderr)
        for warning in resolved.warnings:
            progress.print(f"warning: {warning}", style="yellow", markup=False)
        sink = EventSink(out.fileno(), resolved.study.name) if form == "events" else None
        try:
            outcome = run(resolved, folder, progress, ray_address, dashboard, sink, new)
        except ClusterError as error:
            _tell_failure(sink, str(error), BAD_INPUT)
            refuse(str(error))
        except RunError as error:
            _tell_failure(sink, str(error), FAILED)
            fail(str(error))
        except KeyboardInterrupt:
            _tell_failure(sink, "interrupted", INTERRUPTED)
            sys.exit(INTERRUPTED)
        if sink is not None:
            _tell_end(sink, outcome, folder)
        else:
            _print_outcome(out, outcome, folder, form)
        if not outcome.result["complete"]:
            click.echo(f"{outcome.result['reason']}; 'scoot-ray resume {shlex.quote(str(folder))}' goes on", err=True)
    sys.exit(_exit_code(outcome))


def _print_outcome(out: IO[str], outcome: Outcome, folder: RunFolder, form: Form) -> None:
    from scoot_ray.results.tables import print_result  # noqa: PLC0415 - --help stays quick

    if form == "json":
        json.dump(outcome.result, out, indent=2)
        out.write("\n")
    else:
        print_result(console(out), outcome.result, str(folder))
    out.flush()


def _tell_end(sink: EventSink, outcome: Outcome, folder: RunFolder) -> None:
    from scoot_ray.results.live import ending  # noqa: PLC0415 - --help stays quick
    from scoot_ray.storage import absolute  # noqa: PLC0415 - the same

    report = None if outcome.report is None else absolute(outcome.report)
    files = {"result": absolute(folder.named("result.json")), "report": report}
    sink.write("stopped", **ending(outcome.result, files, _exit_code(outcome)))


def _tell_failure(sink: EventSink | None, reason: str, code: int) -> None:
    """The last event of a run without a result."""
    if sink is not None:
        nothing = {"sentence": None, "recommended": None, "result": None, "report": None}
        sink.write("stopped", complete=False, reason=reason, exit_code=code, **nothing)


def _exit_code(outcome: Outcome) -> int:
    if outcome.interrupted:
        return INTERRUPTED
    ended = outcome.result["complete"] or outcome.in_time
    return DONE if ended and outcome.result["recommended"] is not None else FAILED


def run_folder(place: str | Path) -> RunFolder:
    """The folder of a run, by its path or URI; anything else ends the command."""
    from scoot_ray.run_folder import RunFolder  # noqa: PLC0415 - --help stays quick
    from scoot_ray.storage import PlaceError  # noqa: PLC0415 - the same

    try:
        folder = RunFolder(place)
        there = folder.is_run
    except PlaceError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{place}: cannot be read: {first_line(error)}")
    if not there:
        refuse(f"{place}: not the folder of a run (it has no study.yaml); name the folder that 'scoot-ray tune' made")
    return folder


@contextmanager
def readable(folder: RunFolder) -> Iterator[None]:
    """Reading a run; what cannot be read ends the command."""
    from scoot_ray.journal import JournalError  # noqa: PLC0415 - --help stays quick
    from scoot_ray.study import StudyError  # noqa: PLC0415 - the same

    try:
        yield
    except StudyError as error:
        refuse(in_words_of(folder, error))
    except JournalError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{folder}: cannot be read: {first_line(error)}")
