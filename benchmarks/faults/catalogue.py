"""The faults: what is done, to which processes, and whether the study's driver can survive it."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.faults.machines import RAY, NotReady, Stage, kill, send
from benchmarks.faults.play import Play


@dataclass(frozen=True, slots=True)
class Scene:
    """Where it is done; what is left to chance comes from ``random``."""

    stage: Stage
    play: Play
    random: Random


Strike = Callable[[Scene], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """``strike`` does it on entry; on exit, once the driver has ended, it is undone.

    ``ends``: the driver ends by it or must be stopped for it, and ``resume`` goes on.
    """

    says: str
    strike: Strike
    ends: bool = False
    as_job: bool = False
    networked: bool = False
    small_disk: bool = False


def _once(strike: Callable[[Scene], None]) -> Strike:
    @contextmanager
    def struck(scene: Scene) -> Iterator[None]:
        strike(scene)
        yield

    return struck


def _kill_raylet(scene: Scene) -> None:
    _hit(send(scene.random.choice(scene.stage.nodes).named("raylet/raylet"), signal.SIGKILL), "raylet")


def _terminate_node(scene: Scene) -> None:
    scene.random.choice(scene.stage.nodes).process.terminate()


def _drain_node(scene: Scene) -> None:
    node = scene.random.choice(scene.stage.nodes)
    command = [RAY, "drain-node", f"--address={scene.stage.address}", f"--node-id={node.node_id}"]
    reason = ["--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=taken back"]
    left_s = scene.random.randint(3, 20)
    left = f"--deadline-remaining-seconds={left_s}"
    subprocess.run(
        [*command, *reason, left], env=scene.stage.environment(), check=True, capture_output=True, timeout=60
    )
    time.sleep(left_s)
    node.process.terminate()  # as the provider does at its deadline


def _kill_worker(scene: Scene) -> None:
    nodes = scene.random.sample(scene.stage.nodes, scene.random.randint(1, 2))
    _hit(sum(send(node.named("ray::Worker"), signal.SIGKILL) for node in nodes), "worker")


def _kill_engine(scene: Scene) -> None:
    _hit(send(scene.random.sample(scene.stage.servers(), 1), signal.SIGKILL), "engine")


def _full_memory(scene: Scene) -> None:
    """A third node, on which Ray's memory monitor sees no room for any worker: it kills for OOM what starts there."""
    scene.stage.add(RAY_memory_usage_threshold="0.01", RAY_memory_monitor_refresh_ms="200")


def _kill_optimizer(scene: Scene) -> None:
    machines = [scene.stage.head, *scene.stage.nodes]
    _hit(sum(send(one.named("ray::SearchOptimizer"), signal.SIGKILL) for one in machines), "optimizer")


def _signal_driver(number: signal.Signals) -> Strike:
    return _once(lambda scene: scene.play.driver.send_signal(number))


def _restart_head(scene: Scene) -> None:
    """A head that comes back knows nothing of its nodes, which end: all are started anew."""
    kill(scene.stage.head.processes)


def _stop_job(scene: Scene) -> None:
    scene.play.stop_job()


@contextmanager
def _full_disk(scene: Scene) -> Iterator[None]:
    """No byte is left on the run's small file system; without one, the driver may write no file: EFBIG, not ENOSPC."""
    if not scene.play.output.is_mount():
        resource.prlimit(scene.play.driver.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        yield
        return
    filler = scene.play.output / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


@contextmanager
def _read_only(scene: Scene) -> Iterator[None]:
    """The journal cannot be written. Root may write to any folder, so for root it is mounted so."""
    journal = scene.play.output / "journal"
    if os.geteuid() != 0:
        journal.chmod(0o500)
        yield
        journal.chmod(0o700)
        return
    with _mounted(journal, "--bind", str(journal), str(journal)):
        _run("mount", "-o", "remount,ro,bind", str(journal))
        yield


@contextmanager
def small_disk(play: Play) -> Iterator[None]:
    """A file system of 4 MB for the run's folder, where root can make one; what it holds is copied in the end."""
    if os.geteuid() != 0:
        yield
        return
    play.output.mkdir()
    with _mounted(play.output, "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(play.output)):
        yield
        shutil.copytree(play.output, play.folder / "kept")


@contextmanager
def _mounted(place: Path, *how: str) -> Iterator[None]:
    _run("mount", *how)
    try:
        yield
    finally:
        _run("umount", "-l", str(place))


def _cut_network(scene: Scene) -> None:
    """Between one node and everything else: for less or for longer than the head waits before it gives the node up."""
    link = next(node.link for node in scene.stage.nodes if node.link is not None)
    link.cut()
    time.sleep(scene.random.uniform(2, 30))
    link.mend()


def _freeze_node(scene: Scene) -> None:
    """What a cut looks like from outside where no network can be cut: a node's Ray and workers stand still."""
    still = scene.random.choice(scene.stage.nodes).processes
    send(still, signal.SIGSTOP)
    time.sleep(scene.random.uniform(2, 30))
    send(still, signal.SIGCONT)


def _hit(reached: int, what: str) -> None:
    if not reached:
        raise NotReady(f"there was no {what} to be hit at that moment")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=30)


FAULTS: Mapping[str, Fault] = {
    "raylet-kill": Fault("SIGKILL of a node's raylet", _once(_kill_raylet)),
    "node-term": Fault("SIGTERM to a node, 3 s to drain", _once(_terminate_node)),
    "node-drain": Fault("a node is drained, and ended 3 to 20 s later", _once(_drain_node)),
    "worker-kill": Fault("SIGKILL of one or two worker actors", _once(_kill_worker)),
    "engine-kill": Fault("SIGKILL of an engine", _once(_kill_engine)),
    "worker-oom": Fault("a node joins whose memory Ray's monitor finds full", _once(_full_memory)),
    "optimizer-kill": Fault("SIGKILL of the optimizer actor", _once(_kill_optimizer)),
    "driver-kill": Fault("SIGKILL of the driver", _signal_driver(signal.SIGKILL), ends=True),
    "driver-term": Fault("SIGTERM to the driver", _signal_driver(signal.SIGTERM), ends=True),
    "driver-int": Fault("SIGINT to the driver", _signal_driver(signal.SIGINT), ends=True),
    "head-restart": Fault("SIGKILL of all of the head; a new one", _once(_restart_head), ends=True),
    "job-stop": Fault("ray job stop", _once(_stop_job), ends=True, as_job=True),
    "disk-full": Fault("no space left for the run's folder", _full_disk, ends=True, small_disk=True),
    "journal-read-only": Fault("the journal's folder turns read-only", _read_only, ends=True),
    "node-frozen": Fault("SIGSTOP of a node's Ray and workers for 2 to 30 s", _once(_freeze_node)),
    "network-cut": Fault("network cut between a node and the rest for 2 to 30 s", _once(_cut_network), networked=True),
}
