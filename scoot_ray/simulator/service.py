"""A whole simulated service under a load in virtual time: engines, replicas, records as of a real replay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Series
from dataclasses import dataclass, field

from scoot_ray.engine.launch import replicas
from scoot_ray.engine.models import ModelShape
from scoot_ray.load.arrivals import Schedule
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.standing import Planned, Standing, Tally, UnderWay
from scoot_ray.load.hooks import NO_HOOKS, Hooks
from scoot_ray.load.plan import Sessions
from scoot_ray.load.selection import BLOCK_TOKENS
from scoot_ray.load.trace import CANCELLED, Request, RequestRecord, Usage
from scoot_ray.search import Config
from scoot_ray.simulator.boot import Booted, Machine, boot
from scoot_ray.simulator.engine import SimulatedEngine
from scoot_ray.simulator.fitted import Fitted, boot_fitted
from scoot_ray.simulator.noise import Noise
from scoot_ray.simulator.sequences import Sequence
from scoot_ray.simulator.settings import NEWEST, Version
from scoot_ray.simulator.virtual import Arrival, round_robin, serve


@dataclass(frozen=True, slots=True)
class Service:
    """What is simulated: a model on accelerators of the catalogue, or a machine that was measured (``fitted``)."""

    model: ModelShape
    machine: Machine | Fitted
    version: Version = NEWEST
    args: Config = field(default_factory=dict)
    noise: float = 0.0

    @property
    def gpus(self) -> int:
        """GPUs of the whole service; none on a machine that was measured."""
        return self.machine.gpus if isinstance(self.machine, Machine) else 0

    def boot(self, config: Config) -> Booted:
        """Start one engine with ``config`` over the fixed arguments.

        Raises:
            StartRefused: it does not start.
        """
        merged = {**self.args, **config}
        if isinstance(self.machine, Fitted):
            return boot_fitted(self.machine, self.model, self.version, merged)
        return boot(self.model, self.machine, self.version, merged)

    def replicas(self, config: Config) -> int:
        """Engines that share the GPUs, behind a client that takes turns.

        Raises:
            TooFewGpus: one engine needs more than there are.
        """
        return replicas(self.gpus, {**self.args, **config})


@dataclass(frozen=True, slots=True)
class Load:
    """What is offered in one replay: which request arrives when, and how long each may take.

    With ``sessions`` wait, a turn comes ``think_s`` after the answer before it, but not before its own time.
    """

    requests: Series[Request]
    schedule: Schedule
    timeout_s: float
    sessions: Sessions = "independent"
    think_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """The records of a replay in virtual time, and what the engines did: all counts over all replicas.

    ``ended_early`` where it was found hopeless: the records then are of no use.
    """

    records: tuple[RequestRecord, ...]
    virtual_s: float
    steps: int
    computed_tokens: int
    preemptions: int
    queried_tokens: int
    hit_tokens: int
    ended_early: bool = False


def replay(
    booted: Booted, count: int, load: Load, noise: float, seed: tuple[int, ...], hooks: Hooks = NO_HOOKS
) -> Replayed:
    """Send a load to ``count`` fresh replicas of an engine, each of as many ranks as it is data-parallel.

    Of ``hooks`` only ``hopeless`` is asked, about once in a virtual second.

    Raises:
        EngineDied: an engine died under it.
    """
    ranks = booted.settings.data_parallel_size
    engines = [SimulatedEngine(booted, BLOCK_TOKENS, Noise(noise, (*seed, number))) for number in range(count * ranks)]

    def route(number: int, among: Series[SimulatedEngine]) -> SimulatedEngine:
        replica = number % count
        return min(among[replica * ranks : (replica + 1) * ranks], key=lambda engine: engine.load)

    arrivals = _arrivals(load)
    watcher = None if hooks.hopeless is None else _Watcher(booted, load, arrivals, hooks.hopeless, hooks.goodput)
    served = serve(engines, arrivals, load.timeout_s, route if ranks > 1 else round_robin, watcher)
    records = tuple(
        _record(sequence, _error(sequence, number in served.given_up, load), booted, number % count)
        for number, sequence in sorted(served.sequences.items())
    )
    return Replayed(
        records,
        served.end_s,
        sum(engine.steps for engine in engines),
        sum(engine.computed_tokens for engine in engines),
        sum(engine.scheduler.preemptions for engine in engines),
        sum(engine.pool.queried_tokens for engine in engines),
        sum(engine.pool.hit_tokens for engine in engines),
        served.ended_early,
    )


class _Watcher:
    """Keeps account of a load for whoever asks whether it is hopeless."""

    def __init__(
        self,
        booted: Booted,
        load: Load,
        arrivals: Series[Arrival],
        ask: Callable[[Standing], bool],
        goodput: Series[Limit],
    ) -> None:
        self._booted, self._load, self._ask = booted, load, ask
        plan = {
            number: Planned(one.at_s, one.output_tokens, one.patience_s < load.timeout_s)
            for number, one in enumerate(arrivals)
        }
        self._tally = Tally(plan, goodput)
        self._ended: set[int] = set()

    def ended(self, sequence: Sequence, given_up: bool) -> None:
        """Take in a sequence that is complete, or was given up."""
        self._ended.add(sequence.index)
        self._tally.ended(_record(sequence, _error(sequence, given_up, self._load), self._booted, 0))

    def hopeless(self, now_s: float, sequences: Iterable[Sequence]) -> bool:
        """Ask, with what a client would know at ``now_s``."""
        open_ones = [_under_way(one, self._booted) for one in sequences if one.index not in self._ended]
        return self._ask(self._tally.standing(now_s, open_ones))


def _under_way(sequence: Sequence, booted: Booted) -> UnderWay:
    first_s, last_s = (sequence.times_s[i] + booted.request_s if sequence.times_s else None for i in (0, -1))
    return UnderWay(sequence.index, sequence.arrived_s, sequence.arrived_s, first_s, last_s)


def _arrivals(load: Load) -> list[Arrival]:
    drawn = zip(
        load.schedule.offsets_s.tolist(), load.schedule.rows.tolist(), load.schedule.passes.tolist(), strict=True
    )
    arrivals: list[Arrival] = []
    last_turn: dict[tuple[str, int], int] = {}
    for at_s, row, trace_pass in drawn:
        request = load.requests[row]
        after = None
        if load.sessions == "wait" and request.session is not None:
            after = last_turn.get((request.session, trace_pass))
            last_turn[request.session, trace_pass] = len(arrivals)
        prompt = request.input_tokens or 1
        # A pass over the trace shares nothing with the one before, as in a real replay.
        prefix = tuple((trace_pass, one) for one in request.hash_ids[: prompt // BLOCK_TOKENS])
        patience_s = math.inf if request.cancel_after_s is None else request.cancel_after_s
        arrivals.append(Arrival(at_s, prompt, request.output_tokens, prefix, after, load.think_s, patience_s))
    return arrivals


def _error(sequence: Sequence, given_up: bool, load: Load) -> str | None:
    """How a request failed; None for one that has all its tokens."""
    if given_up:
        request = load.requests[int(load.schedule.rows[sequence.index])]
        went_away = request.cancel_after_s is not None and request.cancel_after_s < load.timeout_s
        return CANCELLED if went_away else "timeout"
    return None if len(sequence.times_s) == sequence.output_tokens else "empty"


def _record(sequence: Sequence, error: str | None, booted: Booted, replica: int) -> RequestRecord:
    """What a client would have seen."""
    seen_s = [at_s + booted.request_s for at_s in sequence.times_s]
    times_s = _events_s(seen_s, booted.settings.stream_interval)
    complete = error is None
    return RequestRecord(
        index=sequence.index,
        scheduled_s=sequence.arrived_s,
        sent_s=sequence.arrived_s,
        token_times_s=times_s,
        done_s=times_s[-1] if complete else None,
        status=200,
        error=error,
        usage=Usage(sequence.prompt_tokens, sequence.output_tokens) if complete else None,
        input_tokens=sequence.prompt_tokens,
        output_tokens=sequence.output_tokens,
        replica=replica,
    )


def _events_s(times_s: list[float], interval: int) -> tuple[float, ...]:
    """With ``stream_interval`` k: the first token, then every k-th, and the last."""
    if interval == 1 or len(times_s) < 2:
        return tuple(times_s)
    events = times_s[::interval]
    return (*events, times_s[-1]) if (len(times_s) - 1) % interval else tuple(events)
