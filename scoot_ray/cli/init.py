"""The verb init: a first study, from what runs today."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoot_ray.cli.console import refuse

if TYPE_CHECKING:
    from scoot_ray.draft.command import Today


@click.command()
@click.option(
    "--from-command",
    "command",
    help="What serves today: 'vllm serve MODEL --flag …', of SGLang or TensorRT-LLM as well; - reads it from stdin.",
)
@click.option("--model", help="Instead of a command: a folder, or a name of the hub.")
@click.option("--trace", required=True, help="The traffic to tune for; see 'scoot-ray trace'.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default="study.yaml", show_default=True, help="To write."
)
@click.option("--python", help="A Python that has the engine. [default: the command's, or this one]")
@click.option("--gpus", type=click.IntRange(0), help="For one evaluation. [default: as many as the command names]")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests per second. [default: the trace's]")
@click.option(
    "--objectives",
    type=click.Choice(["interactive", "tail_latency", "throughput"]),
    default="interactive",
    show_default=True,
    help="What to improve.",
)
@click.option("--name", help="Of the study. [default: the model's]")
def init(
    command: str | None, model: str | None, trace: str, output: Path, python: str | None, gpus: int | None,
    rate: float | None, objectives: str, name: str | None,
) -> None:  # fmt: skip
    """Write a study from the command that serves today, or for a model. Starts nothing; no secret is written."""
    from scoot_ray.draft import Wishes, draft_study  # noqa: PLC0415 - --help stays quick
    from scoot_ray.draft.writing import text_of  # noqa: PLC0415 - the same
    from scoot_ray.resolve import resolve  # noqa: PLC0415 - the same
    from scoot_ray.study import StudyError, parse_study  # noqa: PLC0415 - the same

    today = _today(command, model)
    if output.exists():
        refuse(f"{output}: is there already, and is not overwritten; name another with -o")
    wishes = Wishes(trace, name, python, gpus, rate, objectives)
    try:
        drafted = draft_study(today, wishes, _gpus_here(), output)
        text = text_of(drafted.draft)
        resolved = resolve(parse_study(text, str(output)), output)
    except StudyError as error:
        refuse(str(error))
    try:
        with output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        refuse(f"{output}: cannot be written: {error.strerror}")
    for line in (*drafted.said, *(f"warning: {warning}" for warning in resolved.warnings)):
        click.echo(line, err=True)
    click.echo(f"wrote {output}; next: scoot-ray validate {output}")


def _today(command: str | None, model: str | None) -> Today:
    from scoot_ray.draft.command import Today, read_command  # noqa: PLC0415 - --help stays quick
    from scoot_ray.engine.flags import FlagError  # noqa: PLC0415 - the same

    if (command is None) == (model is None):
        refuse("give --from-command 'vllm serve …', or --model")
    if command is None:
        return Today(model or "")
    try:
        return read_command(sys.stdin.read() if command == "-" else command)
    except FlagError as error:
        refuse(f"--from-command: {error}")


def _gpus_here() -> int:
    from scoot_ray.engine.gpus import NoAnswer, installed_gpus  # noqa: PLC0415 - --help stays quick

    try:
        return len(installed_gpus())
    except NoAnswer:
        return 0
