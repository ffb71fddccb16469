"""A load in virtual time: arrivals and steps in order, as fast as they can be computed."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence as Series
from dataclasses import dataclass, field

from scoot_ray.simulator.blocks import Key
from scoot_ray.simulator.engine import SimulatedEngine
from scoot_ray.simulator.sequences import Sequence


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request on its way: when it comes, how long it is, and the names of its prefix's whole units."""

    at_s: float
    prompt_tokens: int
    output_tokens: int
    prefix: Series[Key] = ()


@dataclass(eq=False, slots=True)
class Served:
    """What became of each arrival, by its number. Those of ``given_up`` ran out of time."""

    sequences: list[Sequence] = field(default_factory=list)
    given_up: set[int] = field(default_factory=set)
    end_s: float = 0.0


Route = Callable[[int, Series[SimulatedEngine]], SimulatedEngine]


def round_robin(number: int, engines: Series[SimulatedEngine]) -> SimulatedEngine:
    """As a client spreads requests over replicas."""
    return engines[number % len(engines)]


def serve(engines: Series[SimulatedEngine], arrivals: Series[Arrival], timeout_s: float, route: Route) -> Served:
    """Let ``arrivals``, in order of time, be served; each is given up ``timeout_s`` after it came.

    Raises:
        EngineDied: one of the engines died.
    """
    served = Served()
    deadlines: deque[tuple[float, Sequence, SimulatedEngine]] = deque()
    coming = 0
    while True:
        engine = min(engines, key=_next_event_s)
        arrives_s = arrivals[coming].at_s if coming < len(arrivals) else math.inf
        now_s = min(arrives_s, engine.next_event_s)
        while deadlines and deadlines[0][0] <= now_s:
            _give_up(served, *deadlines.popleft())
        if now_s == math.inf:
            return served
        served.end_s = now_s
        if arrives_s <= engine.next_event_s:
            chosen = route(coming, engines)
            sequence = _submit(chosen, coming, arrivals[coming])
            served.sequences.append(sequence)
            deadlines.append((arrives_s + timeout_s, sequence, chosen))
            coming += 1
        else:
            engine.tick(now_s)


def _next_event_s(engine: SimulatedEngine) -> float:
    return engine.next_event_s


def _submit(engine: SimulatedEngine, number: int, arrival: Arrival) -> Sequence:
    return engine.submit(number, arrival.at_s, arrival.prompt_tokens, arrival.output_tokens, arrival.prefix)


def _give_up(served: Served, _deadline_s: float, sequence: Sequence, engine: SimulatedEngine) -> None:
    if sequence.generated < sequence.output_tokens or sequence in engine.scheduler.running:
        engine.abort(sequence)
        served.given_up.add(sequence.index)
