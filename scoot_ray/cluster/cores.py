"""Cores of their own: one for the load generator, so that a busy engine does not make it late, and the engines'."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scoot_ray.engine.node import claimed, node_folder


@dataclass(frozen=True, slots=True)
class ClientCore:
    """The core of one client (None where there is none to spare) and those left to its engines."""

    core: int | None
    others: frozenset[int]

    def settle(self, pids: Iterable[int], pin: Callable[[Iterable[int], Iterable[int]], int]) -> None:
        """Keep ready engines off the core, and this thread on it."""
        if self.core is not None:
            pin(pids, self.others)
            os.sched_setaffinity(0, {self.core})


@contextmanager
def client_core() -> Iterator[ClientCore]:
    """Claim the highest core that no other client on this machine holds, until the context ends.

    At most half of the cores are ever claimed; a machine with one core has none to spare.
    """
    allowed, folder = os.sched_getaffinity(0), node_folder("cores")
    with ExitStack() as stack:
        claims = sorted(allowed, reverse=True)[: len(allowed) // 2]
        core = next((core for core in claims if _claim(folder, core, stack)), None)
        try:
            yield ClientCore(core, frozenset(allowed - {core}))
        finally:
            os.sched_setaffinity(0, allowed)


@contextmanager
def engine_cores(count: int, among: Iterable[int]) -> Iterator[tuple[int, ...]]:
    """Claim ``count`` cores for engines, the lowest that nobody holds, until the context ends; none where too few are.

    Claims are the clients' too, so no engine gets a core that a client has.
    """
    folder = node_folder("cores")
    with ExitStack() as stack:
        taken: list[int] = []
        for core in sorted(among):
            if len(taken) < count and _claim(folder, core, stack):
                taken.append(core)
        if len(taken) < count:
            stack.close()
            taken = []
        yield tuple(taken)


def shared_out(cores: Sequence[int], replicas: int) -> tuple[tuple[int, ...], ...]:
    """Each replica's share of the cores, neighbours together; none for any where they are fewer than the replicas."""
    size = len(cores) // replicas
    return tuple(tuple(cores[at * size : (at + 1) * size]) for at in range(replicas))


def _claim(folder: Path, core: int, stack: ExitStack) -> bool:
    """Hold a core for as long as the stack lives; one that another holds leaves nothing behind."""
    with ExitStack() as attempt:
        if attempt.enter_context(claimed(folder / str(core))):
            stack.push(attempt.pop_all())
            return True
    return False
