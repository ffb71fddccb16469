"""What the verbs on finished runs share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scoot_ray.cli.console import refuse
from scoot_ray.cli.studies import in_words_of, readable, run_folder

if TYPE_CHECKING:
    from scoot_ray.results.reading import Run


def read_or_refuse(place: str) -> Run:
    """The run in a folder, with its result as of now; what is wrong with it ends the command."""
    from scoot_ray.results.reading import read_run  # noqa: PLC0415 - --help stays quick
    from scoot_ray.study import StudyError  # noqa: PLC0415 - the same

    folder = run_folder(place)
    try:
        with readable(folder):
            return read_run(folder)
    except StudyError as error:
        refuse(in_words_of(folder, error))
