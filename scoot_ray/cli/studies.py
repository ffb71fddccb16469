"""Verbs of a study: validate, tune, resume, status."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from scoot_ray.cli.console import DONE, FAILED, INTERRUPTED, console, fail, first_line, refuse

if TYPE_CHECKING:
    from scoot_ray.driver import Outcome
    from scoot_ray.resolve import Resolved
    from scoot_ray.run_folder import RunFolder

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _running_options(command: _Command) -> _Command:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print result.json on standard output, and nothing else."),
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
def tune(study: Path, as_json: bool, ray_address: str | None, dashboard: bool) -> None:
    """Run STUDY: tune, confirm, and print the configuration to use."""
    from scoot_ray.driver import RunError, create  # noqa: PLC0415 - --help stays quick

    resolved = _startable(study)
    try:
        folder = create(resolved)
    except RunError as error:
        refuse(str(error))
    _run(resolved, folder, as_json, ray_address, dashboard, new=True)


@click.command()
@click.argument("run")
@click.option("--trace", help="Where the study's trace is on this machine. [default: where it was]")
@_running_options
def resume(run: str, trace: str | None, as_json: bool, ray_address: str | None, dashboard: bool) -> None:
    """Go on with RUN, the folder (or URI) of a run that was stopped. Nothing measured is measured again."""
    folder = run_folder(run)
    _run(_startable(folder, trace), folder, as_json, ray_address, dashboard)


@click.command()
@click.argument("runs", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(runs: tuple[str, ...], as_json: bool) -> None:
    """Show how far a run has come and what it has found. Works while it runs and afterwards.

    Of several RUNS, or a folder of runs, one line each; without any, of those in runs/.
    """
    from scoot_ray.cli.overview import list_runs, only_run  # noqa: PLC0415 - --help stays quick

    one = only_run(runs)
    if one is None:
        list_runs(runs, as_json)
    else:
        _show(one, as_json)


def _show(folder: RunFolder, as_json: bool) -> None:
    from scoot_ray.journal import Journal  # noqa: PLC0415 - --help stays quick
    from scoot_ray.results.summary import summarise  # noqa: PLC0415 - the same
    from scoot_ray.results.tables import print_result  # noqa: PLC0415 - the same

    resolved = resolve_or_refuse(folder)
    with readable(folder):
        journal = Journal(folder.journal)
        log, complete = journal.replay(), journal.finished
        running = f"{len(log.open)} evaluations open"
        document = summarise(resolved, log, complete, running, folder.circumstances, folder.circumstances_of)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_result(console(sys.stdout), document)


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
    named = folder.storage.within(folder.study.name)
    return str(error).replace(str(folder.study), str(named))


def _startable(source: Path | RunFolder, trace: str | None = None) -> Resolved:
    """The same, with every secret at hand that the engine will need."""
    from scoot_ray.study import StudyError  # noqa: PLC0415 - --help stays quick

    resolved = resolve_or_refuse(source, trace)
    try:
        resolved.study.engine.environment(os.environ)
    except StudyError as error:
        refuse(f"{source}: {error}")
    return resolved


def _run(
    resolved: Resolved, folder: RunFolder, as_json: bool, ray_address: str | None, dashboard: bool, new: bool = False
) -> None:
    """Run with standard output kept for the result alone."""
    from scoot_ray.cluster.session import ClusterError, real_stdout  # noqa: PLC0415 - --help stays quick
    from scoot_ray.driver import RunError, run  # noqa: PLC0415 - the same

    with real_stdout() as out:
        progress = console(sys.stderr)
        for warning in resolved.warnings:
            progress.print(f"warning: {warning}", style="yellow", markup=False)
        try:
            outcome = run(resolved, folder, progress, ray_address, dashboard, new)
        except ClusterError as error:
            refuse(str(error))
        except RunError as error:
            fail(str(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        _print_outcome(out, outcome, folder, as_json)
    sys.exit(_exit_code(outcome))


def _print_outcome(out: IO[str], outcome: Outcome, folder: RunFolder, as_json: bool) -> None:
    from scoot_ray.results.tables import print_result  # noqa: PLC0415 - --help stays quick

    if as_json:
        json.dump(outcome.result, out, indent=2)
        out.write("\n")
    else:
        print_result(console(out), outcome.result)
    out.flush()
    if not outcome.result["complete"]:
        click.echo(f"{outcome.result['reason']}; 'scoot-ray resume {shlex.quote(str(folder))}' goes on", err=True)


def _exit_code(outcome: Outcome) -> int:
    if outcome.interrupted:
        return INTERRUPTED
    return DONE if outcome.result["complete"] and outcome.result["recommended"] is not None else FAILED


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

    try:
        yield
    except JournalError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{folder}: cannot be read: {first_line(error)}")
