"""A storage that fails on request: an error, a crash before or after the deed, a write cut off in the middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from scoot_ray.storage import Storage

How = Literal["before", "after", "torn"]


class Crash(BaseException):
    """The process dies: no handler may go on from here."""


class Faults:
    """Counts the operations that change something; at the ``at``-th, ``raises`` in the way ``how``, ``times`` over.

    ``torn`` leaves the first half of what was to be written, under its name, as an object store may.
    """

    def __init__(
        self, at: int, how: How = "before", raises: Callable[[], BaseException] = Crash, times: int = 1
    ) -> None:
        self.at, self.how, self.raises, self.times = at, how, raises, times
        self.count = 0

    @property
    def due(self) -> bool:
        self.count += 1
        return self.at < self.count <= self.at + self.times


class MemoryStorage:
    """Files in a dictionary, which storages within share."""

    exclusive = True

    def __init__(self, files: dict[str, bytes] | None = None, prefix: str = "") -> None:
        self._files: dict[str, bytes] = {} if files is None else files
        self._prefix = prefix

    def __str__(self) -> str:
        return f"memory://{self._prefix}"

    def read(self, name: str) -> bytes | None:
        return self._files.get(self._prefix + name)

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        return [self.read(name) for name in names]

    def write(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._files[self._prefix + name] = content

    def create(self, name: str, content: bytes) -> None:
        if self._prefix + name in self._files:
            raise FileExistsError(name)
        self.write(name, content)

    def names(self, under: str = "") -> tuple[str, ...]:
        prefix = self._prefix + (f"{under}/" if under else "")
        inside = {name.removeprefix(prefix).partition("/")[0] for name in self._files if name.startswith(prefix)}
        return tuple(sorted(inside))

    def delete(self, name: str) -> None:
        self._files.pop(self._prefix + name, None)

    def within(self, folder: str) -> MemoryStorage:
        return MemoryStorage(self._files, f"{self._prefix}{folder}/")


class FaultyStorage:
    """Another storage with faults; what is within shares them."""

    def __init__(self, storage: Storage, faults: Faults, exclusive: bool = True) -> None:
        self._storage, self._faults, self._exclusive = storage, faults, exclusive

    def __str__(self) -> str:
        return str(self._storage)

    @property
    def exclusive(self) -> bool:
        return self._exclusive

    def read(self, name: str) -> bytes | None:
        return self._storage.read(name)

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        return self._storage.read_many(names)

    def write(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._change(lambda part: self._storage.write(name, part, executable=executable), content)

    def create(self, name: str, content: bytes) -> None:
        self._change(lambda part: self._storage.create(name, part), content)

    def names(self, under: str = "") -> tuple[str, ...]:
        return self._storage.names(under)

    def delete(self, name: str) -> None:
        self._change(lambda _: self._storage.delete(name), b"")

    def within(self, folder: str) -> FaultyStorage:
        return FaultyStorage(self._storage.within(folder), self._faults, self._exclusive)

    def _change(self, change: Callable[[bytes], None], content: bytes) -> None:
        due = self._faults.due
        if not due or self._faults.how == "after":
            change(content)
        elif self._faults.how == "torn" and content:
            change(content[: len(content) // 2])
        if due:
            raise self._faults.raises()
