"""A port for each engine, chosen so that nobody else takes it before the engine does.

Ports below the kernel's range for outgoing connections are never handed to anybody unasked, and each is claimed by a
lock, so that two evaluations on a node cannot choose the same. What is left is a foreign server that wants that very
port: it shows as PORT_TAKEN.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scoot_ray.engine.node import claimed, node_folder
from scoot_ray.engine.process import free_port

_FIRST = 20_000
_TRIES = 200
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


@contextmanager
def claimed_port(host: str = "127.0.0.1") -> Iterator[int]:
    """A port that nothing listens on, kept from all other evaluations of this user until the context ends."""
    folder, below = node_folder("ports"), _first_ephemeral()
    with ExitStack() as stack:
        for port in random.sample(range(_FIRST, below), min(_TRIES, below - _FIRST)):
            if stack.enter_context(claimed(folder / str(port))) and _is_free(host, port):
                yield port
                return
            stack.close()
        yield free_port(host)  # the kernel's choice, which another may take first


def _first_ephemeral() -> int:
    """Where the kernel's own choices begin; as Linux ships where it does not say."""
    try:
        return max(int(_RANGE.read_text().split()[0]), _FIRST + 1)
    except (OSError, ValueError, IndexError):
        return 32_768


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
