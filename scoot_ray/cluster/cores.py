"""A core for the load generator, so that a busy engine does not make it late."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientCore:
    """The core of one client (None where there is none to spare) and those left to its engines."""

    core: int | None
    others: frozenset[int]

    def settle(self, pids: Iterable[int], pin: Callable[[Iterable[int], Iterable[int]], int]) -> None:
        """Keep ready engines off the core, and this thread on it."""
        if self.core is not None:
            pin(pids, self.others)
            os.sched_setaffinity(0, {self.core})


@contextmanager
def client_core() -> Iterator[ClientCore]:
    """Claim the highest core that no other client on this machine holds, until the context ends.

    At most half of the cores are ever claimed; a machine with one core has none to spare.
    """
    allowed = os.sched_getaffinity(0)
    folder = Path(tempfile.gettempdir()) / f"scoot-ray-cores-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        claims = sorted(allowed, reverse=True)[: len(allowed) // 2]
        core = next((core for core in claims if _claim(folder / str(core), stack)), None)
        try:
            yield ClientCore(core, frozenset(allowed - {core}))
        finally:
            os.sched_setaffinity(0, allowed)


def _claim(path: Path, stack: contextlib.ExitStack) -> bool:
    """Lock a file for as long as the stack lives; the kernel unlocks it if we die."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
