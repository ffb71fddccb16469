"""What every verb shares: exit codes, the console, one line for a mistake."""

from __future__ import annotations

import sys
from typing import IO, TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def console(file: IO[str]) -> Console:
    """A console for ``file``; wide and plain where that is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - --help stays quick

    narrow = Console(file=file, highlight=False)
    return narrow if narrow.is_terminal else Console(file=file, highlight=False, width=160)


def first_line(error: Exception) -> str:
    """What went wrong in one line; libraries write pages."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return next(iter(reason.strip().splitlines()), type(error).__name__)


def refuse(message: str) -> NoReturn:
    """End with one line: the input cannot be used."""
    click.echo(f"error: {message}", err=True)
    sys.exit(BAD_INPUT)


def fail(message: str) -> NoReturn:
    """End with one line: the run failed."""
    click.echo(f"error: {message}", err=True)
    sys.exit(FAILED)
