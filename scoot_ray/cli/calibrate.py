"""Verbs of the simulator: calibrate."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scoot_ray.cli.console import INTERRUPTED, console, fail, refuse

if TYPE_CHECKING:
    from scoot_ray.load.target import Target
    from scoot_ray.simulator.calibrate import Calibration, Options

_POSITIVE = click.IntRange(min=1)


@click.command()
@click.option("--base-url", required=True, help="The endpoint: an idle engine with default batches.")
@click.option("--model", required=True, help="The model's name, as the endpoint knows it.")
@click.option("--model-path", required=True, help="Folder with the model's config.json, or a known model's name.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file to write the calibration to.")
@click.option("--api-key-env", help="Variable that holds the API key. [default: OPENAI_API_KEY, where it is set]")
@click.option("--kv-cache-tokens", type=_POSITIVE, help="What its cache holds. [default: as /metrics says]")
@click.option("--max-num-seqs", type=_POSITIVE, help="Its limit. [default: as /server_info says]")
@click.option("--max-num-batched-tokens", type=_POSITIVE, help="Its limit. [default: as /server_info says]")
@click.option("--start-s", type=click.FloatRange(min=0), default=30.0, show_default=True, help="Seconds it starts.")
@click.option("--repeats", type=_POSITIVE, default=3, show_default=True, help="Measurements of each step.")
@click.option("--deadline", "deadline_s", type=click.FloatRange(min=1), default=900.0, show_default=True, help="In s.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output, and nothing else.")
def calibrate(
    base_url: str,
    model: str,
    model_path: str,
    out: Path,
    api_key_env: str | None,
    kv_cache_tokens: int | None,
    max_num_seqs: int | None,
    max_num_batched_tokens: int | None,
    start_s: float,
    repeats: int,
    deadline_s: float,
    as_json: bool,
) -> None:
    """Measure the steps of a running vLLM, and write the machine that the simulator takes it for."""
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - --help stays quick
    from scoot_ray.load.target import Target  # noqa: PLC0415 - the same
    from scoot_ray.simulator.calibrate import Options  # noqa: PLC0415 - the same
    from scoot_ray.simulator.models import UnknownModel, find_model  # noqa: PLC0415 - the same

    if not os.access(out.parent, os.W_OK):
        refuse(f"out: {out}: its folder cannot be written to; allowed a writable path")
    try:
        target = Target((base_url,), model, _api_key(api_key_env), timeout_s=deadline_s)
        shape = find_model(model_path)
        limits = (kv_cache_tokens, max_num_seqs, max_num_batched_tokens)
        found = _run(target, Options(shape, *limits, start_s, repeats, deadline_s))
    except UnknownModel as error:
        refuse(f"model-path: {error}")
    except LoadError as error:
        refuse(str(error))
    found.machine.write(out)
    if as_json:
        click.echo(json.dumps(found.document(), indent=2))
    else:
        _show(found, out)


def _api_key(variable: str | None) -> str | None:
    key = os.environ.get(variable or "OPENAI_API_KEY", "").strip() or None
    if variable is not None and key is None:
        refuse(f"api-key-env: {variable} is not set; allowed the name of a variable that holds the key")
    return key


def _run(target: Target, options: Options) -> Calibration:
    from scoot_ray.simulator.calibrate import CalibrationFailed  # noqa: PLC0415 - --help stays quick
    from scoot_ray.simulator.calibrate import calibrate as measure  # noqa: PLC0415 - the same

    progress = console(sys.stderr)
    try:
        return measure(target, options, lambda text: progress.print(text, markup=False))
    except CalibrationFailed as error:
        fail(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _show(found: Calibration, out: Path) -> None:
    from rich.table import Table  # noqa: PLC0415 - --help stays quick

    document, screen = found.document(), console(sys.stdout)
    table = Table("step", "measured, ms", "fitted, ms", "error")
    for step in document["steps"]:
        measured_ms, fitted_ms = step["measured_s"] * 1e3, step["fitted_s"] * 1e3
        table.add_row(step["step"], f"{measured_ms:.2f}", f"{fitted_ms:.2f}", f"{step['error']:+.0%}")
    screen.print(table)
    for name, value in document["machine"].items():
        screen.print(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}")
    screen.print(f"median error {found.median_error:.1%}; written to {out}", markup=False)
    for note in found.notes:
        screen.print(f"note: {note}", markup=False)
