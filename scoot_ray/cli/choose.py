"""The verb choose: one configuration of what a run has found."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from scoot_ray.cli.console import console, fail, refuse
from scoot_ray.cli.runs import read_or_refuse

if TYPE_CHECKING:
    from scoot_ray.results.choose import Wish


@click.command()
@click.argument("run")
@click.option("--slo", "slos", multiple=True, help="What it must keep, such as 'ttft:p99<500ms'; may be repeated.")
@click.option("--weights", help="What each objective weighs, such as ttft=2,tpot=1: of relative changes.")
@click.option("--knee", is_flag=True, help="Where the front bends: more of one would cost much of the other.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def choose(run: str, slos: tuple[str, ...], weights: str | None, knee: bool, as_json: bool) -> None:
    """Choose one configuration of RUN: by SLOs, by weights or at the knee of its front; confirmed ones first.

    Ends with 1 where nothing keeps the SLOs, and says what comes nearest.
    """
    from scoot_ray.results.candidates import offer_of  # noqa: PLC0415 - --help stays quick
    from scoot_ray.results.choose import NothingFits, WrongWeights, choice_document  # noqa: PLC0415 - the same
    from scoot_ray.results.choose import choose as chosen_by  # noqa: PLC0415 - the same
    from scoot_ray.results.deployment import command_of  # noqa: PLC0415 - the same

    wish = _wish(slos, weights, knee)
    result = read_or_refuse(run).result
    offer = offer_of(result)
    try:
        choice = chosen_by(offer, wish)
    except WrongWeights as error:
        refuse(str(error))
    except NothingFits as error:
        fail(f"{run}: {error}")
    command = command_of(result, choice.candidate.config)
    document = {**choice_document(choice, offer, wish, result), "command": command}
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        _print(document)


def _wish(slos: tuple[str, ...], weights: str | None, knee: bool) -> Wish:
    from scoot_ray.results.choose import Wish  # noqa: PLC0415 - --help stays quick
    from scoot_ray.search import SLO, ObjectiveError  # noqa: PLC0415 - the same

    if weights is not None and knee:
        refuse("--weights: stands beside --knee; allowed one of the two")
    if not slos and weights is None and not knee:
        refuse("say what to choose by: --slo, --weights or --knee")
    try:
        return Wish([SLO.parse(text) for text in slos], None if weights is None else _read_weights(weights), knee)
    except ObjectiveError as error:
        refuse(f"--slo: {error}")


def _read_weights(text: str) -> dict[str, float]:
    found = {}
    for part in text.split(","):
        name, _, number = part.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            refuse(f"--weights: {part!r}; allowed are such as ttft=2,tpot=1")
    return found


def _print(document: dict[str, Any]) -> None:
    from rich.table import Table  # noqa: PLC0415 - --help stays quick
    from rich.text import Text  # noqa: PLC0415 - the same

    out = console(sys.stdout)
    simulated = "simulated " if document["simulated"] else ""
    table = Table(title=Text(f"{document['study']}: {simulated}{document['label']}"), title_justify="left")
    for name in ("", "mean", "95% bound", "today", "change"):
        table.add_column(name, justify="right" if name else "left")
    for one in document["figures"]:
        change = "" if one["change"] is None else f"{one['change']:+.0%}"
        table.add_row(one["metric"], *(_number(one[name]) for name in ("mean", "bound", "today")), change)
    out.print(table)
    for name, value in document["config"].items():
        out.print(Text(f"  {name} = {value}"))
    out.print(Text(document["why"]))
    out.print(Text(shlex.join(document["command"]), style="bold"), soft_wrap=True)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
