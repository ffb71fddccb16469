"""A folder on a file system of this machine: a local disk, or NFS."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalStorage:
    """Files are written aside and then renamed, so that a reader sees the old content or the new, nothing between."""

    path: Path

    exclusive = True  # link(2) fails where the name is taken, on NFS too

    def __str__(self) -> str:
        return str(self.path)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The same for several."""
        return [self.read(name) for name in names]

    def write(self, name: str, content: bytes, *, executable: bool = False) -> None:
        """Put a file there, whole."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = _aside(path)
        try:
            aside.write_bytes(content)
            if executable:
                aside.chmod(0o755)
            aside.replace(path)
        except OSError:
            _remove(aside)  # on a full disk its room is wanted
            raise

    def create(self, name: str, content: bytes) -> None:
        """Put a new file there: written aside, synced, then linked. Raises FileExistsError."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = _aside(path)
        try:
            with aside.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _link(aside, path)
            _sync_folder(path.parent)
        finally:
            _remove(aside)

    def names(self, under: str = "") -> tuple[str, ...]:
        """What is in a folder, in order."""
        try:
            return tuple(sorted(os.listdir(self.path / under)))  # noqa: PTH208 - names are all that is wanted
        except (FileNotFoundError, NotADirectoryError):
            return ()

    def delete(self, name: str) -> None:
        """Remove a file."""
        (self.path / name).unlink(missing_ok=True)

    def within(self, folder: str) -> LocalStorage:
        """A folder in this one."""
        return LocalStorage(self.path / folder)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")  # process ids are not unique over NFS


def _remove(aside: Path) -> None:
    """Remove what is no longer needed; where that fails, as on a disk gone read-only, it harms nobody."""
    with contextlib.suppress(OSError):
        aside.unlink(missing_ok=True)


def _link(aside: Path, path: Path) -> None:
    """Link; over NFS the answer to one that worked may be lost, and the second asking finds the name taken by us."""
    try:
        os.link(aside, path)
    except FileExistsError:
        if aside.stat().st_nlink != 2:
            raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
