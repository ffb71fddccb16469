"""Starts one engine, outlives whoever asked for it, and leaves no process behind. A script of its own, stdlib only.

Run as ``python -I -S guardian.py``. Standard input is the control pipe: its first line is the order as JSON
(``argv``, ``env``, ``cwd``, ``log``, ``grace_s``, ``cores``), a later line ``stop GRACE_S`` ends the engine, and so
does the end of the pipe, which is what the starter's death looks like. Standard output is the status pipe, JSON lines
``{"guardian": pid}``, ``{"engine": pid}``, ``{"exit": code}``; it closes when every process is gone.

Why so much: an engine started the plain way outlives a killed Ray worker, and its children outlive *it*. Here the
guardian leaves its starter's process tree (two forks, a session of its own), adopts every orphan among its
descendants (PR_SET_CHILD_SUBREAPER), and ends them by the ids it finds under itself, never by name.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SETTLE_S = 3.0  # for what is left of an engine to end in order
LINGER_S = 2.0  # for Python's resource trackers to remove the shared memory of the killed
SWEEP_S = 10.0  # for processes that even SIGKILL does not end at once (a driver call under way)
CANNOT_EXECUTE = 127


class Order:
    """What to start: the first line of the control pipe. Importing ``dataclasses`` would double the time to start."""

    def __init__(
        self, argv: list[str], env: dict[str, str], cwd: str, log: str, grace_s: float, cores: list[int]
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.log = log
        self.grace_s = grace_s
        self.cores = cores


def main() -> None:
    """Detach, start the engine, watch over it, leave nothing."""
    control = Control()
    order = Order(**json.loads(control.line()))
    if not detach():
        return
    wake = wake_on_signals()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    tell(guardian=os.getpid())
    engine = launch(order)
    tell(engine=engine)
    code = watch(engine, control, wake)
    if code is None:
        code = end(engine, order.grace_s if control.grace_s is None else control.grace_s, wake)
    tell(exit=code)
    sweep(wake)


def detach() -> bool:
    """Leave the starter's process tree and session; True in the process that goes on."""
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True


def prctl(option: int, value: int) -> None:
    """Set a process attribute; without it the rest still works, so a refusal is no failure."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def wake_on_signals() -> int:
    """Route SIGCHLD and requests to end into a pipe that ``select`` can wait for; return its reading end."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    return reading


def tell(**status: int) -> None:
    """Report to the starter, if it is still there."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(status).encode() + b"\n")


def launch(order: Order) -> int:
    """Start the engine in a session of its own, its output appended to the log; return its process id."""
    guardian = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        become(order, guardian)
    except OSError as error:
        os.write(2, f"cannot start {order.argv[0]}: {error}\n".encode())
    os._exit(CANNOT_EXECUTE)


def become(order: Order, guardian: int) -> None:
    """Turn this process into the engine; returns only by an OSError."""
    log = os.open(order.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian:  # it died before the line above took effect
        os._exit(CANNOT_EXECUTE)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    if order.cores:
        os.sched_setaffinity(0, order.cores)
    os.chdir(order.cwd)
    os.execvpe(order.argv[0], order.argv, order.env)  # noqa: S606 - no shell is wanted


class Control:
    """The control pipe. ``grace_s`` is None until a stop command brings one."""

    def __init__(self) -> None:
        self.grace_s: float | None = None
        self._read = b""

    def line(self) -> bytes:
        """Wait for a whole line and return it; what the pipe held, where it ended before."""
        while b"\n" not in self._read and (chunk := os.read(0, 65536)):
            self._read += chunk
        line, _, self._read = self._read.partition(b"\n")
        return line

    def asks_to_stop(self) -> bool:
        """Read a line; True for a stop command, and where the starter is gone."""
        line = self.line()
        if line.startswith(b"stop"):
            self.grace_s = float(line.split()[1])
        return line == b"" or self.grace_s is not None


def watch(engine: int, control: Control, wake: int) -> int | None:
    """Wait until the engine exits (its exit code) or is to be ended (None)."""
    while True:
        readable, _, _ = select.select([0, wake], [], [])
        if wake in readable:
            asked = any(number in (signal.SIGTERM, signal.SIGINT) for number in drained(wake))
            code = reaped(engine)
            if code is not None:
                return code
            if asked:
                return None
        if 0 in readable and control.asks_to_stop():
            return None


def end(engine: int, grace_s: float, wake: int) -> int:
    """SIGTERM to the engine's group, its grace, then SIGKILL; return the exit code."""
    signal_group(engine, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := deadline - time.monotonic()) > 0:
        if (code := reaped(engine)) is not None:
            return code
        select.select([wake], [], [], left)
        drained(wake)
    signal_all([engine], signal.SIGKILL)
    deadline = time.monotonic() + SWEEP_S
    while time.monotonic() < deadline:
        if (code := reaped(engine)) is not None:
            return code
        time.sleep(0.02)
    return -signal.SIGKILL


