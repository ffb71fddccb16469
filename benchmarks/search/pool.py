"""Work on all cores, into a folder that nobody else writes to; whatever fails is said, and all of it goes to a file."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoot_ray.sweep import begin_worker

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class FolderInUse(RuntimeError):  # noqa: N818 - says what is wrong
    """Another process runs cells into the same folder."""


@dataclass(frozen=True, slots=True)
class Task:
    """``work`` is called in another process and says in a line what it did."""

    name: str
    work: Callable[..., str]
    arguments: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """A task that ended: a line about it, and whether it failed."""

    line: str
    failed: bool


def run_tasks(folder: Path, tasks: Sequence[Task], jobs: int) -> Iterator[Progress]:
    """Run tasks, ``jobs`` processes of one thread at a time; yield as they end. Tracebacks go to ``folder/failed``."""
    for name in _ONE_THREAD:  # of the processes started from here
        os.environ[name] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=begin_worker, initargs=(os.getpid(),)) as pool:
        running = {pool.submit(task.work, *task.arguments): task.name for task in tasks}
        try:
            for number, done in enumerate(as_completed(running), start=1):
                error, name = done.exception(), running[done]
                said = done.result() if error is None else _noted(folder, name, error)
                yield Progress(f"{number:>5} of {len(running)}  {name}  {said}", error is not None)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _noted(folder: Path, name: str, error: BaseException) -> str:
    """What went wrong, in a line; all of it goes to a file."""
    path = folder / "failed" / f"{name.replace('  ', ' ').replace(' ', '-').replace('/', '-')}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return f"failed: {type(error).__name__}, see {path}"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Two writers would spoil each other's journals.

    Raises:
        FolderInUse: by another run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(f"{folder}: another run is at work there; wait for it or choose another folder") from None
        yield
