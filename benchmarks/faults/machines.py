"""A Ray cluster of several nodes on this machine, each ``ray start --block`` with processes of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from benchmarks.faults.network import GUEST, HOST, Link, new_link

MARK = "SCOOT_RAY_FAULTS"  # in the environment of everything that runs in the cluster
RAY = str(Path(sys.executable).with_name("ray"))
_CODE = Path(__file__).parents[2]
_ENGINES = ("scoot_ray.simulator.server", "engine/guardian.py")
_UP_S = 120.0
_QUICK = {  # a lost node is noticed within seconds, a lost head within a quarter of a minute
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "5",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
}


class NotReady(RuntimeError):  # noqa: N818 - says what is wrong
    """The cluster itself did not come up: nothing is known of the study."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One Ray node: its command, its id, and the cable that leads to it where it has one of its own."""

    process: subprocess.Popen[bytes]
    node_id: str
    link: Link | None = None

    @property
    def alive(self) -> bool:
        """Whether the node's command runs: it ends with its raylet."""
        return self.process.poll() is None

    @property
    def processes(self) -> list[psutil.Process]:
        """The node's living processes: its command, Ray's own, workers. Engines have left this tree."""
        try:
            own = psutil.Process(self.process.pid)
            return [own, *own.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def named(self, *words: str) -> list[psutil.Process]:
        """Those with one of these in their command or title."""
        return [one for one in self.processes if any(word in command_of(one) for word in words)]


class Stage:
    """A head without CPUs, and nodes of one CPU each. Everything ends with its context.

    Where it is ``networked``, one node is in a network namespace of its own.
    """

    def __init__(self, dashboard: bool = False, networked: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sf-"))  # short: sockets are below it
        self.nodes: list[Machine] = []
        self._head: Machine | None = None
        self._link = new_link() if networked else None
        self._host = HOST if networked else node_address()
        self._token = secrets.token_hex(16)
        self._port = free_port()
        self.dashboard_port = free_port() if dashboard else None
        self._seen: set[psutil.Process] = set()

    @property
    def address(self) -> str:
        """What ``--ray-address`` takes."""
        return f"{self._host}:{self._port}"

    @property
    def head(self) -> Machine:
        """The head, once the stage has been made ready."""
        assert self._head is not None
        return self._head

    def environment(self, **more: str) -> dict[str, str]:
        """What drivers and nodes are started with."""
        kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        ours = {MARK: str(self.folder), "PYTHONPATH": str(_CODE)}
        return {**kept, **_QUICK, **ours, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token, **more}

    def ready(self, nodes: int = 2) -> None:
        """See that the head and so many healthy nodes are up; a node too many goes.

        Raises:
            NotReady: they do not come up.
        """
        if self._head is None or not self._head.alive:
            self.end()
            self._head = self._start_head()
        for node in self.nodes[nodes:]:
            kill(node.processes)
        self.nodes = [node for node in self.nodes if node.alive]
        while len(self.nodes) < nodes:  # one by one: two that start at once take each other's sockets
            self.add()

    def add(self, **more: str) -> Machine:
        """A new node; ``more`` is added to its environment.

        Raises:
            NotReady: it does not come up.
        """
        link = None if any(node.link for node in self.nodes if node.alive) else self._link
        own = [f"--address={self.address}", "--num-cpus=1", f"--node-ip-address={GUEST if link else self._host}"]
        machine = self._start(link.inside() if link else [], own, link, more)
        self.nodes.append(machine)
        self._await(machine)
        return machine

    def look(self) -> None:
        """Remember every process of the nodes, so that none is forgotten when its parent dies first."""
        for machine in self._machines():
            self._seen.update(machine.processes)

    def engines(self) -> list[psutil.Process]:
        """Living processes of engines and their guardians, wherever they have gone."""
        return [one for one in psutil.process_iter() if self._is_engine(one)]

    def servers(self) -> list[psutil.Process]:
        """The engines without their guardians."""
        return [one for one in self.engines() if _ENGINES[0] in command_of(one)]

    def end(self) -> None:
        """Kill what is left of the cluster."""
        self.look()
        kill(self._seen)
        for machine in self._machines():
            machine.process.wait(timeout=30)
        self._seen, self._head, self.nodes = set(), None, []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        kill(self.engines())
        if self._link is not None:
            self._link.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _machines(self) -> Sequence[Machine]:
        return (*self.nodes, *([self._head] if self._head else []))

    def _start_head(self) -> Machine:
        board = ["--include-dashboard=false"]
        if self.dashboard_port is not None:
            board = ["--include-dashboard=true", f"--dashboard-port={self.dashboard_port}"]
        session = self.folder / secrets.token_hex(2)
        own = ["--head", f"--port={self._port}", "--num-cpus=0", f"--temp-dir={session}"]
        machine = self._start([], [*own, f"--node-ip-address={self._host}", *board], None, {})
        self._await(machine)
        expect(lambda: listens(self._host, self._port), _UP_S, "the head does not listen")
        if self.dashboard_port is not None:
            port = self.dashboard_port
            expect(lambda: listens("127.0.0.1", port), _UP_S, "the dashboard does not listen")
        return machine

    def _start(self, prefix: Sequence[str], own: Sequence[str], link: Link | None, more: Mapping[str, str]) -> Machine:
        ports = [
            f"--{name}={free_port()}"
            for name in ("dashboard-agent-listen-port", "metrics-export-port", "runtime-env-agent-port")
        ]
        command = [*prefix, RAY, "start", "--block", *own, *ports, "--object-store-memory=100000000"]
        node_id = secrets.token_hex(28)
        variables = self.environment(RAY_OVERRIDE_NODE_ID_FOR_TESTING=node_id, **more)
        with self._log(node_id).open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=variables, start_new_session=True)
        return Machine(process, node_id, link)

    def _log(self, node_id: str) -> Path:
        return self.folder / f"node-{node_id[:6]}.log"

    def _await(self, machine: Machine) -> None:
        def up() -> bool:
            said = self._log(machine.node_id).read_text()
            if not machine.alive:
                raise NotReady(f"a node has ended: {said[-400:]}")
            return "Ray runtime started" in said

        expect(up, _UP_S, "a node does not come up")
        self.look()

    def _is_engine(self, process: psutil.Process) -> bool:
        try:
            ours = process.environ().get(MARK) == str(self.folder) and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False
        return ours and any(word in command_of(process) for word in _ENGINES)


def command_of(process: psutil.Process) -> str:
    """The command or title of a process; empty where it has gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> int:
    """Signal processes; return how many were still there."""
    reached = 0
    for one in processes:
        try:
            one.send_signal(number)  # psutil sees to it that the id has not passed to another process
            reached += 1
        except psutil.NoSuchProcess:
            continue
    return reached


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL, and wait until they have gone."""
    doomed = list(processes)
    send(doomed, signal.SIGKILL)
    psutil.wait_procs(doomed, timeout=15)


def eventually(condition: Callable[[], object], deadline_s: float, step_s: float = 0.1) -> bool:
    """Whether a condition comes true in time."""
    ends_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > ends_s:
            return False
        time.sleep(step_s)
    return True


def expect(condition: Callable[[], object], deadline_s: float, problem: str) -> None:
    """Wait until a condition comes true.

    Raises:
        NotReady: it does not in time.
    """
    if not eventually(condition, deadline_s):
        raise NotReady(f"{problem} within {deadline_s:.0f} s")


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def node_address() -> str:
    """The address of this machine as Ray would choose it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # for documentation: nothing is sent
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def listens(host: str, port: int) -> bool:
    """Whether something answers there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
