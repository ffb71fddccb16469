"""Rows and their places, out of JSON lines, CSV lines or one JSON array.

What cannot be read as a row is yielded as the error it is: whether one broken line ends the reading is decided
elsewhere. Errors never quote a line: it may hold a prompt.
"""

from __future__ import annotations

import codecs
import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from scoot_ray.load.errors import TraceError
from scoot_ray.load.formats.source import LONGEST_LINE_BYTES, Line, Place, Source

Row: TypeAlias = Mapping[str, Any]
Record: TypeAlias = tuple[Place, Row] | TraceError

_WHITESPACE = " \t\n\r"


def json_lines(lines: Iterable[Line]) -> Iterator[Record]:
    """One JSON object a line."""
    for line in lines:
        try:
            yield line.place, _object(_loaded(line), line.place, "line", "one JSON object a line")
        except TraceError as error:
            yield error


def csv_lines(header: tuple[str, ...], lines: Iterable[Line]) -> Iterator[Record]:
    """One row a line, its cells by the header's names. A cell ends with its line."""
    for line in lines:
        try:
            cells = csv_cells(line)
        except TraceError as error:
            yield error
            continue
        if len(cells) == len(header):
            yield line.place, dict(zip(header, cells, strict=True))
        else:
            yield line.place.error("line", f"has {len(cells)} columns", f"{len(header)} columns")


def csv_cells(line: Line) -> tuple[str, ...]:
    """The line's cells without surrounding blanks. Raises TraceError."""
    try:
        return tuple(cell.strip() for cell in next(csv.reader([line.text()], strict=True)))
    except csv.Error:
        raise line.place.error("line", "is not CSV", "comma-separated cells") from None


def array_items(source: Source) -> Iterator[Record]:
    """Yield the objects of one JSON array, whatever its line breaks, holding one of them at a time.

    Raises TraceError where the file is no JSON: what follows a syntax error in an array cannot be read.
    """
    text = _ArrayText(source)
    text.expect("[")
    if text.next_is("]"):
        return
    while True:
        place, item = text.item()
        try:
            yield place, _object(item, place, "item", "an array of objects")
        except TraceError as error:
            yield error
        if text.next_is("]"):
            return
        text.expect(",")


class _ArrayText:
    """The part of a file not yet decoded, and where it begins."""

    __slots__ = ("_at", "_column", "_decoder", "_ended", "_line", "_source", "_text", "_utf8")

    def __init__(self, source: Source) -> None:
        self._source = source
        self._utf8 = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder()
        self._text, self._at, self._ended = "", 0, False
        self._line, self._column = 1, 1  # of the first character held

    def next_is(self, mark: str) -> bool:
        """Whether ``mark`` is the next character that is not blank."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _WHITESPACE:
                self._at += 1
            if self._at < len(self._text) or not self._more():
                return self._text.startswith(mark, self._at)

    def expect(self, mark: str) -> None:
        """Pass over ``mark``."""
        if not self.next_is(mark):
            raise self._broken(self._at)
        self._at += 1

    def item(self) -> tuple[Place, Any]:
        """Decode the next value, reading on until it is whole."""
        self.next_is("")
        while True:
            place = Place(self._source.name, self._position(self._at)[0])
            try:
                value, self._at = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                if len(self._text) - self._at > LONGEST_LINE_BYTES or not self._more(len(self._text) - self._at):
                    raise self._broken(error.pos) from None
            except (ValueError, RecursionError):
                raise self._broken(self._at) from None
            else:
                return place, value

    def _more(self, least: int = 1) -> bool:
        """Drop what is decoded and read on, as much again as is held: a long value is not tried too often."""
        self._line, self._column = self._position(self._at)
        pieces, read = [self._text[self._at :]], 0
        self._at = 0
        while read < least and not self._ended:
            block = self._source.read()
            self._ended = not block
            pieces.append(self._decoded(block))
            read += len(pieces[-1])
        self._text = "".join(pieces)
        return read > 0

    def _decoded(self, block: bytes) -> str:
        try:
            return self._utf8.decode(block, final=not block)
        except UnicodeDecodeError:
            raise Place(self._source.name, self._line).error("item", "is not UTF-8", "UTF-8 text") from None

    def _position(self, at: int) -> tuple[int, int]:
        """The line and the column of a character held."""
        breaks = self._text.count("\n", 0, at)
        if not breaks:
            return self._line, self._column + at
        return self._line + breaks, at - self._text.rfind("\n", 0, at)

    def _broken(self, at: int) -> TraceError:
        line, column = self._position(at)
        return Place(self._source.name, line).error("item", f"is not JSON at column {column}", "one array of objects")


def _loaded(line: Line) -> Any:
    try:
        return json.loads(line.text())
    except json.JSONDecodeError as error:
        where = f"is not JSON at column {error.colno}"
    except TraceError:
        raise
    except (ValueError, RecursionError):
        where = "is not JSON that can be read"
    raise line.place.error("line", where, "one JSON object a line")


def _object(value: Any, place: Place, what: str, allowed: str) -> Row:
    if not isinstance(value, dict):
        raise place.error(what, f"is a JSON {type(value).__name__}", allowed)
    return value
