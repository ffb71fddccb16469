"""The verb that searches for a service's capacity."""

from __future__ import annotations

import sys
from typing import Any

import click

from scoot_ray.cli.console import INTERRUPTED, refuse


class Share(click.ParamType[float]):
    """A share written as ``5%`` or ``0.05``."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it; anything else is bad input."""
        text = str(value).strip()
        try:
            return float(text.removesuffix("%")) * (0.01 if text.endswith("%") else 1.0)
        except ValueError:
            self.fail(f"{text!r} is no share; such as 5% or 0.05", param, ctx)


@click.command()
@click.option("--base-url", "base_urls", multiple=True, required=True, help="The endpoint; repeat for replicas.")
@click.option("--model", required=True, help="The model's name, as the endpoint knows it.")
@click.option("--trace", required=True, help="What to replay.")
@click.option("--slo", "slos", multiple=True, required=True, help="What must hold, such as 'ttft:p99<500ms'; repeat.")
@click.option("--max-rate", type=float, required=True, help="Highest rate to try, in requests per second.")
@click.option("--start-rate", type=float, help="First rate to try. [default: 1, or the highest where that is less]")
@click.option("--duration", "duration_s", type=float, default=30.0, show_default=True, help="Seconds of each load.")
@click.option("--precision", type=Share(), default="5%", show_default=True, help="How exact the rate should be.")
@click.option("--max-probes", type=int, default=24, show_default=True, help="Loads altogether, at most.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same schedules.")
@click.option("--burstiness", type=float, help="Gamma arrivals of this shape; 1 is Poisson, less is burstier.")
@click.option("--json", "json_out", help="Write the answer and every probe to this file; - is standard output.")
@click.option("--max-model-len", type=int, help="Longest input and output together, in tokens.")
@click.option("--too-long", type=click.Choice(["drop", "clip"]), default="drop", show_default=True, help="Longer rows.")
@click.option("--engine", type=click.Choice(["vllm", "sglang", "trtllm"]), default="vllm", show_default=True)
@click.option("--endpoint", type=click.Choice(["auto", "completions", "chat"]), default="auto", show_default=True)
@click.option("--extra-body", help="A JSON object of further fields of every request.")
@click.option("--header", "headers", multiple=True, help="A further header of every request, as Name: value; repeat.")
@click.option("--ca-file", help="Certificates (PEM) to trust besides the system's.")
@click.option("--insecure", is_flag=True, help="Trust any certificate.")
@click.option("--api-key-env", help="Variable that holds the API key. [default: OPENAI_API_KEY, where it is set]")
def capacity(**options: Any) -> None:
    """Find the highest rate of requests at which a running endpoint holds its SLOs."""
    from scoot_ray.load.capacity import RateSearch  # noqa: PLC0415 - --help stays quick
    from scoot_ray.load.capacity_command import CapacityOptions, capacity_command  # noqa: PLC0415 - the same
    from scoot_ray.load.command import ReplayOptions  # noqa: PLC0415 - the same
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - the same

    slos, max_rate, start_rate = options.pop("slos"), options.pop("max_rate"), options.pop("start_rate")
    precision, max_probes = options.pop("precision"), options.pop("max_probes")
    burstiness = options.pop("burstiness")
    try:
        first = min(1.0, max_rate) if start_rate is None else start_rate
        search = RateSearch(first, max_rate, options["duration_s"], precision, max_probes=max_probes)
        replay = ReplayOptions(burstiness=1.0 if burstiness is None else burstiness, warmup="auto", **options)
        code = capacity_command(CapacityOptions(replay, slos, search))
    except LoadError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    sys.exit(code)
