"""The KV cache's blocks: nothing is lost, nothing is given twice, prefixes are found where they are."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.simulator.blocks import BlockPool, Holding, Key

PREFIXES = st.lists(st.integers(0, 5), max_size=4).map(
    lambda ids: tuple(tuple(ids[: end + 1]) for end in range(len(ids)))  # a key stands for the whole prefix
)


def admit(pool: BlockPool, prefix: tuple[Key, ...], tokens: int) -> Holding | None:
    """What a scheduler does: share what is there, take the rest if it can be had."""
    holding = Holding(prefix)
    units = pool.cached_units(prefix)
    needed = pool.blocks_for(tokens) - units * pool.unit_blocks
    if needed + pool.idle_among(prefix, units) > pool.available:
        return None
    pool.share(holding, units)
    pool.grow(holding, needed)
    pool.keep(holding, tokens)
    return holding


@given(st.lists(st.tuples(PREFIXES, st.integers(0, 200), st.booleans()), max_size=40))
def test_blocks_are_conserved(steps: list[tuple[tuple[tuple[int, ...], ...], int, bool]]) -> None:
    pool = BlockPool(total=64, block_tokens=16, unit_tokens=64)
    held: list[Holding] = []
    for prefix, more_tokens, release in steps:
        holding = admit(pool, prefix, 64 * len(prefix) + more_tokens)
        if holding is not None:
            held.append(holding)
        if release and held:
            pool.release(held.pop(0))
        in_use = {key for one in held for key in one.prefix[: one.units]}
        used = sum(one.blocks for one in held) + pool.unit_blocks * len(in_use)
        assert pool.total - pool.available == used
        assert 0 <= pool.available <= pool.total
        assert all(one.blocks >= 0 for one in held)
    for one in held:
        pool.release(one)
    assert pool.available == pool.total


def test_a_shared_prefix_takes_its_blocks_once() -> None:
    pool = BlockPool(total=100, block_tokens=16, unit_tokens=64)
    first = admit(pool, ("a", "b"), 130)
    assert first is not None
    assert pool.total - pool.available == 9
    second = admit(pool, ("a", "c"), 130)
    assert second is not None
    assert pool.total - pool.available == 9 + 9 - 4


def test_the_least_recently_used_end_goes_first() -> None:
    pool = BlockPool(total=12, block_tokens=16, unit_tokens=64)
    prefixes: tuple[tuple[Key, ...], ...] = (("a", "ab"), ("c",))
    for prefix in prefixes:
        holding = admit(pool, prefix, 64 * len(prefix))
        assert holding is not None
        pool.release(holding)
    assert pool.available == 12
    other = admit(pool, (), 64)
    assert other is not None
    assert (pool.cached_units(("a", "ab")), pool.cached_units(("c",))) == (1, 1)


def test_without_caching_nothing_is_found() -> None:
    pool = BlockPool(total=12, block_tokens=16)
    holding = admit(pool, ("a",), 64)
    assert holding is not None
    pool.release(holding)
    assert pool.cached_units(("a",)) == 0


def test_forgetting_leaves_nothing_to_find() -> None:
    pool = BlockPool(total=12, block_tokens=16, unit_tokens=64)
    holding = admit(pool, ("a",), 64)
    assert holding is not None
    pool.release(holding)
    pool.forget()
    assert pool.cached_units(("a",)) == 0
    assert pool.available == 12
