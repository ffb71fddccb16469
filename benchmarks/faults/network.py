"""A network namespace that a Ray node lives in, and the one cable that leads to it. Needs root and ``ip``."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass

HOST, GUEST = "10.213.77.1", "10.213.77.2"


@dataclass(frozen=True, slots=True)
class Link:
    """A namespace with a pair of virtual cards between it and this machine."""

    name: str

    def inside(self) -> list[str]:
        """What a command is prefixed with to run in there."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Pull the plug, in there: this machine keeps its own address."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def mend(self) -> None:
        """Plug it in again."""
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """Take the namespace away; its cards go with it."""
        _ip("netns", "del", self.name)


def possible() -> bool:
    """Whether namespaces can be made here."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = f"sf{secrets.token_hex(3)}"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False).returncode:
        return False
    _ip("netns", "del", name)
    return True


def new_link() -> Link:
    """A namespace at ``GUEST``, with this machine at ``HOST``.

    Raises:
        subprocess.CalledProcessError: the kernel does not let us.
    """
    name = f"sf{secrets.token_hex(3)}"
    _ip("netns", "add", name)
    _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    _ip("addr", "add", f"{HOST}/24", "dev", name)
    _ip("link", "set", name, "up")
    _ip("-n", name, "addr", "add", f"{GUEST}/24", "dev", "eth0")
    _ip("-n", name, "link", "set", "eth0", "up")
    _ip("-n", name, "link", "set", "lo", "up")
    return Link(name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=30)
