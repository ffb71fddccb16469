"""The KV cache's blocks: who holds how many, which prefixes are kept, and what is thrown out first.

Blocks are counted, not numbered: which one a sequence gets changes nothing. Prefixes are kept in units of
``unit_tokens`` (a multiple of the block size), each named by a key that stands for the whole prefix up to its end. A
unit without a user stays until its blocks are needed, least recently used first, ends before beginnings.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

Key = Hashable


@dataclass(eq=False, slots=True)
class Holding:
    """What one sequence holds: ``blocks`` of its own and the leading ``units`` of its prefix, shared or shareable."""

    prefix: Sequence[Key]
    blocks: int = 0
    units: int = 0


@dataclass(eq=False, slots=True)
class BlockPool:
    """All blocks of one engine. ``unit_tokens`` None: nothing is kept or shared.

    ``queried_tokens`` and ``hit_tokens`` count what admitted sequences asked of the cache and found there.
    """

    total: int
    block_tokens: int
    unit_tokens: int | None = None
    queried_tokens: int = 0
    hit_tokens: int = 0
    _held: int = 0  # blocks of sequences and of units in use
    _users: dict[Key, int] = field(default_factory=dict)  # of each unit in use
    _idle: OrderedDict[Key, None] = field(default_factory=OrderedDict)  # units kept without a user

    @property
    def available(self) -> int:
        """Blocks that can be had, those of idle units included."""
        return self.total - self._held

    @property
    def usage(self) -> float:
        """Share of the blocks that sequences hold."""
        return self._held / self.total if self.total else 1.0

    @property
    def unit_blocks(self) -> int:
        """Blocks of one unit."""
        return (self.unit_tokens or 0) // self.block_tokens

    def blocks_for(self, tokens: int) -> int:
        """Blocks that ``tokens`` take."""
        return -(-tokens // self.block_tokens)

    def cached_units(self, prefix: Sequence[Key]) -> int:
        """How many leading units of a prefix are there."""
        if self.unit_tokens is None:
            return 0
        found = 0
        for key in prefix:
            if key not in self._users and key not in self._idle:
                break
            found += 1
        return found

    def idle_among(self, prefix: Sequence[Key], units: int) -> int:
        """Blocks of the first ``units`` that no one uses: taking them leaves so many fewer available."""
        return self.unit_blocks * sum(key in self._idle for key in prefix[:units])

    def share(self, holding: Holding, units: int) -> None:
        """Let a sequence use the first ``units`` of its prefix, which are there."""
        for key in holding.prefix[:units]:
            if key in self._idle:
                del self._idle[key]
                self._held += self.unit_blocks
            self._users[key] = self._users.get(key, 0) + 1
        holding.units = units

    def grow(self, holding: Holding, blocks: int) -> None:
        """Give a sequence ``blocks`` more; they must be available."""
        holding.blocks += blocks
        self.take(blocks)

    def take(self, blocks: int) -> None:
        """Take available blocks, throwing out idle units where none lie free."""
        self._held += blocks
        if self._idle:
            free = self.total - self._held - len(self._idle) * self.unit_blocks
            while free < 0 and self._idle:
                self._idle.popitem(last=False)
                free += self.unit_blocks

    def keep(self, holding: Holding, tokens: int) -> None:
        """The sequence's first ``tokens`` are computed: whole units of them can be shared from now on."""
        if self.unit_tokens is None:
            return
        whole = min(tokens // self.unit_tokens, len(holding.prefix))
        while holding.units < whole:
            key = holding.prefix[holding.units]
            if key in self._users or key in self._idle:
                return  # another sequence computed the same: both keep their own, the first is shared
            self._users[key] = 1
            holding.units += 1
            holding.blocks -= self.unit_blocks

    def release(self, holding: Holding) -> None:
        """Take everything from a sequence; its units stay, idle, where no one else uses them."""
        self._held -= holding.blocks
        for key in reversed(holding.prefix[: holding.units]):
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key]
                self._idle[key] = None
                self._held -= self.unit_blocks
        holding.blocks = holding.units = 0

    def forget(self) -> None:
        """Throw out all idle units, as ``/reset_prefix_cache`` does."""
        self._idle.clear()
