"""What the verbs on finished runs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scoot_ray.cli.console import fail, refuse
from scoot_ray.cli.studies import run_folder

if TYPE_CHECKING:
    from scoot_ray.results.reading import Run


def read_or_refuse(path: Path) -> Run:
    """The run in a folder, with its result as of now; what is wrong with it ends the command."""
    from scoot_ray.journal import JournalError  # noqa: PLC0415 - --help stays quick
    from scoot_ray.results.reading import read_run  # noqa: PLC0415 - the same
    from scoot_ray.study import StudyError  # noqa: PLC0415 - the same

    folder = run_folder(path)
    try:
        return read_run(folder)
    except StudyError as error:
        refuse(str(error))
    except JournalError as error:
        fail(str(error))
