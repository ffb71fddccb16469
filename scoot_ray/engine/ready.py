"""Waiting for an engine to be ready, and believing it only when it is the one we started."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum, auto
from pathlib import Path

from scoot_ray.engine.diagnose import Diagnosis, diagnose
from scoot_ray.engine.post_mortem import log_lines, post_mortem
from scoot_ray.engine.process import EngineProcess
from scoot_ray.engine.server import answers
from scoot_ray.engine.signs import Signs
from scoot_ray.search.trial import Config, FailureKind

_POLL_S = 0.25
_LOG_BYTES = 1_000_000
_LISTENING = "0A"
_HUNG = 1
"""The exit code that a dead engine would have had, if its process had ended."""


class StartFailed(Exception):  # noqa: N818 - says what happened, as FailureKind does
    """An engine did not become ready. ``kind`` says whose fault that is, ``detail`` is the line that shows it."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis)  # the arguments are what survives pickling
        self.diagnosis = diagnosis

    @property
    def kind(self) -> FailureKind:
        """Why the engine did not start."""
        return self.diagnosis.kind

    @property
    def detail(self) -> str:
        """The line of the log that shows it."""
        return self.diagnosis.evidence

    def __str__(self) -> str:
        return f"the engine did not start ({self.kind}): {self.detail}"


class Listener(Enum):
    """Who listens on a port."""

    NOBODY = auto()
    OURS = auto()
    FOREIGN = auto()


def wait_ready(
    process: EngineProcess,
    deadline_s: float,
    config: Config | None = None,
    silence_s: float = math.inf,
    cache: Path | None = None,
) -> float:
    """Wait until the engine says that it is healthy, from a socket of its own; return the seconds that took.

    It may take ``deadline_s`` in all, and be silent for ``silence_s``: a line of the log, or a new entry in ``cache``,
    is a sign that it gets on. One that has said that it is dead is not waited for, though its process may hang.
    ``config`` lets the diagnosis name the parameters involved. The engine is left running whatever happens.

    Raises:
        StartFailed: where the engine exits or dies, another server has its port, or its time is over (START_TIMEOUT).
    """
    began_s, signs = time.monotonic(), Signs(process.spec.log_path, cache)
    while True:
        if process.poll() is not None:
            raise StartFailed(post_mortem(process, "start", config))
        listener = _listener(process)
        # Looked at twice: a process of ours may have begun to listen after its siblings were counted.
        if listener is Listener.FOREIGN and _listener(process) is Listener.FOREIGN:
            raise StartFailed(_taken(process.spec.port))
        if listener is Listener.OURS and answers(process.spec.health_url):
            return time.monotonic() - began_s
        signs.look()
        if signs.is_dead:
            raise StartFailed(diagnose(_HUNG, log_lines(process.spec.log_path), "start", config))
        if time.monotonic() - began_s > deadline_s:
            raise StartFailed(_late(process, config, f"not ready after {deadline_s:.0f} s"))
        if signs.silent_s > silence_s:
            raise StartFailed(_late(process, config, f"no sign of progress for {silence_s:.0f} s"))
        time.sleep(_POLL_S)


def listening(port: int, pids: Iterable[int]) -> Listener:
    """Return who listens on a TCP port of this machine.

    One socket that belongs to none of ``pids`` makes it FOREIGN: engines that set SO_REUSEPORT would share the port,
    and the kernel would hand either of them our requests.
    """
    sockets = _listening_inodes(port)
    if not sockets:
        return Listener.NOBODY
    return Listener.OURS if sockets <= _inodes_of(pids) else Listener.FOREIGN


def _listener(process: EngineProcess) -> Listener:
    """Whose the port is; of an external service nobody can tell, so nothing may have answered before it was started."""
    if process.spec.external:
        return Listener.OURS
    return listening(process.spec.port, process.pids)


def read_log(path: Path) -> str:
    """Return the log's last megabyte, "" where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _LOG_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _listening_inodes(port: int) -> set[str]:
    """Return the inodes of the sockets that listen on ``port``, over IPv4 and IPv6."""
    inodes = set()
    for table in ("tcp", "tcp6"):
        lines = Path("/proc/net", table).read_text().splitlines()[1:]
        for columns in map(str.split, lines):
            if columns[3] == _LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                inodes.add(columns[9])
    return inodes


def _inodes_of(pids: Iterable[int]) -> set[str]:
    """Return the inodes of all sockets that the processes hold."""
    inodes = set()
    for pid in pids:
        try:
            descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:  # it has just ended
            continue
        for descriptor in descriptors:
            with contextlib.suppress(OSError):  # it has just been closed
                inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
    return inodes


def _late(process: EngineProcess, config: Config | None, how: str) -> Diagnosis:
    """What the log says of an engine that is given up, or else what it was given up for."""
    found = post_mortem(process, "start", config)
    if found.kind is not FailureKind.START_TIMEOUT:
        return found
    return replace(found, evidence=f"{how}; {found.evidence}")


def _taken(port: int) -> Diagnosis:
    return Diagnosis(
        kind=FailureKind.PORT_TAKEN,
        evidence=f"another process listens on port {port}",
        advice="nothing to do: the evaluation is repeated on another port",
    )
