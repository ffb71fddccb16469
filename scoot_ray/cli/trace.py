"""Verbs of traces: look at one, and make others of it. All but ``generate`` stream: size is no matter."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scoot_ray.cli.console import INTERRUPTED, refuse

if TYPE_CHECKING:
    from scoot_ray.load.formats import TraceReader
    from scoot_ray.load.formats.tokens import TokenCounter
    from scoot_ray.load.trace import Request

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _reads(command: _Command) -> _Command:
    """Add what every verb asks: which file, and how to read it."""
    for option in (
        click.option("--tokenizer", help="A tokenizer.json, or its folder. [default: four bytes are a token]"),
        click.option("--output-tokens", type=click.IntRange(1), help="Length of answers whose row does not say."),
        click.option(
            "--max-broken", type=click.IntRange(0), default=0, show_default=True, help="Broken rows to leave out."
        ),
        click.argument("file"),
    ):
        command = option(command)
    return command


_out = click.option("--out", default="-", show_default=True, help="Where to write; - is standard output.")
_seed = click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same trace.")


@click.group()
def trace() -> None:
    """Look at traces and make others of them, in bounded memory. The format is told by the file's content."""


@trace.command()
@_reads
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--png", help="Write the charts to this file, too.")
def info(file: str, as_json: bool, png: str | None, **how: Any) -> None:
    """Lengths, arrivals, shared prefixes and sessions."""
    import json  # noqa: PLC0415 - --help stays quick
    from dataclasses import asdict  # noqa: PLC0415 - the same

    from scoot_ray.load.traces.census import take_census  # noqa: PLC0415 - the same
    from scoot_ray.load.traces.charts import census_png, census_text  # noqa: PLC0415 - the same

    with _one_line_for_mistakes():
        tokens = _tokens(how["tokenizer"])
        reader = _reader(file, tokens, how)
        census = take_census(reader, tokens)
        if png is not None:
            census_png(census, png)
        if as_json:
            document = {"file": file, "format": reader.format, "sha256": reader.sha256, "broken": reader.broken}
            click.echo(json.dumps({**document, "skipped": reader.skipped, **asdict(census)}, allow_nan=False))
        else:
            click.echo(f"format          {reader.format}\n{census_text(census)}", nl=False)
        _say_notes(reader)


@trace.command()
@_reads
@_out
@click.option("--to", type=click.Choice(["native", "azure"]), default="native", show_default=True, help="The format.")
def convert(file: str, out: str, to: str, **how: Any) -> None:
    """Write a trace of any known format as native JSON lines, or, lengths and times alone, as Azure's CSV."""
    with _one_line_for_mistakes():
        reader = _reader(file, _tokens(how["tokenizer"]), how)
        _write(reader, reader, out, to)


@trace.command()
@_reads
@_out
@_seed
@click.option("--skip", type=int, default=0, show_default=True, help="Leave out the first rows.")
@click.option("--rows", type=int, help="Keep that many rows, one after the other.")
@click.option("--from", "from_s", type=float, default=0.0, show_default=True, help="Keep from then on, in seconds.")
@click.option("--until", "until_s", type=float, default=float("inf"), help="Keep up to then, in seconds.")
@click.option("--random", "count", type=int, help="Keep that many rows, picked at random from the slice.")
@click.option("--fraction", type=float, help="Keep about this share at random, sessions whole.")
def sample(file: str, out: str, seed: int, count: int | None, fraction: float | None, **options: Any) -> None:
    """Keep a slice, a random sample, or a random sample of a slice."""
    from scoot_ray.load.traces.transform import Slice, chosen, extent, sliced, thinned  # noqa: PLC0415 - --help stays quick

    with _one_line_for_mistakes():
        part = Slice(*(options.pop(name) for name in ("skip", "rows", "from_s", "until_s")))
        if count is not None and fraction is not None:
            refuse("random: stands beside fraction; allowed one of the two")
        reader = _reader(file, _tokens(options["tokenizer"]), options)
        kept: Iterable[Request] = sliced(reader, part)
        if count is not None:
            kept = chosen(sliced(reader, part), count, extent(kept).rows, seed)
        elif fraction is not None:
            kept = thinned(kept, fraction, seed)
        _write(reader, kept, out)


