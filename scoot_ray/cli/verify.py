"""The verb verify: a run's promise on a live endpoint."""

from __future__ import annotations

import json
import sys

import click

from scoot_ray.cli.console import DONE, FAILED, INTERRUPTED, console, refuse
from scoot_ray.cli.runs import read_or_refuse
from scoot_ray.cli.studies import readable


@click.command()
@click.argument("run")
@click.option("--base-url", "base_urls", multiple=True, required=True, help="The endpoint; repeat for replicas.")
@click.option("--model", help="The model's name, as the endpoint knows it. [default: the one proved, or the only one]")
@click.option("--api-key-env", help="Variable that holds the API key.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Requests per second. [default: as proved]")
@click.option(
    "--duration", "duration_s", type=click.FloatRange(0, min_open=True), help="Seconds of load. [default: as proved]"
)
@click.option("--trace", help="Today's traffic, to compare with what was proved; see 'scoot-ray trace'.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(
    run: str, base_urls: tuple[str, ...], model: str | None, api_key_env: str | None, rate: float | None,
    duration_s: float | None, trace: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Replay RUN's trace against a running endpoint and say whether what RUN promises holds there.

    Also says what has drifted from what was proved, and so whether to tune again. Exit code 0: it holds, 1: not.
    """
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - --help stays quick
    from scoot_ray.rerun.tables import verification_table  # noqa: PLC0415 - the same
    from scoot_ray.rerun.verify import VerifyOptions  # noqa: PLC0415 - the same
    from scoot_ray.rerun.verify import verify as measure  # noqa: PLC0415 - the same

    found = read_or_refuse(run)
    options = VerifyOptions(base_urls, model, api_key_env, rate, duration_s, trace)
    try:
        with readable(found.folder):
            document = measure(found, options, console(sys.stderr))
    except LoadError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    if as_json:
        click.echo(json.dumps(document, indent=2))
    else:
        console(sys.stdout).print(*verification_table(document), sep="\n")
    sys.exit(DONE if document["holds"] else FAILED)
