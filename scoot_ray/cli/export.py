"""The verb export: a configuration of a run as files to deploy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoot_ray.cli.console import fail, refuse
from scoot_ray.cli.runs import read_or_refuse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from scoot_ray.results.deployment import Deployment

_COMMAND = ("command",)
_FORMATS = ("command", "vllm", "ray-serve", "kserve", "kubernetes", "helm", "compose", "env")


@click.command()
@click.argument("run")
@click.option("--trial", type=click.IntRange(min=0), help="Export this trial's. [default: what the run recommends]")
@click.option("--format", "formats", multiple=True, type=click.Choice(_FORMATS), help="May be repeated.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write files here. [default: standard output]")
@click.option("--image", help="Container image of the engine. [default: vLLM's own of the version that was measured]")
def export(run: str, trial: int | None, formats: tuple[str, ...], output: Path | None, image: str | None) -> None:
    """Write what RUN recommends as files to deploy, after a diff against what runs today. No secret is written.

    With -o all formats are written unless --format names some; without, one format goes to standard output and the
    diff to standard error.
    """
    from scoot_ray.results.deployment import NoSuchTrial, deployment_of  # noqa: PLC0415 - --help stays quick

    found = read_or_refuse(run)
    if output is None and len(formats) > 1:
        refuse("--format: several formats need -o, a folder to write them to")
    try:
        deployment = deployment_of(found.result, found.at, trial, image)
    except NoSuchTrial as error:
        refuse(str(error)) if trial is not None else fail(f"{run}: {error}")
    written = _formats_of(deployment, formats, every=output is not None)
    difference = _difference(found.result, deployment)
    if output is None:
        click.echo(difference, err=True)
        click.echo(_written(deployment, written[0]), nl=False)
    else:
        click.echo(difference)
        _write(deployment, written, output)


def _formats_of(deployment: Deployment, wanted: tuple[str, ...], *, every: bool) -> tuple[str, ...]:
    """What to write: what is wanted, or every format there is. All but the command are vLLM's."""
    from scoot_ray.engine.kinds import VLLM  # noqa: PLC0415 - --help stays quick

    if deployment.kind is VLLM:
        return wanted or (_FORMATS if every else _COMMAND)
    if foreign := [name for name in wanted if name not in _COMMAND]:
        refuse(f"--format: {foreign[0]}: is for vLLM, and this run is of {deployment.kind.title}; allowed: command")
    return _COMMAND


def _difference(result: Mapping[str, Any], deployment: Deployment) -> str:
    from scoot_ray.results.deployment import differences, today_of  # noqa: PLC0415 - --help stays quick

    today = today_of(result)
    if today is None:
        return "Nothing is known of what runs today."
    role, flags = today
    lines = [f"--- {role}", f"+++ {deployment.name}"]
    for name, before, after in differences(deployment.flags, flags):
        flag = name.replace("_", "-")
        lines += [f"-{flag}: {before}"] if before is not None else []
        lines += [f"+{flag}: {after}"] if after is not None else []
    return "\n".join(lines) if len(lines) > 2 else f"No difference to the {role} configuration."


def _write(deployment: Deployment, formats: tuple[str, ...], output: Path) -> None:
    from scoot_ray.results.export import FORMATS  # noqa: PLC0415 - --help stays quick
    from scoot_ray.run_folder import write  # noqa: PLC0415 - the same

    for name in formats:
        path = output / FORMATS[name].file
        try:
            write(path, _written(deployment, name).encode())
            path.chmod(0o755 if name == "command" else 0o644)
        except OSError as error:
            refuse(f"--output: {path}: cannot be written: {error.strerror}")
        click.echo(f"{name:<11} {path}")


def _written(deployment: Deployment, name: str) -> str:
    from scoot_ray.results.export import FORMATS  # noqa: PLC0415 - --help stays quick

    return FORMATS[name].write(deployment)
