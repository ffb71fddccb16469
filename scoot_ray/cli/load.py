"""Verbs of the load generator: replay."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from scoot_ray.cli.console import INTERRUPTED, refuse

if TYPE_CHECKING:
    from scoot_ray.load.arrivals import Process


PROCESSES = ("poisson", "gamma", "constant", "recorded", "ramp")


class NumberOrAuto(click.ParamType[int | str]):
    """A whole number, or auto."""

    name = "auto|N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | Literal["auto"]:
        """Read it; a usage error says what is allowed."""
        if value == "auto":
            return "auto"
        try:
            return int(value)
        except ValueError:
            self.fail(f"{value!r}; allowed auto or a whole number", param, ctx)


def _process(rate: float | None, end_rate: float | None, burstiness: float | None) -> Process:
    """Say which arrivals the other options ask for."""
    if rate is None:
        return "recorded"
    if end_rate is not None:
        return "ramp"
    return "poisson" if burstiness is None else "gamma"


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
@click.option(
    "--warmup", type=NumberOrAuto(), default="0", show_default=True, help="Requests before the measured ones."
)
@click.option("--api-key-env", help="Variable that holds the API key. [default: OPENAI_API_KEY, where it is set]")
@click.option("--arrivals", type=click.Choice(PROCESSES), help="When requests come. [default: from the other options]")
@click.option("--end-rate", type=float, help="Ramp in a straight line from --rate to this over the duration.")
@click.option("--count", type=int, help="At most this many requests.")
@click.option(
    "--sessions",
    type=click.Choice(["independent", "wait"]),
    default="independent",
    show_default=True,
    help="Whether a session's turn waits for the answer before it.",
)
@click.option(
    "--think",
    "think_s",
    type=float,
    default=0.0,
    show_default=True,
    help="Seconds from an answer's end to the session's next turn, where turns wait.",
)
@click.option(
    "--endpoint",
    type=click.Choice(["auto", "completions", "chat"]),
    default="auto",
    show_default=True,
    help="Where text goes; auto sends messages to chat and all else to completions.",
)
@click.option(
    "--engine",
    type=click.Choice(["vllm", "sglang", "trtllm"]),
    default="vllm",
    show_default=True,
    help="Whose names of body fields to use.",
)
@click.option("--stream/--no-stream", default=True, show_default=True, help="Answers token by token, or whole.")
@click.option("--extra-body", help="A JSON object of further fields of every request.")
@click.option("--header", "headers", multiple=True, help="A further header of every request, as Name: value; repeat.")
@click.option("--ca-file", help="Certificates (PEM) to trust besides the system's.")
@click.option("--insecure", is_flag=True, help="Trust any certificate.")
@click.option(
    "--spread",
    type=click.Choice(["round_robin", "least_outstanding"]),
    default="round_robin",
    show_default=True,
    help="How requests are spread over replicas.",
)
@click.option("--timeout", "timeout_s", type=float, default=600.0, show_default=True, help="Seconds for a request.")
@click.option(
    "--stall-timeout",
    "stall_s",
    type=float,
    default=120.0,
    show_default=True,
    help="Seconds of silence in a stream after which it has failed.",
)
@click.option(
    "--drain",
    "drain_s",
    type=float,
    default=120.0,
    show_default=True,
    help="Seconds to wait for answers after the last sending.",
)
@click.option(
    "--processes",
    type=NumberOrAuto(),
    default="auto",
    show_default=True,
    help="Client processes; auto takes as many as the load needs.",
)
def replay(**options: Any) -> None:
    """Replay a trace against a running endpoint, open loop, and report latencies and throughput."""
    from scoot_ray.load.command import ReplayOptions, replay_command  # noqa: PLC0415 - --help stays quick
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - the same

    burstiness, more = options.pop("burstiness"), options.pop("more_goodput")
    if more and not options["goodput"]:
        refuse(f"{more[0]}: not an option; see scoot-ray replay --help")
    options["goodput"] = (*options["goodput"], *more)
    process = options.pop("arrivals") or _process(options["rate"], options["end_rate"], burstiness)
    try:
        code = replay_command(
            ReplayOptions(arrivals=process, burstiness=1.0 if burstiness is None else burstiness, **options)
        )
    except LoadError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(code)
