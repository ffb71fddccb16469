"""The verb explain: what a run has taught."""

from __future__ import annotations

import json
import sys

import click

from scoot_ray.cli.console import console
from scoot_ray.cli.studies import readable, recall_or_refuse, run_folder


@click.command()
@click.argument("run")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with the data of every curve.")
def explain(run: str, as_json: bool) -> None:
    """Say what RUN has taught: which parameters matter, what does not work, how far to trust it. Starts nothing."""
    from scoot_ray.journal import Journal  # noqa: PLC0415 - --help stays quick
    from scoot_ray.results.explained import explain_document, print_explanation  # noqa: PLC0415 - the same

    folder = run_folder(run)
    resolved = recall_or_refuse(folder)
    with readable(folder):
        log = Journal(folder.journal).replay()
    document = explain_document(resolved, log)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        print_explanation(console(sys.stdout), document)
