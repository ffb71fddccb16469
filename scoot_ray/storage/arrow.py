"""A folder in object storage or HDFS, through pyarrow's filesystems.

They have no creation that fails where the name is taken (no conditional put), so ``create`` looks first and reads back
afterwards: a second writer is noticed, unless both write within the same moment. A file is one object put whole; where
a process dies while it writes, S3 and GCS show nothing of it, Azure and HDFS may show a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

_AT_ONCE = 16
_FLAT = frozenset({"s3", "gcs", "abfs"})  # their folders need not be made


@dataclass(frozen=True, slots=True)
class ArrowStorage:
    """``filesystem`` is a ``pyarrow.fs.FileSystem``, ``root`` a path in it; ``name`` is what the user calls it."""

    filesystem: Any
    root: str
    name: str

    exclusive = False

    def __str__(self) -> str:
        return self.name

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            with self.filesystem.open_input_file(self._path(name)) as file:
                return bytes(file.read())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The same for several, some at a time."""
        with ThreadPoolExecutor(_AT_ONCE) as threads:
            return list(threads.map(self.read, names))

    def write(self, name: str, content: bytes, *, executable: bool = False) -> None:  # noqa: ARG002 - objects are not run
        """Put a file there, whole."""
        path = self._path(name)
        if self.filesystem.type_name not in _FLAT:
            self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        stream = self.filesystem.open_output_stream(path, compression=None)
        try:
            stream.write(content)
        finally:
            stream.close()

    def create(self, name: str, content: bytes) -> None:
        """Put a new file there, and see that it is ours. Raises FileExistsError."""
        if self.read(name) is not None:
            raise FileExistsError(f"{self.name}/{name}: is there already")
        self.write(name, content)
        if self.read(name) != content:
            raise FileExistsError(f"{self.name}/{name}: somebody else wrote it at the same moment")

    def names(self, under: str = "") -> tuple[str, ...]:
        """What is in a folder, in order."""
        from pyarrow.fs import FileSelector  # noqa: PLC0415 - an optional extra

        try:
            found = self.filesystem.get_file_info(FileSelector(self._path(under), allow_not_found=True))
        except NotADirectoryError:
            return ()
        return tuple(sorted(str(one.base_name) for one in found))

    def delete(self, name: str) -> None:
        """Remove a file."""
        try:
            self.filesystem.delete_file(self._path(name))
        except FileNotFoundError:
            return

    def within(self, folder: str) -> ArrowStorage:
        """A folder in this one; what follows ``?`` in its name stays at the end."""
        place, mark, options = self.name.partition("?")
        return ArrowStorage(self.filesystem, self._path(folder), f"{place.rstrip('/')}/{folder}{mark}{options}")

    def _path(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}".rstrip("/")
