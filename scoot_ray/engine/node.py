"""What the engines of one node share, whoever started them: claims and compiled code, in a folder of this user.

Claims are file locks: the kernel releases them when the process that holds them dies.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_S = 0.25


def node_folder(purpose: str) -> Path:
    """A folder on this node's own disk, for this user alone; made where it is missing.

    Raises:
        PermissionError: it is another user's, who could put code there for our engines to run.
    """
    own = Path(tempfile.gettempdir()) / f"scoot-ray-{os.getuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    if own.stat().st_uid != os.getuid():
        raise PermissionError(f"{own}: belongs to another user; remove it, or set TMPDIR to a folder of your own")
    folder = own / purpose
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def claimed(path: Path, deadline_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock of a file until the context ends; False where another held it for all of ``deadline_s``."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        ends_s = time.monotonic() + deadline_s
        while not (held := _locks(descriptor)) and time.monotonic() < ends_s:
            time.sleep(_POLL_S)
        yield held
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
