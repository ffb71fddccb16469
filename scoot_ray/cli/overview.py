"""What the verb status does with several runs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from scoot_ray.cli.console import console, fail, first_line, refuse

if TYPE_CHECKING:
    from scoot_ray.run_folder import RunFolder

_HERE = "runs"


def only_run(places: tuple[str, ...]) -> RunFolder | None:
    """The one run that was named; None where there are several, or a folder of runs."""
    return folder if len(places) == 1 and (folder := _folder(places[0])).is_run else None


def list_runs(places: tuple[str, ...], as_json: bool) -> None:
    """Print a line for each run in the places; where none is named, for those in ``runs/``."""
    from scoot_ray.results.overview import now_utc, overview_of, overview_table, runs_in  # noqa: PLC0415 - quick --help

    found: list[RunFolder] = []
    for place in places or (_HERE,):
        try:
            inside = list(runs_in(_folder(place)))
        except OSError as error:
            fail(f"{place}: cannot be read: {first_line(error)}")
        if not inside:
            refuse(f"{place}: not the folder of a run (it has no study.yaml), nor one of runs")
        found += inside
    documents = [overview_of(folder, now_utc()) for folder in found]
    if as_json:
        click.echo(json.dumps(documents, indent=2))
    else:
        console(sys.stdout).print(overview_table(documents))


def _folder(place: str) -> RunFolder:
    from scoot_ray.run_folder import RunFolder  # noqa: PLC0415 - --help stays quick
    from scoot_ray.storage import PlaceError  # noqa: PLC0415 - the same

    try:
        return RunFolder(place)
    except PlaceError as error:
        refuse(str(error))
    except OSError as error:
        refuse(f"{place}: cannot be read: {first_line(error)}")
