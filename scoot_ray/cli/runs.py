"""What the verbs on finished runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoot_ray.cli.studies import readable, run_folder

if TYPE_CHECKING:
    from scoot_ray.results.reading import Run
    from scoot_ray.run_folder import RunFolder


def read_or_refuse(place: str) -> Run:
    """The run at a path or URI, with its result as of now; what is wrong with it ends the command."""
    return result_or_refuse(run_folder(place))


def result_or_refuse(folder: RunFolder) -> Run:
    """The same for a run that was found already."""
    from scoot_ray.results.reading import read_run  # noqa: PLC0415 - --help stays quick

    with readable(folder):
        return read_run(folder)
