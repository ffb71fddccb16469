"""The kernel's own evidence that it killed processes for want of memory: its log, and the counter of our cgroup.

What cannot be read here (no ``/dev/kmsg`` in most containers, no cgroup) is no evidence, and no error.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_KMSG = Path("/dev/kmsg")
_CGROUPS = Path("/sys/fs/cgroup")
_KILLED = re.compile(r"Killed process (\d+)")
_COUNT = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_RECORD_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: seconds since the machine started, and how many of our cgroup had been killed by then."""

    at_s: float
    kills: int | None


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that the kernel killed, and its words."""

    pid: int
    text: str


def mark() -> Mark:
    """Take note of now."""
    return Mark(time.monotonic(), kills_of_cgroup())


def kills_since(since: Mark) -> tuple[Kill, ...]:
    """What the kernel's log says it has killed since then, on the whole machine."""
    return tuple(killed(_records(), since.at_s))


def counted_since(since: Mark) -> str | None:
    """The counter's word on kills in our cgroup since then; None where there were none, or nothing can be read."""
    now = kills_of_cgroup()
    if now is None or since.kills is None or now <= since.kills:
        return None
    return f"the kernel killed {now - since.kills} process(es) of this cgroup for want of memory (oom_kill {now})"


def killed(records: Iterable[str], since_s: float) -> Iterable[Kill]:
    """The kills among records of ``/dev/kmsg``: ``priority,sequence,microseconds,flags;text``."""
    for record in records:
        head, _, text = record.partition(";")
        fields = head.split(",")
        found = _KILLED.search(text)
        if found and len(fields) > 2 and fields[2].isdigit() and int(fields[2]) / 1e6 >= since_s:
            yield Kill(int(found[1]), text.splitlines()[0])


def kills_of_cgroup(membership: str | None = None, root: Path = _CGROUPS) -> int | None:
    """How many processes of our cgroup were ever killed for want of memory; None where that cannot be read.

    ``membership`` is the text of ``/proc/self/cgroup`` (None: ours); in a container its own cgroup is the root.
    """
    if membership is None:
        try:
            membership = Path("/proc/self/cgroup").read_text()
        except OSError:
            return None
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            names = (root / "memory" / path[1:] / "memory.oom_control", root / "memory" / "memory.oom_control")
        elif controllers == "":
            names = (root / path[1:] / "memory.events", root / "memory.events")
        else:
            continue
        for name in names:
            if (count := _count(name)) is not None:
                return count
    return None


def _count(path: Path) -> int | None:
    try:
        found = _COUNT.search(path.read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


def _records() -> Iterable[str]:
    """Yield what the kernel's log holds now, without waiting for more."""
    try:
        descriptor = os.open(_KMSG, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return
    try:
        while True:
            try:
                yield os.read(descriptor, _RECORD_BYTES).decode(errors="replace")
            except BrokenPipeError:  # older records were overwritten meanwhile
                continue
            except OSError:  # there is no more
                return
    finally:
        os.close(descriptor)