def sweep(wake: int) -> None:
    """End and reap every descendant that is left; as their subreaper we are above all of them.

    Not SIGKILL at once: an engine's shared memory, hundreds of megabytes, outlives it unless its processes end in
    order, or at least its resource tracker does, which ignores SIGTERM and ends after all others.
    """
    signal_all(descendants(os.getpid()), signal.SIGTERM)
    if alone_within(SETTLE_S, wake):
        return
    signal_all([pid for pid in descendants(os.getpid()) if not ignores_sigterm(pid)], signal.SIGKILL)
    if alone_within(LINGER_S, wake):
        return
    deadline = time.monotonic() + SWEEP_S
    while time.monotonic() < deadline:
        signal_all(descendants(os.getpid()), signal.SIGKILL)
        if alone_within(0.1, wake):
            return


def alone_within(limit_s: float, wake: int) -> bool:
    """Reap what ends; whether no descendant is left before the time is up."""
    deadline = time.monotonic() + limit_s
    while True:
        reaped(-1)
        if not descendants(os.getpid()):
            return True
        if time.monotonic() > deadline:
            return False
        select.select([wake], [], [], 0.02)
        drained(wake)


def signal_all(pids: list[int], number: int) -> None:
    """Send a signal to each of the processes that are still there."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def ignores_sigterm(pid: int) -> bool:
    """Whether a process has asked for SIGTERM to be ignored; False where it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - pathlib would slow the start
            mask = next(line for line in file if line.startswith(b"SigIgn:")).split()[1]
    except (OSError, StopIteration):
        return False
    return bool(int(mask, 16) >> (signal.SIGTERM - 1) & 1)


def signal_group(leader: int, number: int) -> None:
    """Send a signal to the process group that ``leader`` made with its session."""
    with contextlib.suppress(OSError):
        os.killpg(leader, number)


def reaped(wanted: int) -> int | None:
    """Reap whatever has ended; return the exit code of ``wanted`` (negative for a signal) if it was among it."""
    code = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if pid == 0:
            return code
        if pid == wanted:
            code = os.waitstatus_to_exitcode(status)


def drained(wake: int) -> bytes:
    """Return the signal numbers that arrived."""
    try:
        return os.read(wake, 4096)
    except BlockingIOError:
        return b""


def descendants(root: int) -> list[int]:
    """Return the ids of all processes below ``root``, zombies too."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would slow the start
        if name.isdigit():
            children.setdefault(parent_of(name), []).append(int(name))
    found, open_ids = [], [root]
    while open_ids:
        below = children.get(open_ids.pop(), [])
        found += below
        open_ids += below
    return found


def parent_of(name: str) -> int:
    """Return the parent's id of the process ``name``, -1 where it is gone."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - pathlib would slow the start
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:
        return -1


if __name__ == "__main__":
    main()