@trace.command()
@_reads
@_out
@click.option("--rate", type=float, help="Mean requests per second to reach.")
@click.option("--factor", type=float, help="How many times faster.")
def scale(file: str, out: str, rate: float | None, factor: float | None, **how: Any) -> None:
    """Bring the arrivals to another rate, their pattern as it is."""
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - --help stays quick
    from scoot_ray.load.traces.transform import extent, faster  # noqa: PLC0415 - the same

    with _one_line_for_mistakes():
        if (rate is None) == (factor is None):
            refuse("rate: allowed either --rate or --factor")
        reader = _reader(file, _tokens(how["tokenizer"]), how)
        if rate is not None:
            present = extent(reader).rate
            if present is None:
                raise LoadError(f"{file}: has no times; allowed a trace whose rows arrive at different times")
            factor = rate / present
        _write(reader, faster(reader, factor or 0.0), out)


@trace.command()
@_reads
@_out
@_seed
@click.option("--rows", type=int, help="How many to make. [default: as many as were read]")
@click.option("--rate", type=float, help="Requests per second, by more sessions. [default: the trace's own]")
@click.option("--fit-rows", type=click.IntRange(2), default=200_000, show_default=True, help="Learn from the first.")
def generate(file: str, out: str, rows: int | None, fit_rows: int, **options: Any) -> None:
    """Make a synthetic trace like FILE: lengths, burstiness, shared prefixes and sessions, but none of its rows."""
    from itertools import islice  # noqa: PLC0415 - --help stays quick

    from scoot_ray.load.traces.shape import fit_shape  # noqa: PLC0415 - the same
    from scoot_ray.load.traces.synthesis import generate as synthesise  # noqa: PLC0415 - the same

    with _one_line_for_mistakes():
        tokens = _tokens(options["tokenizer"])
        reader = _reader(file, tokens, options)
        read = sorted(islice(reader, fit_rows), key=lambda request: request.timestamp_s)
        made = synthesise(fit_shape(read, tokens), rows or len(read), options["seed"], options["rate"])
        _write(reader, made, out)


@trace.command()
@_reads
@_out
@click.option("--salt-env", help="Variable that holds the salt, 16 bytes or more. [default: a new random one]")
def anonymize(file: str, out: str, salt_env: str | None, **how: Any) -> None:
    """Keep lengths, times, renamed sessions and keyed hashes of prefixes, and nothing else."""
    from scoot_ray.load.traces.anonymize import anonymized  # noqa: PLC0415 - --help stays quick

    with _one_line_for_mistakes():
        if salt_env is not None and not os.environ.get(salt_env):
            refuse(f"salt_env: {salt_env} is not set; allowed the name of a variable that holds the salt")
        salt = secrets.token_bytes(32) if salt_env is None else os.environ[salt_env].encode()
        tokens = _tokens(how["tokenizer"])
        reader = _reader(file, tokens, how)
        _write(reader, anonymized(reader, salt, tokens), out)


@contextmanager
def _one_line_for_mistakes() -> Iterator[None]:
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - --help stays quick

    try:
        yield
    except LoadError as error:
        refuse(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _tokens(tokenizer: str | None) -> TokenCounter:
    from scoot_ray.load.formats.tokens import EstimatedTokens, TokenizerFile  # noqa: PLC0415 - --help stays quick

    return EstimatedTokens() if tokenizer is None else TokenizerFile(tokenizer)


def _reader(file: str, tokens: TokenCounter, how: dict[str, Any]) -> TraceReader:
    from scoot_ray.load.formats import ReadOptions, TraceReader  # noqa: PLC0415 - --help stays quick

    return TraceReader(file, ReadOptions(how["max_broken"], how["output_tokens"], tokens))


def _write(reader: TraceReader, requests: Iterable[Request], out: str, to: str = "native") -> None:
    """Write the requests, counting times from the first; then say on stderr what was done and what was left out."""
    from scoot_ray.load.errors import LoadError  # noqa: PLC0415 - --help stays quick
    from scoot_ray.load.formats.native import native_line  # noqa: PLC0415 - the same
    from scoot_ray.load.formats.tables import AZURE_HEADER, azure_line  # noqa: PLC0415 - the same
    from scoot_ray.load.traces.output import write_lines  # noqa: PLC0415 - the same
    from scoot_ray.load.traces.transform import rebased  # noqa: PLC0415 - the same

    written = 0

    def lines() -> Iterator[str]:
        nonlocal written
        if to == "azure":
            yield ",".join(AZURE_HEADER) + "\n"
        for request in rebased(requests):
            yield azure_line(request) if to == "azure" else native_line(request)
            written += 1
        if not written:
            raise LoadError(f"{reader.path}: none of its {reader.read} requests is kept; allowed a wider choice")

    write_lines(out, lines())
    click.echo(f"{written} requests written ({reader.format} read)", err=True)
    _say_notes(reader)


def _say_notes(reader: TraceReader) -> None:
    for note in reader.notes():
        click.echo(f"note: {note}", err=True)
