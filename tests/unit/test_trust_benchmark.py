"""The trust benchmark: studies on banks whose truth is known, and a small bank that is simulated."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from benchmarks.trust.bank import Bank, Plan, banks, variants
from benchmarks.trust.play import SETTINGS, play_all
from benchmarks.trust.report import report
from scoot_ray.search import Metrics


def made(gain: bool) -> Bank:
    """Orders that matter much, noise of 3%, and with gain a variant that is a quarter faster."""
    rng, orders = random.Random(gain), 40
    crowd = [rng.lognormvariate(5, 0.5) for _ in range(orders)]

    def run(variant: int, order: int) -> Metrics:
        level = 0.75 if gain and variant == 2 else 1.0
        figures = {name: crowd[order] * level * rng.lognormvariate(0, 0.03) for name in ("p95_e2el_ms", "mean_ttft_ms")}
        return {**figures, "error_rate": 0.0}

    runs = [[run(variant, order) for order in range(orders)] for variant in range(4)]
    return Bank(Plan("cls-7b-2a10", gain, 4, orders), runs)


def test_nothing_is_claimed_where_nothing_is_to_be_had_and_a_gain_is_found() -> None:
    without, with_gain = (play_all(made(gain), range(24)) for gain in (False, True))
    assert sum(one.claimed for one in without) <= 3
    assert not any(one.true for one in without)
    claims = [one for one in with_gain if one.claimed]
    assert len(claims) >= 20
    assert all(one.true for one in claims)
    assert all(one.replays == 40 - 1 - SETTINGS.most_orders for one in without)
    text = report([*without, *with_gain])
    assert "where nothing can be gained: " in text
    assert "| cls-7b-2a10 | no | 24 |" in text


def test_a_bank_is_simulated_once(tmp_path: Path) -> None:
    plan = Plan("cls-7b-2a10", True, 3, 12)
    with ThreadPoolExecutor(1) as pool:
        (bank,) = banks(tmp_path, [plan], pool)
        first = (tmp_path / "banks" / "cls-7b-2a10-gain.json").stat().st_mtime_ns
        (again,) = banks(tmp_path, [plan], pool)
        assert again == bank
        assert (tmp_path / "banks" / "cls-7b-2a10-gain.json").stat().st_mtime_ns == first
        with pytest.raises(ValueError, match="made for other options"):
            list(banks(tmp_path, [Plan("cls-7b-2a10", True, 3, 13)], pool))
    assert len(bank.runs) == 3
    assert all(len(runs) == 12 for runs in bank.runs)
    assert play_all(bank, range(1))


def test_without_gain_every_variant_is_the_default() -> None:
    plain, spread = (variants(Plan("cls-7b-2a10", gain, 4, 1)) for gain in (False, True))
    assert all(config == plain[0] for config in plain)
    assert len({tuple(sorted(config.items())) for config in spread}) == 4
