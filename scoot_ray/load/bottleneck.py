"""Why the latencies are what they are: which of an engine's limits held the requests back. Pure.

Continuous batching admits a waiting request as soon as there is a seat (``max_num_seqs``), room in the KV cache and
something left of the step's token budget (``max_num_batched_tokens``). So where requests wait, one of the three is
used up, and the engine's own samples say which; where none waits, the steps themselves take the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Literal, TypeAlias

from scoot_ray.load.server_metrics import Sample

Binding: TypeAlias = Literal["kv_memory", "sequences", "token_budget", "compute", "none"]

QUEUED_SHARE = 0.2
"""Of the requests under way: where fewer wait, they are in bursts, which every service has."""

KV_FULL = 0.9
"""From here on a new prompt may well find no room; samples are seldom taken at the very peak."""

SEATS_TAKEN = 0.9
"""Of the sequences allowed: engines count after a step, when what it finished has left its seat."""

_STOOD_STILL = 0.5  # of the samples with a queue are near the most sequences ever seen running
_PILING_UP = 1.5  # times as many requests under way at the end as earlier in the load
_FEWEST_SAMPLES = 8
_CHANCE = 3.0  # standard deviations of a number of requests that come by chance (Poisson)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engines were started with, all together; None where that is not known."""

    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ServerWindow:
    """The samples of one load: the first was taken before it, the last after the last answer.

    ``sent_s`` is the last sending in ``time.monotonic()`` seconds. ``shareable`` is the share of the prompts' tokens
    that an endless prefix cache would have held (None where the trace does not say).
    """

    samples: tuple[Sample, ...]
    sent_s: float
    shareable: float | None = None


NO_ACCOUNT = ServerWindow((), 0.0)


@dataclass(frozen=True, slots=True)
class ServerReport:
    """The engine's account: ``figures`` by name, the limit that bound, and the evidence in one sentence."""

    figures: Mapping[str, float]
    bound_by: Binding | None
    because: str


def explain(window: ServerWindow, limits: Limits = Limits()) -> ServerReport | None:
    """Sum the samples up and say which limit bound; None without samples.

    Queue, running sequences and KV use are of the time in which requests were sent; counters are of the whole load.
    ``bound_by`` is None where the server does not say how many requests run and wait.
    """
    if not window.samples:
        return None
    loaded = _loaded(window)
    figures = _gauges(loaded) | _counters(window)
    if "running_max" not in figures or "waiting_max" not in figures:
        return ServerReport(figures, None, "the server does not say how many requests run and wait")
    bound_by, because = _binding(loaded, figures, limits)
    return ServerReport(figures, bound_by, because)


def _loaded(window: ServerWindow) -> list[Sample]:
    """The samples taken while requests were sent; all there are where the load was shorter than the interval."""
    during = [sample for sample in window.samples[1:] if sample.at_s <= window.sent_s]
    return during or list(window.samples[1:]) or list(window.samples)


def _series(samples: Sequence[Sample], name: str) -> list[float]:
    return [sample.values[name] for sample in samples if name in sample.values]


def _gauges(loaded: Sequence[Sample]) -> dict[str, float]:
    figures: dict[str, float] = {"samples": len(loaded)}
    for name in ("running", "waiting", "kv_usage"):
        if values := _series(loaded, name):
            figures |= {f"{name}_mean": mean(values), f"{name}_max": max(values)}
    under_way = figures.get("running_mean", 0.0) + figures.get("waiting_mean", 0.0)
    if under_way:
        figures["queued_share"] = figures.get("waiting_mean", 0.0) / under_way
    return figures


