"""Verbs of a study: validate, tune, resume, status."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from scoot_ray.cli.console import DONE, FAILED, INTERRUPTED, console, fail, refuse

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
    _run(resolved, folder, as_json, ray_address, dashboard)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@_running_options
def resume(run: Path, as_json: bool, ray_address: str | None, dashboard: bool) -> None:
    """Go on with RUN, the folder of a run that was stopped. Nothing measured is measured again."""
    folder = run_folder(run)
    _run(_startable(folder.study), folder, as_json, ray_address, dashboard)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def status(run: Path, as_json: bool) -> None:
    """Show how far RUN has come and what it has found. Works while it runs and afterwards."""
    from scoot_ray.cli.runs import read_or_refuse  # noqa: PLC0415 - which imports from here
    from scoot_ray.results.tables import print_result  # noqa: PLC0415 - --help stays quick

    document = read_or_refuse(run).result
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_result(console(sys.stdout), document)


def resolve_or_refuse(study: Path) -> Resolved:
    """The study of a file, checked against the world; what is wrong with it ends the command."""
    from scoot_ray.resolve import resolve  # noqa: PLC0415 - --help stays quick
    from scoot_ray.study import StudyError, read_study  # noqa: PLC0415 - the same

    try:
        return resolve(read_study(study), study)
    except StudyError as error:
        refuse(str(error))


def recall_or_refuse(folder: RunFolder) -> Resolved:
    """The study of a run, as its folder remembers it; what is wrong with it ends the command."""
    from scoot_ray.recall import recall  # noqa: PLC0415 - --help stays quick
    from scoot_ray.study import StudyError  # noqa: PLC0415 - the same

    try:
        return recall(folder)
    except StudyError as error:
        refuse(str(error))


def _startable(study: Path) -> Resolved:
    """The same, with every secret at hand that the engine will need."""
    from scoot_ray.study import StudyError  # noqa: PLC0415 - --help stays quick

    resolved = resolve_or_refuse(study)
    try:
        resolved.study.engine.environment(os.environ)
    except StudyError as error:
        refuse(f"{study}: {error}")
    return resolved


def _run(resolved: Resolved, folder: RunFolder, as_json: bool, ray_address: str | None, dashboard: bool) -> None:
    """Run with standard output kept for the result alone."""
    from scoot_ray.cluster.session import ClusterError, real_stdout  # noqa: PLC0415 - --help stays quick
    from scoot_ray.driver import RunError, run  # noqa: PLC0415 - the same

    with real_stdout() as out:
        progress = console(sys.stderr)
        for warning in resolved.warnings:
            progress.print(f"warning: {warning}", style="yellow", markup=False)
        try:
            outcome = run(resolved, folder, progress, ray_address, dashboard)
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
        click.echo(f"{outcome.result['reason']}; 'scoot-ray resume {folder.path}' goes on", err=True)


def _exit_code(outcome: Outcome) -> int:
    if outcome.interrupted:
        return INTERRUPTED
    return DONE if outcome.result["complete"] and outcome.result["recommended"] is not None else FAILED


def run_folder(path: Path) -> RunFolder:
    """The folder of a run; anything else ends the command."""
    from scoot_ray.run_folder import RunFolder  # noqa: PLC0415 - --help stays quick

    folder = RunFolder(path)
    if not folder.study.is_file():
        refuse(f"{path}: not the folder of a run (it has no study.yaml); name the folder that 'scoot-ray tune' made")
    return folder
