"""Who drives a study: a lease in its journal's folder, renewed while its driver lives. No clocks are compared.

``lease-000003.json`` names its driver: host, process, since when. It is created exclusively and rewritten every ten
seconds. A newcomer that finds one is refused while it changes. It takes over, with the next number, at once where the
driver ran on this machine and its process is gone, and otherwise once the lease has not changed for a minute of
watching. Who finds a higher number than its own has lost the study and writes no more.

Where the storage has no exclusive creation, a newcomer waits and reads back what it wrote. Two that start within the
same moment may then both go on until the first event of one of them meets the other's: this is not airtight.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from scoot_ray.storage.retrying import Retrying
from scoot_ray.storage.storage import Storage

_NAME = re.compile(r"lease-(\d{6})\.json")


class HeldError(Exception):
    """Another driver has the study; the message says which, as far as it is known."""


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """How often a lease is renewed, how long an unchanged one counts, and the wait before reading back, in seconds."""

    beat_s: float = 10.0
    stale_s: float = 60.0
    settle_s: float = 2.0


USUAL = LeaseTimes()


@dataclass(frozen=True, slots=True)
class _Driver:
    """The process behind a lease. ``machine`` is the same for two processes that see each other's ids."""

    owner: str
    host: str
    machine: str
    pid: int
    pid_began: float

    @property
    def gone(self) -> bool:
        """Whether it is known to be dead; False where that cannot be told from here."""
        if self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            return process.create_time() != self.pid_began or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Lease:
    """A study held. ``lost`` once another driver is seen to have taken over."""

    def __init__(self, storage: Storage, name: str, driver: _Driver) -> None:
        self._storage, self._name, self._driver = storage, name, driver
        self._once = storage.storage if isinstance(storage, Retrying) else storage  # the next beat is the second try
        self._beats, self._over = 0, threading.Event()
        self.lost = False

    def check(self) -> None:
        """Look whether the study is still ours.

        Raises:
            HeldError: it is not.
            OSError: the storage could not be asked.
        """
        self._check(self._storage)

    def renew(self) -> None:
        """Show that the driver lives. Raises as ``check``."""
        self._check(self._once)
        self._beats += 1
        self._once.write(self._name, _document(self._driver, self._beats))

    def beat(self, every_s: float) -> None:
        """Renew until released; a beat that fails is made up for by the next."""
        while not self._over.wait(every_s) and not self.lost:
            with contextlib.suppress(OSError, HeldError):
                self.renew()

    def release(self) -> None:
        """Let the next driver in. Where the storage fails, it has to find out by itself that this one is gone."""
        self._over.set()
        with contextlib.suppress(OSError, HeldError):
            self._check(self._once)
            self._once.delete(self._name)

    def _check(self, storage: Storage) -> None:
        newest = _newest(storage)
        kept = _driver(storage.read(self._name)) if newest == self._name else None
        self.lost = self.lost or newest != self._name or (kept is not None and kept.owner != self._driver.owner)
        if self.lost:
            raise HeldError("another driver has taken this study over")


@contextmanager
def hold(storage: Storage, times: LeaseTimes = USUAL, tell: Callable[[str], None] = lambda _: None) -> Iterator[Lease]:
    """Hold the study whose journal is in ``storage`` for this process; ``tell`` is told what is waited for.

    Raises:
        HeldError: another driver has it.
        OSError: the storage fails.
    """
    lease = _acquire(storage, times, tell)
    beating = threading.Thread(target=lease.beat, args=(times.beat_s,), name="lease", daemon=True)
    beating.start()
    try:
        yield lease
    finally:
        lease.release()
        beating.join(timeout=times.beat_s)


def holder(storage: Storage) -> str | None:
    """Who has the study, as far as can be told from here; None where nobody has, or who had it is known to be dead.

    A driver that died on another machine still counts. Raises OSError.
    """
    newest = _newest(storage)
    driver = _driver(storage.read(newest)) if newest is not None else None
    return None if newest is None or (driver is not None and driver.gone) else str(driver or "a process not known")


def _acquire(storage: Storage, times: LeaseTimes, tell: Callable[[str], None]) -> Lease:
    before = _newest(storage)
    if before is not None:
        _outlive(storage, before, times, tell)
    name = f"lease-{_number(before) + 1:06d}.json"
    driver = _Driver(uuid.uuid4().hex, socket.gethostname(), _machine(), os.getpid(), psutil.Process().create_time())
    try:
        storage.create(name, _document(driver, 0))
    except FileExistsError as error:
        raise HeldError("another driver has just started this study; stop it first") from error
    lease = Lease(storage, name, driver)
    if not storage.exclusive:
        time.sleep(times.settle_s)
        lease.check()
    for old in _leases(storage):
        if _number(old) < _number(name):
            storage.delete(old)
    return lease


def _outlive(storage: Storage, name: str, times: LeaseTimes, tell: Callable[[str], None]) -> None:
    """Return once the lease's driver is known, or has to be taken, to be dead, or has let go. Raises HeldError."""
    first = content = storage.read(name)
    driver = _driver(content)
    who = f"{driver}" if driver is not None else "its lease is not readable"
    if driver is not None and driver.gone:
        return
    held = HeldError(f"another driver is running this study ({who}); stop it first")
    if driver is not None and driver.machine == _machine():
        raise held
    tell(f"a lease of another driver is there ({who}): waiting up to {times.stale_s:.0f} s for a sign of life")
    deadline_s = time.monotonic() + times.stale_s
    while content is not None and time.monotonic() < deadline_s:
        time.sleep(min(1.0, times.beat_s / 2))
        content = storage.read(name)
        if content not in {None, first}:
            raise held


def _leases(storage: Storage) -> list[str]:
    return [name for name in storage.names() if _NAME.fullmatch(name)]


def _newest(storage: Storage) -> str | None:
    return max(_leases(storage), default=None)


def _number(name: str | None) -> int:
    found = _NAME.fullmatch(name) if name is not None else None
    return int(found[1]) if found is not None else 0


def _document(driver: _Driver, beats: int) -> bytes:
    return json.dumps({**asdict(driver), "beats": beats}).encode()


def _driver(content: bytes | None) -> _Driver | None:
    """The driver of a lease; None where it is gone, or torn by a write that was cut off."""
    try:
        document = json.loads(content or b"")
        return _Driver(*(document[key] for key in ("owner", "host", "machine", "pid", "pid_began")))
    except (ValueError, KeyError, TypeError):
        return None


def _machine() -> str:
    """The boot of this machine, and the space that process ids are counted in."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 - not a path
    except OSError:
        return f"{socket.gethostname()}/{uuid.getnode():x}"
