"""The folder of one evaluation on its node's own disk, in a place where it is found when its worker has been killed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scoot_ray.engine.node import claimed, node_folder

_TAIL_BYTES = 256 * 1024
_KEPT_S = 3600.0  # for whoever comes to fetch the logs


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """An empty folder until the context ends. What dead workers have left an hour ago or more goes, too.

    Raises:
        OSError: there is no room on the disk, or the place belongs to another user.
    """
    place = node_folder("scratch")
    _sweep(place)
    with claimed(place / f"{name}.lock"):
        folder = place / name
        folder.mkdir()
        try:
            yield folder
        finally:
            _remove(place, name)


def left_behind(name: str) -> dict[str, bytes]:
    """The last 256 KiB of each log of an evaluation whose worker has died on this node, by its path; then it goes."""
    place = node_folder("scratch")
    folder = place / name
    logs = {str(path.relative_to(folder)): _tail(path) for path in sorted(folder.rglob("*.log")) if path.is_file()}
    _remove(place, name)
    return {path: tail for path, tail in logs.items() if tail}


def _tail(path: Path) -> bytes:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL_BYTES))
        return stream.read(_TAIL_BYTES)


def _sweep(place: Path) -> None:
    for lock in place.glob("*.lock"):
        try:
            old = time.time() - lock.stat().st_mtime > _KEPT_S
        except FileNotFoundError:
            continue  # another has been quicker
        if old:
            with claimed(lock) as dead:  # a living worker holds its own
                if dead:
                    _remove(place, lock.stem)


def _remove(place: Path, name: str) -> None:
    shutil.rmtree(place / name, ignore_errors=True)
    (place / f"{name}.lock").unlink(missing_ok=True)
