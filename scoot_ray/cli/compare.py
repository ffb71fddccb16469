"""The verb compare: several runs side by side."""

from __future__ import annotations

import json
import sys

import click

from scoot_ray.cli.console import console, refuse
from scoot_ray.cli.runs import read_or_refuse


@click.command()
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def compare(runs: tuple[str, ...], as_json: bool) -> None:
    """Lay several runs side by side: tuners, versions, GPUs; and say whether they can be compared at all."""
    from scoot_ray.results.compare import compare_document, compare_table  # noqa: PLC0415 - --help stays quick

    if len(runs) < 2:
        refuse("compare: needs two runs or more")
    document = compare_document([(path, read_or_refuse(path).result) for path in runs])
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        for part in compare_table(document):
            console(sys.stdout).print(part)
