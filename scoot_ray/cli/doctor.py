"""The verb doctor: what this machine can do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from scoot_ray.cli.console import DONE, FAILED, console


@click.command()
@click.option("--python", "pythons", multiple=True, help="A Python to look for an engine in; may be repeated.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def doctor(pythons: tuple[str, ...], as_json: bool) -> None:
    """Look at engines, GPUs, Ray, disks, ports, hub and clock; say what to mend, and how. Changes nothing.

    Exit code 1 where there is a problem.
    """
    from rich.text import Text  # noqa: PLC0415 - --help stays quick

    from scoot_ray.doctor import examine  # noqa: PLC0415 - the same

    found = examine(pythons)
    problems = sum(one.status == "problem" for one in found)
    if as_json:
        click.echo(json.dumps({"problems": problems, "findings": [asdict(one) for one in found]}, indent=2))
    else:
        out = console(sys.stdout)
        styles = {"ok": "green", "note": "yellow", "problem": "bold red"}
        for one in found:
            out.print(Text.assemble((f"{one.status:8}", styles[one.status]), f"{one.about}: {one.said}"))
            if one.mend is not None:
                out.print(Text(f"        {one.mend}", style="cyan"))
        out.print(f"{problems} problems" if problems != 1 else "1 problem")
    sys.exit(FAILED if problems else DONE)
