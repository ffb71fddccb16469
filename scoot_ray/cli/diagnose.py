"""The verb diagnose: why an engine failed, from its log."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from scoot_ray.cli.console import refuse


@click.command()
@click.argument("log")
@click.option("--exit-code", type=int, help="How it ended: 137 and -9 are signal 9. [default: it still runs]")
@click.option(
    "--phase", type=click.Choice(["start", "load"]), default="start", show_default=True, help="When that was."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def diagnose(log: str, exit_code: int | None, phase: str, as_json: bool) -> None:
    """Say why an engine failed: whose fault, which line of LOG proves it, which knob. ``-`` reads standard input."""
    from dataclasses import asdict  # noqa: PLC0415 - --help stays quick

    from scoot_ray.engine.diagnose import diagnose as diagnosed  # noqa: PLC0415 - the same
    from scoot_ray.engine.diagnose.lines import read_lines  # noqa: PLC0415 - the same

    try:
        with _opened(log) as stream:
            found = diagnosed(exit_code, read_lines(stream), "load" if phase == "load" else "start")
    except OSError as error:
        refuse(f"{log}: cannot be read: {error.strerror}")
    whose = "configuration" if found.kind.of_configuration else "ours"
    if as_json:
        click.echo(json.dumps({**asdict(found), "kind": found.kind.value, "fault": whose}))
        return
    where = "" if found.line_number is None else f"line {found.line_number}: "
    unsure = ", or the machine's: worth a second try" if found.ambiguous else ""
    rows = {
        "kind": found.kind.value + (f" ({found.cause})" if found.cause else ""),
        "fault": ("the configuration's" if found.kind.of_configuration else "not the configuration's") + unsure,
        "evidence": where + found.evidence,
        "parameters": ", ".join(found.parameters),
        "advice": found.advice,
    }
    for name, value in rows.items():
        if value:
            click.echo(f"{name:<12}{value}")


@contextmanager
def _opened(log: str) -> Iterator[BinaryIO]:
    if log == "-":
        yield sys.stdin.buffer
        return
    with Path(log).open("rb") as stream:
        yield stream
