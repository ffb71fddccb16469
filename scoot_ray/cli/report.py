"""The verb report: a run to show to others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoot_ray.cli.console import refuse
from scoot_ray.cli.studies import readable, recall_or_refuse, run_folder

if TYPE_CHECKING:
    from scoot_ray.results.report import Report
    from scoot_ray.storage import Storage

_FORMS = ("html", "md", "json")


@click.command()
@click.argument("run")
@click.option("-o", "--output", help="File to write; - for standard output. [default: report.FORMAT in RUN]")
@click.option("--format", "form", type=click.Choice(_FORMS), default="html", show_default=True, help="What to write.")
@click.option(
    "--figures",
    type=click.Path(path_type=Path),
    help="Write every chart to this folder too: SVG, and PNG with [plots].",
)
@click.option("--no-logs", is_flag=True, help="Leave out the ends of the engines' logs.")
def report(run: str, output: str | None, form: str, figures: Path | None, no_logs: bool) -> None:
    """Write what RUN has found as one file that needs no network. Works while it runs, too."""
    from scoot_ray.results.report import read_run, report_of  # noqa: PLC0415 - --help stays quick
    from scoot_ray.storage import LocalStorage  # noqa: PLC0415 - as above

    folder = run_folder(run)
    resolved = recall_or_refuse(folder)
    with readable(folder):
        made = report_of(read_run(folder, resolved), logs=not no_logs)
    text = _text(made, form)
    if output == "-":
        click.echo(text, nl=False)
    elif output is not None:
        _write(LocalStorage(Path(output).parent), Path(output).name, text)
    else:
        _write(folder.storage, f"report.{form}", text)
    if figures is not None:
        _figures(made, figures)


def _text(made: Report, form: str) -> str:
    from scoot_ray.results.report import html_report, markdown_report, report_document  # noqa: PLC0415 - as above

    if form == "json":
        return json.dumps(report_document(made), indent=2, allow_nan=False) + "\n"
    return markdown_report(made) if form == "md" else html_report(made)


def _write(folder: Storage, name: str, text: str) -> None:
    path = folder.within(name)
    try:
        folder.write(name, text.encode())
    except OSError as error:
        refuse(f"{path}: cannot be written: {error.strerror or error}; name a writable file with --output")
    click.echo(f"report: {path}", err=True)


def _figures(made: Report, folder: Path) -> None:
    from scoot_ray.results.report import NoPictures, require_pictures, save_figures  # noqa: PLC0415 - as above

    try:
        require_pictures()
    except NoPictures as missing:
        click.echo(f"figures: SVG alone: {missing}", err=True)
        png = False
    else:
        png = True
    try:
        written = save_figures(made, folder, png=png)
    except OSError as error:
        refuse(f"--figures: {folder}: cannot be written: {error.strerror or error}")
    click.echo(f"figures: {len(written)} files in {folder}", err=True)
