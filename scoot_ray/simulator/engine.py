"""One simulated engine: steps begin and finish, sequences come and go. The caller says what time it is.

Both clocks drive it the same way: :mod:`scoot_ray.simulator.virtual` jumps from event to event,
:mod:`scoot_ray.simulator.server` sleeps in between.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence as Series
from dataclasses import dataclass

from scoot_ray.simulator import messages
from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.blocks import BlockPool, Key
from scoot_ray.simulator.boot import Booted
from scoot_ray.simulator.noise import Noise
from scoot_ray.simulator.scheduler import Lane, Scheduler
from scoot_ray.simulator.sequences import Sequence

OnToken = Callable[[Sequence], None]
_ITERATION_TIMEOUT_S = 60.0  # VLLM_ENGINE_ITERATION_TIMEOUT_S of 0.4.2
_MIXED_FEATURES = "RuntimeError: chunked prefill cannot be used with prefix caching now."


class EngineDied(Exception):  # noqa: N818 - says what happened
    """The engine died under load; ``log`` is what it wrote then."""

    def __init__(self, log: tuple[str, ...]) -> None:
        super().__init__(log[-1])
        self.log = log


@dataclass(frozen=True, slots=True)
class Step:
    """One step under way, until ``end_s``."""

    lane: Lane
    batch: Batch
    end_s: float


class SimulatedEngine:
    """Scheduler, cache and cost of one engine (of one rank, with data parallelism).

    ``unit_tokens`` is the grain of shared prefixes, a multiple of the block size. ``next_event_s`` is when ``tick`` is
    due. ``on_token`` is told every token's sequence at the end of its step: for a server, since it costs time.
    """

    def __init__(self, booted: Booted, unit_tokens: int, noise: Noise, on_token: OnToken | None = None) -> None:
        settings = booted.settings
        unit = unit_tokens if settings.enable_prefix_caching else None
        self.pool = BlockPool(booted.blocks, settings.block_size, unit)
        self.scheduler = Scheduler(settings, self.pool, booted.version)
        self.steps, self.computed_tokens = 0, 0
        self.next_event_s = math.inf
        self._booted, self._noise, self._on_token = booted, noise, on_token
        self._lanes = tuple(Lane(settings.block_size) for _ in range(settings.pipeline_parallel_size))
        self._busy: dict[int, Step] = {}  # by lane
        self._stage_free_s = 0.0  # when the first stage of the pipeline takes its next step
        self._blocked = False

    def submit(self, index: int, arrived_s: float, prompt: int, output: int, prefix: Series[Key]) -> Sequence:
        """Queue a request for ``output`` tokens; ``prefix`` names the whole units of its ``prompt`` tokens."""
        sequence = Sequence.make(index, arrived_s, prompt, output, prefix)
        self.scheduler.submit(sequence)
        self._blocked = False
        self._look_ahead(arrived_s)
        return sequence

    @property
    def load(self) -> int:
        """Sequences that wait or run."""
        return len(self.scheduler.running) + len(self.scheduler.waiting)

    def tick(self, now_s: float) -> list[Sequence]:
        """End the steps that are due, begin those that can be; return the sequences that are complete.

        Raises:
            EngineDied: for want of memory, or by a fault of the engine.
        """
        finished: list[Sequence] = []
        for number, step in list(self._busy.items()):
            if step.end_s <= now_s:
                del self._busy[number]
                self._blocked = False
                finished += self._finish(step)
        while now_s >= self._stage_free_s and self._begin(now_s):
            pass
        self._look_ahead(now_s)
        return finished

    def abort(self, sequence: Sequence, now_s: float) -> None:
        """Give a request up."""
        self.scheduler.abort(sequence)
        self._blocked = False
        self._look_ahead(now_s)

    def _begin(self, now_s: float) -> bool:
        """Begin a step in the first free lane with something to compute."""
        for number, lane in enumerate(self._lanes):
            if number not in self._busy and self._may_have_work(lane):
                batch = self.scheduler.plan(lane, now_s)
                if batch:
                    self._busy[number] = self._started(lane, batch, now_s)
                    return True
        self._blocked = True  # until a step ends or a request comes
        return False

    def _finish(self, step: Step) -> list[Sequence]:
        if self._on_token is None:
            return self.scheduler.finish(step.lane, step.batch, step.end_s)
        decoding = tuple(step.lane.group.members) if step.batch.decodes else ()
        finished = self.scheduler.finish(step.lane, step.batch, step.end_s)
        started = (sequence for sequence, _ in step.batch.chunks if not sequence.missing)
        for sequence in (*decoding, *started):
            self._on_token(sequence)
        return finished

    def _look_ahead(self, now_s: float) -> None:
        """Set when something happens next, if nothing comes."""
        next_s = min((step.end_s for step in self._busy.values()), default=math.inf)
        free = len(self._busy) < len(self._lanes)
        if (
            free
            and not self._blocked
            and any(number not in self._busy and self._may_have_work(lane) for number, lane in enumerate(self._lanes))
        ):
            next_s = min(next_s, max(self._stage_free_s, now_s))
        self.next_event_s = next_s

    def _may_have_work(self, lane: Lane) -> bool:
        return bool(lane.group.members or lane.partial or self.scheduler.waiting)

    def _started(self, lane: Lane, batch: Batch, now_s: float) -> Step:
        self._check_survives(batch)
        took_s = self._booted.cost.step_s(batch) * self._noise.factor()
        if self._booted.version == "0.4.2" and took_s > _ITERATION_TIMEOUT_S:
            raise EngineDied(
                messages.died(self._booted.version, "Engine iteration timed out. This should never happen!")
            )
        self.steps += 1
        self.computed_tokens += batch.tokens
        self._stage_free_s = now_s + took_s / len(self._lanes)
        return Step(lane, batch, now_s + took_s)

    def _check_survives(self, batch: Batch) -> None:
        booted = self._booted
        if booted.memory is not None and batch.tokens > 0:
            free = booted.memory.headroom(batch.tokens, batch.sampled, self._noise.fragmentation)
            if free < 0:
                cause = messages.out_of_memory(booted.version, booted.memory, -free, 0.0)
                raise EngineDied(messages.died(booted.version, cause))
        settings = booted.settings
        mixed = settings.enable_chunked_prefill and settings.enable_prefix_caching
        if booted.version == "0.4.2" and mixed and batch.onto_context:
            raise EngineDied(messages.died(booted.version, _MIXED_FEATURES))
