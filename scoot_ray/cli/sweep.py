"""The verb sweep: many simulated studies at once."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scoot_ray.cli.console import INTERRUPTED, console, fail, refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scoot_ray.resolve import Resolved


@click.command()
@click.argument("studies", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option("--output", help="Folder of the runs, or its URI. [default: each study's own]")
@click.option("--tuner", help="Use this tuner instead of each study's own.")
@click.option("--jobs", type=click.IntRange(min=1), help="Studies at a time. [default: one for each core]")
@click.option("--json", "as_json", is_flag=True, help="Print all results as one JSON document, and nothing else.")
def sweep(studies: tuple[Path, ...], output: str | None, tuner: str | None, jobs: int | None, as_json: bool) -> None:
    """Run simulated STUDIES side by side on all cores, without Ray. Run again, it goes on where it was."""
    from scoot_ray.results.gains import gains_table, one_line  # noqa: PLC0415 - --help stays quick
    from scoot_ray.sweep import Broken  # noqa: PLC0415 - the same
    from scoot_ray.sweep import sweep as run_all  # noqa: PLC0415 - the same

    resolved = [_simulated(path, output, tuner) for path in studies]
    _refuse_namesakes(resolved)
    progress, results, broken = console(sys.stderr), [], []
    try:
        for at, result in enumerate(run_all(resolved, jobs or len(os.sched_getaffinity(0))), start=1):
            if isinstance(result, Broken):
                broken.append(result.study)
                line = f"{result.study}: {result.reason}"
            else:
                results.append(result)
                line = one_line(result)
            progress.print(f"{at:>3} of {len(resolved)}  {line}", markup=False)
    except KeyboardInterrupt:
        click.echo(f"interrupted after {len(results)} of {len(resolved)}; the same command goes on", err=True)
        sys.exit(INTERRUPTED)
    _print(sorted(results, key=lambda result: str(result["study"])), as_json, gains_table)
    if broken:
        fail(f"not run to the end: {', '.join(sorted(broken))}; once that is mended, the same command goes on")


def _refuse_namesakes(studies: Sequence[Resolved]) -> None:
    """Two studies of one name would share a folder, and the second would pass off the first's result as its own."""
    counts = Counter((resolved.study.output, resolved.study.name) for resolved in studies)
    for (output, name), count in counts.items():
        if count > 1:
            refuse(f"name: {name!r} is that of {count} studies with output {output}; names are unique in an output")


def _print(results: list[Mapping[str, Any]], as_json: bool, table: Any) -> None:
    if as_json:
        click.echo(json.dumps(results, indent=2))
    else:
        console(sys.stdout).print(table(results))


def _simulated(path: Path, output: str | None, tuner: str | None) -> Resolved:
    from scoot_ray.resolve import resolve  # noqa: PLC0415 - --help stays quick
    from scoot_ray.study import Study, StudyError, read_study  # noqa: PLC0415 - the same

    try:
        study = read_study(path)
        changes = {"output": output} if output is not None else {}
        changes |= {"tuner": tuner} if tuner is not None else {}
        if changes:
            study = Study.model_validate({**study.model_dump(), **changes})
        resolved = resolve(study, path)
    except (StudyError, ValueError) as error:
        refuse(str(error).splitlines()[0] if isinstance(error, StudyError) else f"--tuner: {tuner!r} is not available")
    if not resolved.study.engine.in_virtual_time:
        refuse(f"{path}: engine: sweep runs studies in virtual time alone (kind: simulated); use tune for this one")
    return resolved
