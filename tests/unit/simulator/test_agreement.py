"""The tables of benchmarks/simulator."""

from __future__ import annotations

import pytest

from benchmarks.simulator.report import METRICS, Row, agreement, markdown
from scoot_ray.search import Config


def row(config: Config, repeat: int, real: float, simulated: float, valid: bool = True) -> Row:
    return Row(config, 5.0, repeat, valid, dict.fromkeys(METRICS, real), dict.fromkeys(METRICS, simulated))


def test_ranks_and_relative_errors() -> None:
    ranks, middle, average = agreement([1.0, 2.0, 4.0], [1.1, 3.0, 4.0])
    assert (ranks, middle, average) == pytest.approx((1.0, 0.1, 0.2))
    assert agreement([1.0, 2.0, 4.0], [3.0, 2.0, 1.0])[0] == pytest.approx(-1.0)


def test_what_cannot_be_ranked_has_no_rank() -> None:
    assert agreement([1.0, 2.0], [1.0, 2.0])[0] is None
    assert agreement([5.0, 5.0, 5.0], [1.0, 2.0, 3.0])[0] is None


def test_second_starts_show_the_engines_own_noise_alone() -> None:
    text = markdown(
        [row({}, 0, 100.0, 110.0), row({"max_num_seqs": 8}, 0, 200.0, 180.0), row({}, 1, 130.0, 110.0, valid=False)]
    )
    assert text.count("| default |") == 1
    assert "| default | 100 → 110 |" in text
    assert "| mean_ttft_ms | – | 10% | 10% |" in text
    assert "started again (1 configurations, median): mean_ttft_ms 30%" in text
    assert "1 of 3 loads were not sent or read on time" in text