def _counters(window: ServerWindow) -> dict[str, float]:
    before, after = window.samples[0].values, window.samples[-1].values
    grown = {name: max(0.0, value - before.get(name, 0.0)) for name, value in after.items()}
    figures: dict[str, float] = {
        name: grown[name] for name in ("preemptions", "prompt_tokens", "generation_tokens") if name in grown
    }
    for name, part, whole, factor in (
        ("prefix_hit_share", "prefix_hits", "prefix_queries", 1.0),
        ("mean_queue_ms", "queue_s", "queued", 1e3),
        ("tokens_per_step", "step_tokens", "steps", 1.0),
    ):
        if part in grown and grown.get(whole, 0.0) > 0:
            figures[name] = grown[part] / grown[whole] * factor
    if window.shareable is not None:
        figures["prefix_shareable_share"] = window.shareable
    return figures


def _binding(loaded: Sequence[Sample], figures: Mapping[str, float], limits: Limits) -> tuple[Binding, str]:
    """The limit and its evidence, in the order in which one hides the next."""
    queued = figures.get("queued_share", 0.0) >= QUEUED_SHARE
    waited = _waited(figures)
    kv_usage = figures.get("kv_usage_max", 0.0)
    if figures.get("preemptions", 0.0) > 0 or (queued and kv_usage >= KV_FULL):
        evicted = f"{figures.get('preemptions', 0.0):.0f} preemptions"
        return "kv_memory", f"the KV cache was up to {kv_usage:.0%} full, with {evicted}; {waited}"
    if queued and (seats := _seats(loaded, limits)) is not None:
        return "sequences", f"{waited} behind {figures['running_max']:.0f} running sequences, {seats}{_free(figures)}"
    if queued:
        budget = f" ({limits.max_num_batched_tokens})" if limits.max_num_batched_tokens is not None else ""
        return "token_budget", (
            f"{waited} though only {figures['running_mean']:.0f} sequences ran on average{_free(figures)}: "
            f"what a step may hold (max_num_batched_tokens{budget}) was used up by those before them"
        )
    if (growth := _growth(loaded)) is not None:
        return "compute", f"nothing waited for a limit, but requests came faster than the steps served them: {growth}"
    return "none", f"no limit was reached: {waited}, up to {figures['running_max']:.0f} sequences ran{_free(figures)}"


def _waited(figures: Mapping[str, float]) -> str:
    if not figures["waiting_max"]:
        return "no request was seen waiting"
    took = f", {figures['mean_queue_ms']:.0f} ms on average" if "mean_queue_ms" in figures else ""
    return f"{figures['queued_share']:.0%} of the requests under way waited, up to {figures['waiting_max']:.0f}{took}"


def _free(figures: Mapping[str, float]) -> str:
    return f", with the KV cache at most {figures['kv_usage_max']:.0%} full" if "kv_usage_max" in figures else ""


def _seats(loaded: Sequence[Sample], limits: Limits) -> str | None:
    """Why the number of running sequences looks like the engine's most, if it does.

    Where the limit is not known, a number that stays while others wait is taken for it.
    """
    waiting_on = [sample for sample in loaded if sample.values.get("waiting", 0.0) > 0]
    running = _series(waiting_on, "running")
    most = limits.max_num_seqs
    if not running:
        return None
    if most is not None:
        return f"which is max_num_seqs ({most})" if max(running) >= SEATS_TAKEN * most else None
    near = sum(count >= SEATS_TAKEN * max(running) for count in running)
    stood_still = max(running) > 1 and near >= _STOOD_STILL * len(running)
    return "a number it kept coming back to: most likely max_num_seqs" if stood_still else None


def _growth(loaded: Sequence[Sample]) -> str | None:
    """How the number of requests under way grew from the second quarter of the load to the last, if it did."""
    running = _series(loaded, "running")
    if len(running) < _FEWEST_SAMPLES:
        return None
    quarter = len(running) // 4
    middle, end = mean(running[quarter : 2 * quarter]), mean(running[-quarter:])
    if end < _PILING_UP * middle or end - middle < _CHANCE * math.sqrt(middle + 1):
        return None
    return f"{middle:.0f} were under way in the second quarter of the load, {end:.0f} in the last"
