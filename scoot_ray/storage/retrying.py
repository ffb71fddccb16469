"""Patience with storage: what may pass is tried again for about a minute, what will not is given up at once."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from scoot_ray.storage.storage import Storage

_Result = TypeVar("_Result")
# A full disk is not among them: somebody may make room.
_LASTING = frozenset({errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL})
_LASTING_KINDS = (FileExistsError, FileNotFoundError, PermissionError, NotADirectoryError, IsADirectoryError)
# The AWS SDK's names of what no waiting mends; pyarrow hands them on in the message alone.
_LASTING_SIGNS = ("ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "HTTP 403")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait before each further try."""

    waits_s: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 16.0)
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Retrying:
    """A storage whose every verb is tried again within bounds."""

    storage: Storage
    patience: Patience = Patience()

    def __str__(self) -> str:
        return str(self.storage)

    @property
    def exclusive(self) -> bool:
        """As the storage beneath."""
        return self.storage.exclusive

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""
        return self._tried(lambda: self.storage.read(name))

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The same for several."""
        return self._tried(lambda: self.storage.read_many(names))

    def write(self, name: str, content: bytes, *, executable: bool = False) -> None:
        """Put a file there, whole."""
        self._tried(lambda: self.storage.write(name, content, executable=executable))

    def create(self, name: str, content: bytes) -> None:
        """Put a new file there. A try that failed may have left it there, or a part of it: then it is ours.

        Raises:
            FileExistsError: there was one of that name before.
        """
        tries = 0

        def create() -> None:
            nonlocal tries
            tries += 1
            try:
                self.storage.create(name, content)
            except FileExistsError:
                found = self.storage.read(name) if tries > 1 else None
                if found is None or not content.startswith(found):
                    raise
                if found != content:
                    self.storage.write(name, content)

        self._tried(create)

    def names(self, under: str = "") -> tuple[str, ...]:
        """What is in a folder, in order."""
        return self._tried(lambda: self.storage.names(under))

    def delete(self, name: str) -> None:
        """Remove a file."""
        self._tried(lambda: self.storage.delete(name))

    def within(self, folder: str) -> Retrying:
        """A folder in this one."""
        return Retrying(self.storage.within(folder), self.patience)

    def _tried(self, call: Callable[[], _Result]) -> _Result:
        for wait_s in self.patience.waits_s:
            try:
                return call()
            except OSError as error:
                if _lasts(error):
                    raise
            self.patience.sleep(wait_s)
        return call()


def _lasts(error: OSError) -> bool:
    if isinstance(error, _LASTING_KINDS) or error.errno in _LASTING:
        return True
    return any(sign in str(error) for sign in _LASTING_SIGNS)
