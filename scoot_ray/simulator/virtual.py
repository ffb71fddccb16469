"""A load in virtual time: arrivals and steps in order, as fast as they can be computed."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Series
from dataclasses import dataclass, field
from typing import Protocol

from scoot_ray.simulator.blocks import Key
from scoot_ray.simulator.engine import SimulatedEngine
from scoot_ray.simulator.sequences import Sequence


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request on its way: when it comes, how long it is, and the names of its prefix's whole units.

    Where ``after`` names another arrival, it comes no sooner than ``think_s`` after that one has ended. ``patience_s``
    is when whoever asked goes away.
    """

    at_s: float
    prompt_tokens: int
    output_tokens: int
    prefix: Series[Key] = ()
    after: int | None = None
    think_s: float = 0.0
    patience_s: float = math.inf


@dataclass(eq=False, slots=True)
class Served:
    """What became of each arrival, by its number. Those of ``given_up`` ran out of time or patience."""

    sequences: dict[int, Sequence] = field(default_factory=dict)
    given_up: set[int] = field(default_factory=set)
    end_s: float = 0.0
    ended_early: bool = False


class Watcher(Protocol):
    """Follows a load, and may end it."""

    def ended(self, sequence: Sequence, given_up: bool) -> None:
        """A sequence is complete, or was given up."""

    def hopeless(self, now_s: float, sequences: Iterable[Sequence]) -> bool:
        """Whether to end the load now; asked about every LOOK_S, with all sequences so far."""


LOOK_S = 1.0

Route = Callable[[int, Series[SimulatedEngine]], SimulatedEngine]


def round_robin(number: int, engines: Series[SimulatedEngine]) -> SimulatedEngine:
    """As a client spreads requests over replicas."""
    return engines[number % len(engines)]


def serve(
    engines: Series[SimulatedEngine],
    arrivals: Series[Arrival],
    timeout_s: float,
    route: Route,
    watcher: Watcher | None = None,
) -> Served:
    """Let ``arrivals`` be served, to the end or until the ``watcher`` ends it; each has ``timeout_s`` from its coming.

    Raises:
        EngineDied: one of the engines died.
    """
    load, served = _Load(arrivals, watcher), Served()
    deadlines: list[tuple[float, int, SimulatedEngine]] = []
    while True:
        engine = min(engines, key=_next_event_s)
        arrives_s = load.next_s
        now_s = min(arrives_s, engine.next_event_s)
        while deadlines and deadlines[0][0] <= now_s:
            late_s, number, chosen = heapq.heappop(deadlines)
            sequence = served.sequences[number]
            if _unfinished(sequence, chosen):
                chosen.abort(sequence, late_s)
                served.given_up.add(sequence.index)
                served.end_s = max(served.end_s, late_s)
                load.ended(sequence, late_s, given_up=True)
                now_s = -math.inf  # what comes next may have changed
        if now_s == -math.inf:
            continue
        if now_s == math.inf:
            return served
        served.end_s = now_s
        if load.hopeless(now_s, served.sequences.values()):
            served.ended_early = True
            return served
        if arrives_s <= engine.next_event_s:
            number = load.take()
            chosen = route(number, engines)
            sequence = _submit(chosen, number, arrives_s, arrivals[number])
            served.sequences[number] = sequence
            heapq.heappush(deadlines, (arrives_s + min(timeout_s, arrivals[number].patience_s), number, chosen))
        else:
            for sequence in engine.tick(now_s):
                load.ended(sequence, now_s)


class _Load:
    """What has yet to come: in order of time, turns of a session when the one before has ended."""

    def __init__(self, arrivals: Series[Arrival], watcher: Watcher | None) -> None:
        self._arrivals, self._watcher = arrivals, watcher
        self._look_s = LOOK_S
        self._coming = [(one.at_s, number) for number, one in enumerate(arrivals) if one.after is None]
        heapq.heapify(self._coming)
        self._followers: dict[int, list[int]] = {}
        for number, one in enumerate(arrivals):
            if one.after is not None:
                self._followers.setdefault(one.after, []).append(number)

    @property
    def next_s(self) -> float:
        """When the next one comes."""
        return self._coming[0][0] if self._coming else math.inf

    def take(self) -> int:
        """The number of the next one."""
        return heapq.heappop(self._coming)[1]

    def ended(self, sequence: Sequence, now_s: float, *, given_up: bool = False) -> None:
        """Let those come that waited for an arrival's end."""
        if self._watcher is not None:
            self._watcher.ended(sequence, given_up)
        for follower in self._followers.pop(sequence.index, ()):
            arrival = self._arrivals[follower]
            heapq.heappush(self._coming, (max(arrival.at_s, now_s + arrival.think_s), follower))

    def hopeless(self, now_s: float, sequences: Iterable[Sequence]) -> bool:
        """Whether the watcher ends the load; asks about every LOOK_S."""
        if self._watcher is None or now_s < self._look_s:
            return False
        self._look_s = now_s + LOOK_S
        return self._watcher.hopeless(now_s, sequences)


def _next_event_s(engine: SimulatedEngine) -> float:
    return engine.next_event_s


def _submit(engine: SimulatedEngine, number: int, now_s: float, arrival: Arrival) -> Sequence:
    return engine.submit(number, now_s, arrival.prompt_tokens, arrival.output_tokens, arrival.prefix)


def _unfinished(sequence: Sequence, engine: SimulatedEngine) -> bool:
    return sequence.generated < sequence.output_tokens or sequence in engine.scheduler.running
