"""Engines by the clock of an asyncio loop: the real-time counterpart of :mod:`scoot_ray.simulator.virtual`.

Steps end when the model says so, not when the loop gets round to it: an engine that is looked at late is told the time
at which its event was due, so lateness delays what a client sees and never adds up.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from collections.abc import Sequence as Series
from typing import Protocol

from scoot_ray.simulator.blocks import Key
from scoot_ray.simulator.boot import Booted
from scoot_ray.simulator.engine import EngineDied, SimulatedEngine
from scoot_ray.simulator.noise import Noise
from scoot_ray.simulator.sequences import Sequence


class Receiver(Protocol):
    """Whoever wants a sequence's tokens. Called inside the engine's step: must return at once and raise nothing."""

    def token(self) -> None:
        """One more token is there."""

    def end(self) -> None:
        """That was the last."""

    def fail(self) -> None:
        """No more will come: the engine has died."""

    def cut(self) -> None:
        """No more will come: the server ends."""


class _Served:
    """One sequence under way."""

    __slots__ = ("engine", "receiver", "started")

    def __init__(self, engine: SimulatedEngine, receiver: Receiver) -> None:
        self.engine, self.receiver = engine, receiver
        self.started = False


class Driver:
    """All ranks of one server. Make it and use it in a running loop.

    ``late_s`` is by how much steps were noticed late, in all, and ``latest_s`` the most of any, of ``turns``.
    ``prompt_tokens`` and ``generated_tokens`` count what has been computed for requests that had a token. ``on_death``
    gets the last words of an engine that dies.
    """

    def __init__(self, booted: Booted, noise: float, seed: int, on_death: Callable[[Series[str]], None]) -> None:
        block, ranks = booted.settings.block_size, booted.settings.data_parallel_size
        self.engines = tuple(
            SimulatedEngine(booted, block, Noise(noise, (seed, rank)), self._on_token) for rank in range(ranks)
        )
        self.dead = False
        self.late_s = self.latest_s = 0.0
        self.turns = 0
        self.prompt_tokens = self.generated_tokens = 0
        self._loop = asyncio.get_running_loop()
        self._on_death = on_death
        self._served: dict[Sequence, _Served] = {}
        self._submitted = 0
        self._stopped = False
        self._timer: asyncio.TimerHandle | None = None

    def submit(self, prompt_tokens: int, output_tokens: int, prefix: Series[Key], receiver: Receiver) -> Sequence:
        """Queue a request at the rank with the fewest; ``prefix`` names the prompt's whole blocks."""
        now_s = self._loop.time()
        self._advance(now_s)
        engine = min(self.engines, key=lambda one: one.load)
        sequence = engine.submit(self._submitted, now_s, prompt_tokens, output_tokens, prefix)
        self._submitted += 1
        if self.dead:
            receiver.fail()
        else:
            self._served[sequence] = _Served(engine, receiver)
            self._arm()
        return sequence

    def abort(self, sequence: Sequence) -> None:
        """Forget a request whose client has gone; does nothing to one that is over."""
        served = self._served.pop(sequence, None)
        if served is not None:
            served.engine.abort(sequence)

    def reset_prefix_cache(self) -> bool:
        """Forget all prefixes; False while sequences hold blocks."""
        if any(engine.pool.usage > 0 for engine in self.engines):
            return False
        for engine in self.engines:
            engine.pool.forget()
        return True

    def freeze(self) -> None:
        """Compute nothing more, and say nothing."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Stop, and cut everything under way."""
        for receiver in self._stop():
            receiver.cut()

    def die(self, log: Series[str]) -> None:
        """End as an engine does that has written ``log``."""
        self.dead = True
        self._on_death(log)
        for receiver in self._stop():
            receiver.fail()

    def _stop(self) -> list[Receiver]:
        """Stop for good; return those who wait in vain."""
        self.freeze()
        receivers = [served.receiver for served in self._served.values()]
        self._served.clear()
        return receivers

    def _turn(self) -> None:
        """What is due at the timer."""
        now_s = self._loop.time()
        late_s = now_s - min(engine.next_event_s for engine in self.engines)
        self.turns += 1
        self.late_s += late_s
        self.latest_s = max(self.latest_s, late_s)
        self._advance(now_s)
        self._arm()

    def _advance(self, now_s: float) -> None:
        """Let every event up to ``now_s`` happen, each at its own time."""
        while not self._stopped:
            engine = min(self.engines, key=lambda one: one.next_event_s)
            if engine.next_event_s > now_s:
                return
            try:
                finished = engine.tick(engine.next_event_s)
            except EngineDied as death:
                self.die(death.log)
                return
            self._finish([*finished, *engine.scheduler.refused])
            engine.scheduler.refused.clear()

    def _arm(self) -> None:
        """Set the timer to the next event."""
        if self._timer is not None:
            self._timer.cancel()
        due_s = min(engine.next_event_s for engine in self.engines)
        if due_s < math.inf and not self._stopped:
            self._timer = self._loop.call_at(due_s, self._turn)

    def _on_token(self, sequence: Sequence) -> None:
        served = self._served.get(sequence)
        if served is None:
            return  # its client has gone
        self.generated_tokens += 1
        if not served.started:
            served.started = True
            self.prompt_tokens += sequence.prompt_tokens
        served.receiver.token()

    def _finish(self, sequences: Series[Sequence]) -> None:
        for sequence in sequences:
            served = self._served.pop(sequence, None)
            if served is not None:
                served.receiver.end()
