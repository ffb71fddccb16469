"""Compiled code that the engines of a node share, and who may load a model first.

Caches live in generations, of which a small file names the present one. A start that failed on a warm cache is tried
on a new generation; if that works, it becomes the present one, and nothing is taken from engines that use the other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from scoot_ray.engine.node import claimed, node_folder
from scoot_ray.search.trial import FailureKind

VARIABLES = {"VLLM_CACHE_ROOT": "vllm", "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton"}

MAY_BE_THE_CACHE = frozenset({FailureKind.CRASHED, FailureKind.START_TIMEOUT, FailureKind.INTERNAL})
"""Failures that a spoilt cache can look like; the others name a rule, a limit or a port."""

_POINTER = "present"
_FIRST = "first"


class NodeCaches:
    """The generations of one engine's Python (None: this one) on this node."""

    def __init__(self, python: str | None = None) -> None:
        self._root = node_folder("caches") / _digest(python or sys.executable)
        self._root.mkdir(mode=0o700, exist_ok=True)

    def present(self) -> Path:
        """The generation that engines use now."""
        return self._made(self._names()[0])

    def fresh(self) -> Path:
        """A new, empty generation that no other engine uses yet."""
        return self._made(secrets.token_hex(6))

    def adopt(self, generation: Path) -> None:
        """Make a generation the present one. That before stays for the engines that use it; one still older goes."""
        before, *former = self._names()
        if before == generation.name:
            return
        aside = self._root / f"{_POINTER}.{generation.name}"
        aside.write_text(f"{generation.name}\n{before}\n")
        aside.replace(self._root / _POINTER)
        for name in former:
            discard(self._root / name)

    def _names(self) -> list[str]:
        """The present generation and, where there is one, that before it."""
        with contextlib.suppress(OSError):
            return (self._root / _POINTER).read_text().split() or [_FIRST]
        return [_FIRST]

    def _made(self, name: str) -> Path:
        folder = self._root / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder


def variables(generation: Path, own: Mapping[str, str]) -> dict[str, str]:
    """What makes an engine keep its compiled code in a generation; nothing where the user says where (``own``)."""
    if VARIABLES.keys() & own.keys():
        return {}
    return {name: str(generation / folder) for name, folder in VARIABLES.items()}


def is_warm(generation: Path) -> bool:
    """Whether an engine has left anything there."""
    return any(files for folder in VARIABLES.values() for _, _, files in os.walk(generation / folder))


def entries(generation: Path) -> int:
    """How many files and folders are there: an engine that compiles adds to them, whatever it logs."""
    return sum(len(files) + len(folders) for _, folders, files in os.walk(generation))


def discard(generation: Path) -> None:
    """Remove a generation, as far as that goes."""
    with contextlib.suppress(OSError):
        shutil.rmtree(generation)


@contextmanager
def staging(generation: Path, service: object, deadline_s: float) -> Iterator[bool]:
    """Whether this engine loads ``service`` (any JSON) as the first of the node; others wait for the context's end.

    So weights are fetched and code is compiled once, not by all engines that happen to start together. Once the context
    has ended without an exception, nobody waits any more. After ``deadline_s`` of waiting all may go ahead.
    """
    key = _digest(json.dumps(service, sort_keys=True, default=str))
    done = generation / f"{key}.staged"
    with contextlib.ExitStack() as stack:
        first = not done.exists() and stack.enter_context(claimed(generation / f"{key}.lock", deadline_s))
        if done.exists():
            first = False
        if not first:
            stack.close()
        yield first
        if first:
            done.touch()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
