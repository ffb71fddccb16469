"""Verbs of the load generator: replay."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from scoot_ray.cli.console import INTERRUPTED, refuse

if TYPE_CHECKING:
    from scoot_ray.load.arrivals import Process


@click.command()
@click.option("--base-url", "base_urls", multiple=True, required=True, help="The endpoint; repeat for replicas.")
@click.option("--model", required=True, help="The model's name, as the endpoint knows it.")
@click.option("--trace", required=True, help="What to replay.")
@click.option("--rate", type=float, help="Requests per second. [default: as recorded in the trace]")
@click.option("--duration", "duration_s", type=float, help="Seconds of load. [default: as long as the trace]")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same schedule.")
@click.option("--json", "json_out", help="Write every request and the summary to this file; - is standard output.")
@click.option("--records", "records_out", help="Write a line per request to this file: .jsonl or .parquet.")
@click.option("--save-result", "result_out", help="Write the result in vllm bench serve's form to this file.")
@click.option("--burstiness", type=float, help="Gamma arrivals of this shape; 1 is Poisson, less is burstier.")
@click.option("--time-scale", type=float, default=1.0, show_default=True, help="Stretch recorded arrivals by this.")
@click.option("--goodput", multiple=True, help="SLOs that a good request meets, such as ttft:500ms tpot:50ms.")
@click.argument("more_goodput", nargs=-1, metavar="")
@click.option("--max-model-len", type=int, help="Longest input and output together, in tokens.")
@click.option("--too-long", type=click.Choice(["drop", "clip"]), default="drop", show_default=True, help="Longer rows.")
@click.option("--warmup", type=int, default=0, show_default=True, help="Requests sent before the measured ones.")
@click.option("--api-key-env", help="Variable that holds the API key. [default: OPENAI_API_KEY, where it is set]")
def replay(**options: Any) -> None:
    """Replay a trace against a running endpoint, open loop, and report latencies and throughput."""
    from scoot_ray.load.command import ReplayOptions, replay_command  # noqa: PLC0415 - --help stays quick
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - the same

    burstiness, more = options.pop("burstiness"), options.pop("more_goodput")
    if more and not options["goodput"]:
        refuse(f"{more[0]}: not an option; see scoot-ray replay --help")
    options["goodput"] = (*options["goodput"], *more)
    process: Process = "recorded" if options["rate"] is None else "poisson" if burstiness is None else "gamma"
    try:
        code = replay_command(ReplayOptions(arrivals=process, burstiness=burstiness or 1.0, **options))
    except LoadError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(code)
