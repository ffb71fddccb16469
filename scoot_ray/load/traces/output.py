"""Lines to a file or to standard output, in bounded memory; a file appears whole or not at all."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from scoot_ray.load.errors import LoadError


def write_lines(out: str, lines: Iterable[str]) -> None:
    """Write to ``out``, ``-`` being standard output. Raises LoadError where it cannot be written."""
    if out == "-":
        sys.stdout.writelines(lines)
        return
    path = Path(out)
    try:
        if path.exists() and not path.is_file():  # a device or a pipe, which must stay what it is
            _write(path, lines)
            return
        partial = path.with_name(f"{path.name}.partial")
        try:
            _write(partial, lines)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise LoadError(f"out: {out}: cannot be written: {error.strerror or error}; allowed a writable path") from error


def _write(path: Path, lines: Iterable[str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(lines)
