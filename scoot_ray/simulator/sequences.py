"""Sequences on their way through an engine, and groups of them that are given a token at every step.

A group counts in bulk: which step each member ends at, and how many members cross into a new block, follow from when
they joined. A step that only decodes therefore costs the same for one member and for a thousand.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence as Series
from dataclasses import dataclass, field

from scoot_ray.simulator.blocks import Holding, Key


@dataclass(eq=False, slots=True)
class Sequence:
    """One request. ``target`` tokens must be computed before its next token comes; ``generated`` have come.

    ``times_s`` are when its tokens came. While it is in a group, ``generated``, ``target`` and ``times_s`` are as at
    its joining; leaving the group brings them up to date.
    """

    index: int
    arrived_s: float
    prompt_tokens: int
    output_tokens: int
    holding: Holding
    target: int = 0
    computed: int = 0
    generated: int = 0
    joined: int = 0
    times_s: list[float] = field(default_factory=list)
    preemptions: int = 0

    @classmethod
    def make(
        cls, index: int, arrived_s: float, prompt_tokens: int, output_tokens: int, prefix: Series[Key]
    ) -> Sequence:
        """A request that has just arrived; ``prefix`` names the whole units of its prompt."""
        return cls(index, arrived_s, prompt_tokens, output_tokens, Holding(prefix), target=prompt_tokens)

    @property
    def missing(self) -> int:
        """Tokens still to be computed before the next token."""
        return self.target - self.computed


class DecodeGroup:
    """The sequences that decode together. ``context_tokens`` is the sum of their lengths.

    ``reserved`` is True while the blocks of the step under way are taken already.
    """

    __slots__ = ("_due", "_order", "_phases", "context_tokens", "ends_s", "members", "reserved")

    def __init__(self, block_tokens: int) -> None:
        self.members: dict[Sequence, None] = {}
        self.context_tokens = 0
        self.ends_s: list[float] = []
        self.reserved = False
        self._phases = [0] * block_tokens
        self._due: list[tuple[int, int, Sequence]] = []  # by the step after which it has all its tokens
        self._order = 0

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return len(self.ends_s)

    def blocks_needed(self) -> int:
        """Members whose next token starts a new block."""
        return self._phases[-len(self.ends_s) % len(self._phases)]

    def join(self, sequence: Sequence) -> None:
        """Take in a sequence that has its ``target`` computed and one token or more still to come."""
        sequence.joined = self.steps
        self.members[sequence] = None
        self.context_tokens += sequence.target
        self._phases[self._phase(sequence)] += 1
        self._order += 1
        due = self.steps + sequence.output_tokens - sequence.generated
        heapq.heappush(self._due, (due, self._order, sequence))

    def leave(self, sequence: Sequence) -> None:
        """Let a member go, with what it has got here."""
        del self.members[sequence]
        self._phases[self._phase(sequence)] -= 1
        came_s = self.ends_s[sequence.joined :]
        sequence.times_s.extend(came_s)
        sequence.generated += len(came_s)
        sequence.target += len(came_s)
        sequence.computed = sequence.target
        self.context_tokens -= sequence.target

    def blocks_of(self, sequence: Sequence) -> int:
        """Blocks that a member has, with those of its prefix."""
        block_tokens = len(self._phases)
        tokens = sequence.target + self.steps - sequence.joined
        return -(-(tokens + 1 if self.reserved else tokens) // block_tokens)

    def advance(self, end_s: float) -> list[Sequence]:
        """Give each member a token at ``end_s``; return those that have all of theirs, no longer members."""
        self.ends_s.append(end_s)
        self.reserved = False
        self.context_tokens += len(self.members)
        finished = []
        while self._due and self._due[0][0] <= self.steps:
            due, _, sequence = heapq.heappop(self._due)
            # One that left and came back, or has gone, is due another time or never.
            if sequence in self.members and due == sequence.joined + sequence.output_tokens - sequence.generated:
                self.leave(sequence)
                finished.append(sequence)
        return finished

    def _phase(self, sequence: Sequence) -> int:
        return (sequence.target - sequence.joined) % len(self._phases)
