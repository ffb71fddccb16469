"""What is asked of a place that keeps a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Storage(Protocol):
    """A folder of whole files. Names are relative, with ``/``; folders come and go with what is in them.

    ``str()`` of it is how a user names it. Every verb may raise OSError.
    """

    @property
    def exclusive(self) -> bool:
        """Whether of two processes that ``create`` the same name at the same moment only one succeeds."""

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none."""

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """The same for several, in their order; all at once where each alone would be a round trip."""

    def write(self, name: str, content: bytes, *, executable: bool = False) -> None:
        """Put a file there, whole, in place of what had that name."""

    def create(self, name: str, content: bytes) -> None:
        """Put a new file there, whole, and see it safe.

        Raises:
            FileExistsError: there is one of that name.
        """

    def names(self, under: str = "") -> tuple[str, ...]:
        """What is in a folder, files and folders, by their last name, in order; empty where there is no such folder."""

    def delete(self, name: str) -> None:
        """Remove a file; nothing happens where there is none."""

    def within(self, folder: str) -> Storage:
        """A folder in this one."""
