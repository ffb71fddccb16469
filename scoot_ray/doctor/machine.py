"""Processor, disk, ports, open files and clock. What is read comes in as an argument, so that faults can be shown."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from scoot_ray.doctor.finding import Finding, fine, note, problem

GIB = 2**30
_RUNS_GIB, _MODELS_GIB = 2.0, 20.0
_RAY_FULL = 0.95
"""Ray stops writing to a disk that is fuller (its ``local_fs_capacity_threshold``)."""
_SHARED_GIB = 1.0
_FILES = 4096  # a stream of each request in flight, and the engine's own
_SLOW_CLOCKS = frozenset({"hpet", "acpi_pm", "jiffies"})
_ANSWER_S = 5.0
Usage: TypeAlias = Callable[[Path], tuple[int, int, int]]


def processor(cpuinfo: str | None = None, cores: int | None = None) -> Finding:
    """Whether vLLM's CPU backend runs here: it wants AVX2 at least, and is fast with AVX-512 or AMX."""
    text = _read(Path("/proc/cpuinfo")) if cpuinfo is None else cpuinfo
    count = cores or len(os.sched_getaffinity(0))
    flags = {word for line in text.splitlines() if line.startswith(("flags", "Features")) for word in line.split()}
    known = [name for name in ("amx_tile", "avx512f", "avx2", "asimd") if name in flags]
    said = f"{count} cores, {', '.join(known) or 'no vector instructions that vLLM wants'}"
    if not flags:
        return note("processor", f"{count} cores; /proc/cpuinfo does not tell their features")
    if not known:
        return note("processor", f"{said}: vLLM's CPU backend will not run here; engines on GPUs will")
    return fine("processor", said)


def disks(env: Mapping[str, str] | None = None, usage: Usage = shutil.disk_usage) -> Iterator[Finding]:
    """Room for runs, for Ray, for the models, and shared memory."""
    env = os.environ if env is None else env
    home = Path(env.get("HF_HOME") or Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache", "huggingface"))
    yield _room("disk for runs", Path.cwd(), _RUNS_GIB, usage, must=True)
    yield _room("disk for models", home, _MODELS_GIB, usage, must=False)
    yield _ray_disk(Path(env.get("RAY_TMPDIR") or "/tmp"), usage)  # noqa: S108 - where Ray writes unless told otherwise
    shared = Path("/dev/shm")  # noqa: S108 - what the engine's workers talk through
    if shared.is_dir():
        yield _room("shared memory", shared, _SHARED_GIB, usage, must=True, mend="docker run --shm-size 8g …")


def _room(about: str, path: Path, least_gib: float, usage: Usage, must: bool, mend: str | None = None) -> Finding:
    place = _existing(path)
    try:
        _, _, free = usage(place)
    except OSError as error:
        return problem(about, f"{path}: {error.strerror}", f"ls -ld {place}")
    said = f"{free / GIB:.1f} GiB free at {path}"
    if free >= least_gib * GIB:
        return fine(about, said)
    command = mend or f"du -xh --max-depth=2 {place} | sort -h | tail"
    said = f"{said}; wanted are {least_gib:g}"
    return problem(about, said, command) if must else note(about, said, command)


def _ray_disk(path: Path, usage: Usage) -> Finding:
    """Ray's own folder, which must not be nearly full."""
    about = "disk for Ray"
    try:
        total, _, free = usage(_existing(path))
    except OSError as error:
        return problem(about, f"{path}: {error.strerror}", f"export RAY_TMPDIR=FOLDER  # instead of {path}")
    full = 1 - free / total if total else 1.0
    if full < _RAY_FULL:
        return fine(about, f"{full:.0%} full at {path}")
    said = f"{path} is {full:.0%} full; from {_RAY_FULL:.0%} on Ray does not write"
    return problem(about, said, "export RAY_TMPDIR=FOLDER  # on a disk with room; or remove old /tmp/ray/session_*")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((one for one in (path, *path.parents) if one.exists()), Path("/"))


def ports(wanted: Sequence[int] = (6379, 8265), host: str = "127.0.0.1") -> Iterator[Finding]:
    """Whether engines can listen on loopback, and who has the ports of a Ray head (6379, and its dashboard's 8265)."""
    reason = _taken(0, host)
    if reason is not None:
        yield problem("ports", f"nothing can listen on {host}: {os.strerror(reason)}", "ip link set lo up")
        return
    taken = [port for port in wanted if _taken(port, host) == errno.EADDRINUSE]
    if taken:
        listed = ", ".join(str(port) for port in taken)
        said = f"{listed} taken on {host}: a Ray head that runs here, or another program in its place"
        yield note("ports", said, f"ss -ltnp 'sport = :{taken[0]}'")
    else:
        yield fine("ports", f"free on {host}: {', '.join(str(port) for port in wanted)}, and any for engines")


def _taken(port: int, host: str) -> int | None:
    """The error of listening there, None where one can."""
    with socket.socket() as one:
        try:
            one.bind((host, port))
            one.listen()
        except OSError as error:
            return error.errno
    return None


def open_files(limit: int | None = None) -> Finding:
    """How many files and connections a process may have open."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if soft == resource.RLIM_INFINITY or soft >= _FILES:
        return fine("open files", "no limit" if soft == resource.RLIM_INFINITY else f"up to {soft}")
    return problem("open files", f"up to {soft}; a heavy load wants {_FILES}", "ulimit -n 65536")


def clock(source: str | None = None, synchronised: Callable[[], bool | None] | None = None) -> Iterator[Finding]:
    """Whether it is cheap to read, and set by a time server, as journals of several nodes are compared by it."""
    name = _read(Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")) if source is None else source
    name = name.strip() or "unknown"
    if name in _SLOW_CLOCKS:
        said = f"{name} is slow to read, which costs the load generator time"
        yield note("clock", said, "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource")
    else:
        yield fine("clock", f"source {name}")
    answer = (_synchronised if synchronised is None else synchronised)()
    if answer is False:
        yield problem("clock", "is not set by a time server", "timedatectl set-ntp true")
    elif answer:
        yield fine("clock", "set by a time server")


def _synchronised() -> bool | None:
    """What systemd says of it; None where there is none, as in containers, whose host keeps the time."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(
            command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_ANSWER_S
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return {"yes": True, "no": False}.get(done.stdout.strip())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
