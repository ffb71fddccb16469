"""How well simulated figures agree with measured ones: tables in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median

from scipy.stats import spearmanr

from scoot_ray.search import Config

METRICS = ("mean_ttft_ms", "mean_tpot_ms", "p95_e2el_ms", "request_throughput")
_FEWEST_RANKED = 3


@dataclass(frozen=True)
class Row:
    """One configuration under one rate: measured in one engine start, and simulated."""

    config: Config
    rate: float
    repeat: int
    valid: bool
    real: Mapping[str, float]
    simulated: Mapping[str, float]


def markdown(rows: Sequence[Row]) -> str:
    """For each rate: every configuration, how the two agree, and how the engine agrees with itself."""
    return "\n".join(_of_rate(rate, [row for row in rows if row.rate == rate]) for rate in _rates(rows))


def agreement(real: Sequence[float], simulated: Sequence[float]) -> tuple[float | None, float, float]:
    """Spearman's rank correlation (None where there is nothing to rank), median and mean size of relative errors."""
    errors = [abs(ours / theirs - 1) for theirs, ours in zip(real, simulated, strict=True)]
    ranked = len(real) >= _FEWEST_RANKED and len(set(real)) > 1 and len(set(simulated)) > 1
    correlation = float(spearmanr(real, simulated).statistic) if ranked else None
    return correlation, median(errors), mean(errors)


def _rates(rows: Sequence[Row]) -> list[float]:
    return sorted({row.rate for row in rows}, reverse=True)


def _of_rate(rate: float, rows: Sequence[Row]) -> str:
    firsts = [row for row in rows if row.repeat == 0]
    sections = [f"### {rate:g} requests per second\n", _table(firsts), _agreements(firsts), _own_noise(rows)]
    late = sum(not row.valid for row in rows)
    if late:
        sections.append(f"{late} of {len(rows)} loads were not sent or read on time: the machine was busy.\n")
    return "\n".join(sections)


def _table(rows: Sequence[Row]) -> str:
    """Measured → simulated."""
    lines = [_line("measured → simulated", *METRICS), _line(*["---"] * (len(METRICS) + 1))]
    lines += [
        _line(_named(row.config), *(f"{row.real[name]:.4g} → {row.simulated[name]:.4g}" for name in METRICS))
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def _agreements(rows: Sequence[Row]) -> str:
    lines = [_line("metric", "rank correlation", "median error", "mean error"), _line(*["---"] * 4)]
    for name in METRICS:
        ranks, middle, average = agreement([row.real[name] for row in rows], [row.simulated[name] for row in rows])
        lines.append(_line(name, "–" if ranks is None else f"{ranks:.2f}", f"{middle:.0%}", f"{average:.0%}"))
    return "\n".join(lines) + "\n"


def _own_noise(rows: Sequence[Row]) -> str:
    """The engine's second start against its first: no simulator can agree better than that."""
    firsts = {_named(row.config): row for row in rows if row.repeat == 0}
    pairs = [(firsts[_named(row.config)], row) for row in rows if row.repeat > 0 and _named(row.config) in firsts]
    if not pairs:
        return ""
    said = [
        f"{name} {median(abs(again.real[name] / first.real[name] - 1) for first, again in pairs):.0%}"
        for name in METRICS
    ]
    return f"The engine against itself, started again ({len(pairs)} configurations, median): {', '.join(said)}.\n"


def _named(config: Config) -> str:
    return ", ".join(f"{name}={value}" for name, value in config.items()) or "default"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
