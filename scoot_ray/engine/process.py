"""One engine under its guardian: start, look, stop. See :mod:`scoot_ray.engine.guardian` for what that guarantees."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import psutil

from scoot_ray.engine.kernel import mark

_GUARDIAN = Path(__file__).with_name("guardian.py")
_REPORT_S = 30.0  # the guardian reports in a tenth of a second; a swamped machine gets its time
_SWEEP_S = 30.0  # the guardian's own limits after the grace, and a little


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """One server to start: its command, the whole of its environment, and where it will listen.

    ``cores`` are the CPU cores it keeps to from the first moment, none for those of this process. ``env`` and
    ``api_key`` hold secrets and stay out of ``repr``. An ``external`` one may serve elsewhere, from sockets that are
    not its processes', and be ended by a command of its own.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(repr=False)
    cwd: Path
    log_path: Path
    port: int
    host: str = "127.0.0.1"
    api_key: str | None = field(default=None, repr=False)
    health: str = "/health"
    served_at: str | None = None
    ready_url: str | None = None
    stop_argv: tuple[str, ...] = ()
    external: bool = False
    cores: tuple[int, ...] = ()

    @property
    def base_url(self) -> str:
        """Where the server answers."""
        return self.served_at or f"http://{self.host}:{self.port}"

    @property
    def health_url(self) -> str:
        """What answers 200 once it is ready."""
        return self.ready_url or self.base_url.rstrip("/") + self.health


class GuardianError(RuntimeError):
    """The guardian itself could not start or did not finish: this machine's fault, never the configuration's."""


class EngineProcess:
    """A started engine. Leaving its context stops it; so does the end of this process, however it comes."""

    def __init__(self, spec: EngineSpec, starter: subprocess.Popen[bytes]) -> None:
        self.spec = spec
        self.marked = mark()
        self._starter = starter
        self._control, self._status = _pipes(starter)
        self._reports: dict[str, int] = {}
        self._unread = b""
        os.set_blocking(self._status.fileno(), False)

    @property
    def guardian_pid(self) -> int:
        """The guardian's process id."""
        return self._reports["guardian"]

    @property
    def pid(self) -> int:
        """The process id of the engine's first process."""
        return self._reports["engine"]

    @property
    def pids(self) -> tuple[int, ...]:
        """The ids of all living processes of the engine, orphans included."""
        try:
            below = psutil.Process(self.guardian_pid).children(recursive=True)
        except (KeyError, psutil.NoSuchProcess):
            return ()
        return tuple(process.pid for process in below if _alive(process))

    def poll(self) -> int | None:
        """Return None while the engine runs, else its exit code: negative for a signal, 127 if it never started.

        An engine whose guardian was killed counts as killed, for the kernel ends it with its guardian.
        """
        ended = self._read_reports()
        return self._reports.get("exit", -9 if ended else None)

    def stop(self, grace_s: float = 5.0) -> None:
        """End the engine: SIGTERM, ``grace_s`` seconds, SIGKILL to all that is left. Does nothing the second time.

        Raises:
            GuardianError: where processes of the engine are left in spite of all.
        """
        if self._control.closed:
            return
        with contextlib.suppress(OSError):  # the guardian has ended: there is nothing to stop
            self._control.write(f"stop {grace_s}\n".encode())
        with contextlib.suppress(OSError):
            self._control.close()
        try:
            self._wait_for(lambda ended: ended, grace_s + _SWEEP_S, "end the engine")
        finally:
            left = self.pids
            self._status.close()
        if left:
            raise GuardianError(f"processes {left} of the engine at {self.spec.base_url} could not be ended")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _begin(self, order: Mapping[str, object]) -> None:
        """Give the guardian its order and wait until the engine has been started."""
        try:
            self._control.write(json.dumps(order).encode() + b"\n")
            self._control.flush()
            self._wait_for(lambda ended: ended or "engine" in self._reports, _REPORT_S, "start the engine")
        except OSError as error:
            raise GuardianError(f"the engine's guardian ended at once: {error}") from error
        if "engine" not in self._reports:
            raise GuardianError("the engine's guardian ended before it had started the engine")
        self._starter.wait(_REPORT_S)  # it only forks

    def _wait_for(self, done: Callable[[bool], bool], deadline_s: float, doing: str) -> None:
        """Read reports until ``done``, which is told whether the guardian has ended."""
        deadline = time.monotonic() + deadline_s
        while not done(self._read_reports()):
            if time.monotonic() > deadline:
                raise GuardianError(f"the engine's guardian took more than {deadline_s:.0f} s to {doing}")
            time.sleep(0.02)

    def _read_reports(self) -> bool:
        """Take in what the guardian has reported; True where it has ended."""
        if self._status.closed:
            return True
        try:
            while chunk := os.read(self._status.fileno(), 4096):
                *lines, self._unread = (self._unread + chunk).split(b"\n")
                for line in lines:
                    self._reports.update(json.loads(line))
        except BlockingIOError:
            return False
        return True


def start(spec: EngineSpec, grace_s: float = 5.0) -> EngineProcess:
    """Start an engine under a guardian of its own; returns before it is ready.

    ``grace_s`` is what the engine gets between SIGTERM and SIGKILL where this process dies. A program that cannot be
    executed shows as exit code 127, with the reason in the log.

    Raises:
        GuardianError: where no guardian could be started.
    """
    spec.log_path.parent.mkdir(parents=True, exist_ok=True)
    with spec.log_path.open("ab") as log:
        starter = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_GUARDIAN)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
        )
    process = EngineProcess(spec, starter)
    try:
        process._begin(
            {
                "argv": spec.argv,
                "env": dict(spec.env),
                "cwd": str(spec.cwd),
                "log": str(spec.log_path.absolute()),
                "grace_s": grace_s,
                "cores": spec.cores,
            }
        )
    except GuardianError:
        process.stop()
        raise
    return process


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nothing listens on now. Another may take it first, which shows as PORT_TAKEN."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def pin(pids: Iterable[int], cores: Iterable[int]) -> int:
    """Bind every thread of the processes to ``cores`` and return how many threads; later threads inherit it.

    Call it on a ready engine, to keep a core for the client that measures it.

    Raises:
        ValueError: where this process may not use those cores, or none are given.
    """
    wanted = frozenset(cores)
    if not wanted or not wanted <= os.sched_getaffinity(0):
        allowed = sorted(os.sched_getaffinity(0))
        raise ValueError(f"cannot pin an engine to cores {sorted(wanted)}: this process may use {allowed}")
    bound = 0
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            for thread in psutil.Process(pid).threads():
                os.sched_setaffinity(thread.id, wanted)
                bound += 1
    return bound


def _pipes(starter: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return the control and the status pipe."""
    assert starter.stdin is not None
    assert starter.stdout is not None
    return starter.stdin, starter.stdout


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
