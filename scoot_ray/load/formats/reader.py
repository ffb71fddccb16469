"""Runs the reading of a trace: as a stream for the ``trace`` verbs, whole for a replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path

from scoot_ray.load.errors import TraceError
from scoot_ray.load.formats.detect import KNOWN, Format, csv_format, json_format, sharegpt_format
from scoot_ray.load.formats.records import Record, array_items, csv_cells, csv_lines, json_lines
from scoot_ray.load.formats.source import Source
from scoot_ray.load.formats.tokens import EstimatedTokens, TokenCounter
from scoot_ray.load.trace import Request, Trace

_ROWS_LOOKED_AT = 64
_ERRORS_KEPT = 5


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How a trace is read.

    ``max_broken`` rows may be broken and are left out; ``output_tokens`` is the length of answers whose row does not
    say; ``tokens`` measures texts whose length no row says.
    """

    max_broken: int = 0
    output_tokens: int | None = None
    tokens: TokenCounter = field(default_factory=EstimatedTokens)


class TraceReader:
    """The requests of a file, in its order, in bounded memory; each iteration reads the file anew.

    Iterating raises TraceError for a file that cannot be read or is empty, and for one broken row more than allowed.
    While and after it ``format``, ``read``, ``broken``, ``skipped`` (rows that are sound but ask for nothing) and
    ``first_errors`` say what was met; ``sha256`` is known after the end.
    """

    __slots__ = ("_options", "broken", "first_errors", "format", "path", "read", "sha256", "skipped")

    def __init__(self, path: str | Path, options: ReadOptions | None = None) -> None:
        self.path = str(path)
        self._options = options or ReadOptions()
        self._reset()

    def __iter__(self) -> Iterator[Request]:
        """Yield requests, their times as the file has them."""
        self._reset()
        try:
            with Path(self.path).open("rb") as file:
                source = Source(file, self.path)
                yield from self._requests(source)
                self.sha256 = source.sha256()
        except OSError as error:
            reason = error.strerror or str(error)
            raise TraceError(f"{self.path}: cannot be read: {reason}; allowed a readable file") from error
        if not self.read:
            raise TraceError(f"{self.path}:1: file: has no requests; allowed one request a line")

    def notes(self) -> tuple[str, ...]:
        """What was left out, a line each, for the user."""
        lines = []
        if self.skipped:
            lines.append(f"{self.path}: {self.skipped} rows ask for no tokens, and are left out")
        if self.broken:
            lines.append(f"{self.path}: {self.broken} broken rows are left out, such as {self.first_errors[0]}")
        return tuple(lines)

    def _reset(self) -> None:
        self.format = ""
        self.read = self.broken = self.skipped = 0
        self.first_errors: tuple[str, ...] = ()
        self.sha256 = ""

    def _requests(self, source: Source) -> Iterator[Request]:
        form, records = self._opened(source)
        self.format = form.name
        for record in records:
            try:
                requests = _parsed(record, form)
            except TraceError as error:
                self._leave_out(error)
                continue
            self.skipped += not requests
            for request in requests:
                self.read += 1
                yield request

    def _opened(self, source: Source) -> tuple[Format, Iterator[Record]]:
        """Choose the format."""
        if source.starts_with(b"["):
            return sharegpt_format(self._options.tokens), array_items(source)
        lines = source.lines()
        first = next(lines, None)
        if first is None:
            raise TraceError(f"{self.path}:1: file: is empty; allowed one request a line")
        if first.text().startswith("{"):
            records = json_lines(chain((first,), lines))
            seen = list(islice(records, _ROWS_LOOKED_AT))
            rows = [record[1] for record in seen if not isinstance(record, TraceError)]
            return json_format(rows, self._options.output_tokens, self._options.tokens), chain(seen, records)
        header = csv_cells(first)
        form = csv_format(header)
        if form is None:
            raise first.place.error("line", "is no known format", KNOWN)
        return form, csv_lines(header, lines)

    def _leave_out(self, error: TraceError) -> None:
        self.broken += 1
        if self.broken > self._options.max_broken:
            beyond = f" (broken rows: {self.broken}, allowed {self._options.max_broken})"
            raise TraceError(f"{error}{beyond if self._options.max_broken else ''}")
        if len(self.first_errors) < _ERRORS_KEPT:
            self.first_errors = (*self.first_errors, str(error))


def read_trace(path: str | Path, limit: int | None = None) -> Trace:
    """Read the first ``limit`` requests (all by default) of a trace, in order of time, the earliest at 0 s.

    The hash is the whole file's, whatever the limit. Raises TraceError for a file that cannot be read, is empty, or
    has a row that makes no request.
    """
    if limit is not None and limit < 1:
        raise TraceError(f"{path}: limit: {limit} rows asked for; allowed 1 or more")
    reader = TraceReader(path)
    requests = list(islice(reader, limit))
    return Trace(_rebased(requests), reader.path, reader.sha256 or _sha256(reader.path), reader.notes())


def _parsed(record: Record, form: Format) -> tuple[Request, ...]:
    if isinstance(record, TraceError):
        raise record
    place, row = record
    return tuple(form.parse(row, place))


def _sha256(path: str) -> str:
    with Path(path).open("rb") as file:
        return Source(file, path).sha256()


def _rebased(requests: list[Request]) -> tuple[Request, ...]:
    ordered = sorted(requests, key=lambda request: request.timestamp_s)
    start_s = ordered[0].timestamp_s
    return tuple(replace(request, timestamp_s=request.timestamp_s - start_s) for request in ordered)
