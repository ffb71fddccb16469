"""A trace file's bytes: read once, hashed as they pass, cut into lines of bounded length."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

from scoot_ray.load.errors import TraceError

LONGEST_LINE_BYTES = 16 << 20
_BLOCK_BYTES = 1 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands."""

    file: str
    line: int

    def error(self, field: str, reason: str, allowed: str) -> TraceError:
        """``file:line: field: reason; allowed …``. What is passed in must not quote a prompt."""
        return TraceError(f"{self.file}:{self.line}: {field}: {reason}; allowed {allowed}")


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank; ``raw`` is None where it is too long to be read."""

    place: Place
    raw: bytes | None

    def text(self) -> str:
        """The line without its surrounding blanks. Raises TraceError where it is no text."""
        if self.raw is None:
            raise self.place.error("line", f"is longer than {LONGEST_LINE_BYTES >> 20} MiB", "shorter lines")
        try:
            return self.raw.decode().strip()
        except UnicodeDecodeError:
            raise self.place.error("line", "is not UTF-8", "UTF-8 text") from None


class Source:
    """An open trace file. Whatever is read is hashed."""

    __slots__ = ("_digest", "_file", "name")

    def __init__(self, file: BufferedReader, name: str) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.name = name

    def starts_with(self, mark: bytes) -> bool:
        """Whether the first byte that is not blank is ``mark``; reads nothing."""
        return self._file.peek(_BLOCK_BYTES).removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(mark)

    def read(self) -> bytes:
        """The next block; empty at the end."""
        return self._hashed(self._file.read(_BLOCK_BYTES))

    def lines(self) -> Iterator[Line]:
        """Yield the lines that are not blank."""
        number = 0
        while raw := self._hashed(self._file.readline(LONGEST_LINE_BYTES)):
            number += 1
            place = Place(self.name, number)
            if len(raw) == LONGEST_LINE_BYTES and not raw.endswith(b"\n"):
                self._skip_line()
                yield Line(place, None)
                continue
            raw = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
            if raw.strip():
                yield Line(place, raw)

    def sha256(self) -> str:
        """Read what is left and return the whole file's hash."""
        while self.read():
            pass
        return self._digest.hexdigest()

    def _skip_line(self) -> None:
        while (rest := self._hashed(self._file.readline(_BLOCK_BYTES))) and not rest.endswith(b"\n"):
            pass

    def _hashed(self, data: bytes) -> bytes:
        self._digest.update(data)
        return data
