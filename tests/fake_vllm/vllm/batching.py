"""The stand-in's ground truth: continuous batching with the costs written below, in seconds of the fake's own time.

Each step decodes one token of every running sequence and spends what is left of ``max_num_batched_tokens`` on
prefill. So more sequences shorten the queue (TTFT falls) and lengthen the step (TPOT rises); prefix caching and chunked
prefill save and spread prefill work. All of it is a function of the flags and the arrivals, without chance.
"""

from __future__ import annotations

import asyncio
import os
from argparse import Namespace
from collections import deque
from dataclasses import dataclass, field

STEP_S = 0.004
DECODE_S = 0.0003  # per running sequence and step
PREFILL_S = 0.00002  # per token
BLOCK_TOKENS = 32


@dataclass(eq=False)
class Sequence:
    """One request on its way through the engine; None in ``tokens`` marks its end."""

    prompt: tuple[int, ...]
    output_tokens: int
    to_prefill: int = 0
    made: int = 0
    tokens: asyncio.Queue[int | None] = field(default_factory=asyncio.Queue)


class Batcher:
    """The scheduler's loop."""

    def __init__(self, flags: Namespace) -> None:
        self.flags = flags
        self.speed = float(os.environ.get("FAKE_VLLM_SPEED", "1"))
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []
        self.queried_tokens = self.hit_tokens = 0
        self._blocks: set[int] = set()
        self._arrived = asyncio.Event()

    def submit(self, prompt: tuple[int, ...], output_tokens: int) -> Sequence:
        """Queue a request."""
        sequence = Sequence(prompt, output_tokens)
        self.waiting.append(sequence)
        self._arrived.set()
        return sequence

    def abort(self, sequence: Sequence) -> None:
        """Forget a request whose client has gone."""
        if sequence in self.running:
            self.running.remove(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def reset_prefix_cache(self) -> bool:
        """Forget all prefixes, unless sequences hold blocks."""
        if self.running:
            return False
        self._blocks.clear()
        return True

    async def run(self) -> None:
        """Serve for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not (self.running or self.waiting):
                self._arrived.clear()
                await self._arrived.wait()
                due = loop.time()
            prefilled, emitting = self.schedule()
            due = max(due + self.step_s(len(emitting), prefilled) / self.speed, loop.time() - 0.05)
            await asyncio.sleep(max(0.0, due - loop.time()))
            self.emit(emitting)

    @staticmethod
    def step_s(decoding: int, prefilled_tokens: int) -> float:
        """Return how long a step takes."""
        return STEP_S + DECODE_S * decoding + PREFILL_S * prefilled_tokens

    def schedule(self) -> tuple[int, list[Sequence]]:
        """Admit, spend the step's token budget; return (prefilled tokens, sequences that make a token)."""
        while self.waiting and len(self.running) < self.flags.max_num_seqs:
            sequence = self.waiting.popleft()
            sequence.to_prefill = len(sequence.prompt) - self._cached_tokens(sequence.prompt)
            self.running.append(sequence)
        decoding = [sequence for sequence in self.running if not sequence.to_prefill]
        budget = max(1, self.flags.max_num_batched_tokens - len(decoding))
        prefilled = 0
        for sequence in self.running:
            spent = min(sequence.to_prefill, budget - prefilled)
            if not self.flags.enable_chunked_prefill and spent < sequence.to_prefill:
                continue  # whole prompts only; the parser has made sure that the longest fits
            sequence.to_prefill -= spent
            prefilled += spent
        if prefilled and not self.flags.enable_chunked_prefill:
            return prefilled, [sequence for sequence in self.running if not sequence.made and not sequence.to_prefill]
        return prefilled, [sequence for sequence in self.running if not sequence.to_prefill]

    def emit(self, emitting: list[Sequence]) -> None:
        """Hand out one token each; let the finished go."""
        for sequence in emitting:
            sequence.tokens.put_nowait(sequence.made)
            sequence.made += 1
            if sequence.made >= sequence.output_tokens:
                sequence.tokens.put_nowait(None)
                self.abort(sequence)

    def _cached_tokens(self, prompt: tuple[int, ...]) -> int:
        """Return how many leading tokens are cached, and remember this prompt's blocks."""
        if not self.flags.enable_prefix_caching:
            return 0
        ends = range(BLOCK_TOKENS, len(prompt), BLOCK_TOKENS)  # the last token is always computed
        keys = [hash(prompt[:end]) for end in ends]
        cached = next((at for at, key in enumerate(keys) if key not in self._blocks), len(keys))
        self._blocks.update(keys)
        self.queried_tokens += len(prompt)
        self.hit_tokens += cached * BLOCK_TOKENS
        return cached * BLOCK_TOKENS
