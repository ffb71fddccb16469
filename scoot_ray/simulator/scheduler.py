"""Continuous batching as vLLM does it: who is computed in the next step, who waits, who is thrown out.

Two sets of rules, of vLLM 0.4.2 (``core/scheduler.py``) and of the present engine (``v1/core/sched/scheduler.py``),
over the same state: a queue of waiting sequences, the running ones in order of admission, and the KV cache's blocks.
Where the cache is full, the last admitted sequence is thrown out and computed again later.

Simplified: sequences that decode come before unfinished prompts in the budget; with whole prefixes shared, a unit of a
prefix counts as there as soon as it has been scheduled.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from scoot_ray.simulator.batch import Batch
from scoot_ray.simulator.blocks import BlockPool
from scoot_ray.simulator.sequences import DecodeGroup, Sequence
from scoot_ray.simulator.settings import Settings, Version

_WATERMARK = 0.01
"""Share of the blocks that 0.4.2 keeps free when it admits (its ``BlockSpaceManager``)."""


class Lane:
    """What one micro-batch of a pipeline works on; without pipeline parallelism there is one lane."""

    __slots__ = ("group", "partial")

    def __init__(self, block_tokens: int) -> None:
        self.group = DecodeGroup(block_tokens)
        self.partial: dict[Sequence, None] = {}  # prompts that are not computed to their end


class Scheduler:
    """The state of one engine's queue, and what all versions do alike."""

    def __init__(self, settings: Settings, pool: BlockPool, version: Version) -> None:
        self.settings, self.pool = settings, pool
        self.waiting: deque[Sequence] = deque()
        self.running: dict[Sequence, Lane] = {}  # in order of admission
        self.preemptions = 0
        self.refused: list[Sequence] = []
        self._plan: Callable[[Lane, float], Batch] = _Newer(self) if version != "0.4.2" else _Older(self)

    def submit(self, sequence: Sequence) -> None:
        """Queue a request that has arrived."""
        self.waiting.append(sequence)

    def plan(self, lane: Lane, now_s: float) -> Batch:
        """Decide what the lane computes next; an empty batch where there is nothing."""
        return self._plan(lane, now_s)

    def finish(self, lane: Lane, batch: Batch, end_s: float) -> list[Sequence]:
        """Note that a batch has been computed; return the sequences that have all their tokens now."""
        finished = lane.group.advance(end_s) if batch.decodes else []
        for sequence, tokens in batch.chunks:
            if self.running.get(sequence) is not lane:
                continue  # given up meanwhile
            sequence.computed += tokens
            if sequence.missing:
                continue
            del lane.partial[sequence]
            sequence.times_s.append(end_s)
            sequence.generated += 1
            if sequence.generated >= sequence.output_tokens:
                finished.append(sequence)
            else:
                lane.group.join(sequence)
        for sequence in finished:
            self._release(sequence, self.pool.blocks_for(sequence.computed))
        return finished

    def abort(self, sequence: Sequence) -> None:
        """Give a request up, wherever it is."""
        if sequence in self.running:
            self._take_out(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def preempt_last(self) -> Sequence:
        """Throw out the sequence admitted last: it goes to the head of the queue and is computed again."""
        victim = next(reversed(self.running))
        self._take_out(victim)
        victim.target = victim.prompt_tokens + victim.generated
        victim.computed = 0
        victim.preemptions += 1
        self.preemptions += 1
        self.waiting.appendleft(victim)
        return victim

    def make_room(self, lane: Lane) -> bool:
        """Have the blocks that the lane's decoding sequences need; True where some had to be thrown out for it."""
        preempted = False
        while (needed := lane.group.blocks_needed()) > self.pool.available:
            self.preempt_last()
            preempted = True
        self.pool.take(needed)
        lane.group.reserved = True
        return preempted

    def find_cached(self, sequence: Sequence) -> tuple[int, int]:
        """Units of the prompt that the cache has, and the tokens that need not be computed for them.

        One token at least is computed, and whole blocks.
        """
        units = self.pool.cached_units(sequence.holding.prefix)
        block = self.settings.block_size
        most = (sequence.target - 1) // block * block
        return units, min(units * (self.pool.unit_tokens or 0), most)

    def admit(self, lane: Lane, sequence: Sequence, units: int, cached: int, tokens: int) -> None:
        """Start on a waiting sequence: ``cached`` tokens in ``units`` are there, ``tokens`` get blocks now."""
        self.pool.queried_tokens += sequence.target
        self.pool.hit_tokens += cached
        self.pool.share(sequence.holding, units)
        sequence.computed = cached
        self.running[sequence] = lane
        lane.partial[sequence] = None
        self.grow(sequence, tokens)

    def grow(self, sequence: Sequence, tokens: int) -> None:
        """Give a sequence the blocks for ``tokens`` more; prefixes can be shared from now on."""
        needed = self.blocks_more(sequence, tokens)
        if needed > 0:
            self.pool.grow(sequence.holding, needed)
        self.pool.keep(sequence.holding, sequence.computed + tokens)

    def blocks_more(self, sequence: Sequence, tokens: int) -> int:
        """Blocks that ``tokens`` more take beyond those that the sequence holds."""
        held = sequence.holding.blocks + sequence.holding.units * self.pool.unit_blocks
        return self.pool.blocks_for(sequence.computed + tokens) - held

    def _take_out(self, sequence: Sequence) -> None:
        lane = self.running[sequence]
        if sequence in lane.group.members:
            blocks = lane.group.blocks_of(sequence)
            lane.group.leave(sequence)
            self._release(sequence, blocks)
        else:
            lane.partial.pop(sequence, None)
            self._release(sequence, None)

    def _release(self, sequence: Sequence, blocks: int | None) -> None:
        """Give its blocks back; of a sequence that has decoded they are ``blocks``, its prefix included."""
        del self.running[sequence]
        if blocks is not None:
            sequence.holding.blocks = blocks - sequence.holding.units * self.pool.unit_blocks
        self.pool.release(sequence.holding)


class _Newer:
    """The present engine: every step decodes, and fills what is left of its token budget with prompts."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        settings = scheduler.settings
        self._budget = settings.max_num_batched_tokens
        if settings.max_num_scheduled_tokens is not None:
            self._budget = min(self._budget, settings.max_num_scheduled_tokens)

    def __call__(self, lane: Lane, _now_s: float) -> Batch:
        scheduler = self._scheduler
        preempted = scheduler.make_room(lane)
        batch = Batch(len(lane.group.members), lane.group.context_tokens)
        for sequence in list(lane.partial):
            if sequence not in scheduler.running:
                continue  # thrown out for one before it
            tokens = self._chunk(sequence.missing, batch)
            if tokens == 0:
                break
            preempted |= self._make_room_for(sequence, tokens)
            if sequence in scheduler.running:
                scheduler.grow(sequence, tokens)
                batch.add(sequence, tokens)
        if preempted:
            return self._without_gone(lane, batch)
        self._admit(lane, batch)
        return batch

    def _admit(self, lane: Lane, batch: Batch) -> None:
        scheduler, settings = self._scheduler, self._scheduler.settings
        while scheduler.waiting and len(scheduler.running) < settings.max_num_seqs:
            sequence = scheduler.waiting[0]
            units, cached = scheduler.find_cached(sequence)
            missing = sequence.target - cached
            tokens = self._chunk(missing, batch)
            if tokens == 0 or (not settings.enable_chunked_prefill and tokens < self._wanted(missing)):
                return
            pool = scheduler.pool
            # The whole prompt must fit, though its first chunk alone gets blocks (scheduler_reserve_full_isl).
            needed = pool.blocks_for(sequence.target) - units * pool.unit_blocks
            if needed + pool.idle_among(sequence.holding.prefix, units) > pool.available:
                return
            scheduler.waiting.popleft()
            scheduler.admit(lane, sequence, units, cached, tokens)
            batch.add(sequence, tokens)

    def _chunk(self, missing: int, batch: Batch) -> int:
        """How much of a prompt goes into the batch."""
        return max(0, min(self._wanted(missing), self._budget - batch.tokens))

    def _wanted(self, missing: int) -> int:
        """How much of a prompt may go into one step: a long one is cut unless it is alone."""
        threshold = self._scheduler.settings.long_prefill_token_threshold
        alone = len(self._scheduler.running) + len(self._scheduler.waiting) <= 1
        return min(missing, threshold) if threshold and not alone else missing

    def _make_room_for(self, sequence: Sequence, tokens: int) -> bool:
        scheduler = self._scheduler
        preempted = False
        while sequence in scheduler.running and scheduler.blocks_more(sequence, tokens) > scheduler.pool.available:
            scheduler.preempt_last()
            preempted = True
        return preempted

    def _without_gone(self, lane: Lane, batch: Batch) -> Batch:
        """The batch without what was thrown out after it had been put in."""
        left = Batch(len(lane.group.members), lane.group.context_tokens)
        for sequence, tokens in batch.chunks:
            if sequence in self._scheduler.running:
                left.add(sequence, tokens)
        return left


class _Older:
    """vLLM 0.4.2: whole prompts first, in steps of their own; or, with chunked prefill, after the decoding ones."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._watermark = int(_WATERMARK * scheduler.pool.total)
        self._last_plan_s = 0.0
        self._last_was_prompt = False
        self._last_prompt_s = 0.0

    def __call__(self, lane: Lane, now_s: float) -> Batch:
        if self._scheduler.settings.enable_chunked_prefill:
            return self._chunked(lane, now_s)
        batch = Batch()
        if self._may_admit(now_s):
            self._admit(lane, batch)
        if not batch:
            self._scheduler.make_room(lane)
            batch = Batch(len(lane.group.members), lane.group.context_tokens)
        return batch

    def _chunked(self, lane: Lane, now_s: float) -> Batch:
        self._scheduler.make_room(lane)
        batch = Batch(len(lane.group.members), lane.group.context_tokens)
        for sequence in list(lane.partial):
            tokens = min(sequence.missing, self._left(batch))
            if tokens > 0:
                batch.add(sequence, tokens)
        if self._may_admit(now_s):
            self._admit(lane, batch)
        return batch

    def _may_admit(self, now_s: float) -> bool:
        """The rule of ``scheduler_delay_factor``: wait for more prompts, in proportion to what the last ones took."""
        if self._last_was_prompt:
            self._last_prompt_s = now_s - self._last_plan_s
        self._last_plan_s, self._last_was_prompt = now_s, False
        factor, waiting = self._scheduler.settings.scheduler_delay_factor, self._scheduler.waiting
        if not factor or not waiting or not self._scheduler.running:
            return True
        earliest_s = min(sequence.arrived_s for sequence in waiting)
        return now_s - earliest_s > factor * self._last_prompt_s

    def _admit(self, lane: Lane, batch: Batch) -> None:
        """Start on waiting prompts; the cache must have room for the whole of each."""
        scheduler, settings = self._scheduler, self._scheduler.settings
        while scheduler.waiting and len(scheduler.running) < settings.max_num_seqs:
            sequence = scheduler.waiting[0]
            pool = scheduler.pool
            if pool.blocks_for(sequence.target) > pool.total - self._watermark:
                scheduler.refused.append(scheduler.waiting.popleft())
                continue
            units, cached = scheduler.find_cached(sequence)
            tokens = min(sequence.target - cached, self._left(batch))
            too_many = not settings.enable_chunked_prefill and sequence.target > self._left(batch)
            # What is cached already counts as needed all the same.
            too_large = pool.blocks_for(sequence.target) + self._watermark > pool.available
            if tokens <= 0 or too_many or too_large:
                return
            scheduler.waiting.popleft()
            scheduler.admit(lane, sequence, units, cached, sequence.target - cached)
            batch.add(sequence, tokens)
            self._last_was_prompt = True

    def _left(self, batch: Batch) -> int:
        """What is left of the budget, in which whole prompts count with their cached tokens too."""
        settings = self._scheduler.settings
        used = batch.tokens if settings.enable_chunked_prefill else sum(one.target for one, _ in batch.chunks)
        return settings.max_num_batched_tokens - used
