"""The verb reproduce: one trial of a run again."""

from __future__ import annotations

import json
import sys

import click

from scoot_ray.cli.console import DONE, FAILED, INTERRUPTED, console, fail, refuse
from scoot_ray.cli.studies import run_folder, startable


@click.command()
@click.argument("run")
@click.option("--trial", type=click.IntRange(min=0), required=True, help="Its number, as in the report.")
@click.option("--repeats", type=click.IntRange(min=1), default=1, show_default=True, help="Times to evaluate it.")
@click.option("--trace", help="Where the study's trace is on this machine. [default: where it was]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output, and nothing else.")
@click.option("--ray-address", help="Cluster to join, or local. [default: RAY_ADDRESS, one running here, a new one]")
def reproduce(run: str, trial: int, repeats: int, trace: str | None, as_json: bool, ray_address: str | None) -> None:
    """Evaluate a trial of RUN again, with the same trace, seed and arrival order, and say whether it is the same.

    RUN's journal and results are left as they are. Exit code 0: reproduced, 1: not.
    """
    from scoot_ray.cluster.session import ClusterError, real_stdout  # noqa: PLC0415 - --help stays quick
    from scoot_ray.driver import RunError  # noqa: PLC0415 - the same
    from scoot_ray.journal import JournalError  # noqa: PLC0415 - the same
    from scoot_ray.rerun.reproduce import CannotReproduce, read_past  # noqa: PLC0415 - the same
    from scoot_ray.rerun.reproduce import reproduce as evaluate_again  # noqa: PLC0415 - the same
    from scoot_ray.rerun.tables import reproduction_table  # noqa: PLC0415 - the same

    folder = run_folder(run)
    resolved = startable(folder, trace)
    with real_stdout() as out:
        try:
            past = read_past(resolved, folder, trial)
            document = evaluate_again(resolved, folder, past, repeats, console(sys.stderr), ray_address)
        except (CannotReproduce, ClusterError) as error:
            refuse(str(error))
        except (RunError, JournalError) as error:
            fail(str(error))
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        if as_json:
            out.write(json.dumps(document, indent=2) + "\n")
        else:
            console(out).print(*reproduction_table(document), sep="\n")
    sys.exit(DONE if document["reproduced"] else FAILED)
