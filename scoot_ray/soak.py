"""The soak: the winner under the trace's longest requests, for long, once it is confirmed. Pure.

It asks whether a configuration survives, not how fast it is: latency that creeps up, memory that is never given back
and preemptions show under long contexts and after a while, if at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scoot_ray.load.arrivals import Arrivals
from scoot_ray.load.trace import Request, RequestRecord
from scoot_ray.log import Log
from scoot_ray.search import Config, Measured, Origin
from scoot_ray.study import Soak, Study

SHARE = 0.1
"""Of the requests that fit the model: the longest tenth is replayed."""
FEW = 20
"""Successes in a third of the time, below which a drift would be chance."""
DRIFT, MEMORY, PREEMPTIONS = "soak_drift", "soak_memory_growth", "soak_preemptions"
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Soaked:
    """What came of a soak. ``failure`` says what was not survived, None where all was; ``figures`` is what was seen."""

    trial: int
    duration_s: float
    figures: Mapping[str, float]
    failure: str | None = None

    @property
    def line(self) -> str:
        """The same in words."""
        if self.failure is not None:
            return f"did not survive the soak of {self.duration_s:.0f} s at the longest contexts: {self.failure}"
        figures = self.figures
        seen = [f"{figures['completed']:.0f} requests", f"{figures.get('error_rate', 0.0):.1%} of them failed"]
        seen += [f"latency {figures[DRIFT]:+.0%} from the first third to the last"] if DRIFT in figures else []
        seen += [f"memory {figures[MEMORY]:+.0%}"] if MEMORY in figures else []
        seen += [f"{figures[PREEMPTIONS]:.0f} preemptions"] if PREEMPTIONS in figures else []
        return f"survived a soak of {self.duration_s:.0f} s at the longest contexts: {', '.join(seen)}"


def soaked(settings: Soak | None, max_error_rate: float, log: Log, config: Config) -> Soaked | None:
    """What came of the soak of ``config``; None where there was none, or it has not ended."""
    for seen in log.observations:
        if settings is None or seen.trial.origin is not Origin.SOAK or seen.trial.config != config:
            continue
        if not isinstance(seen.outcome, Measured):
            return Soaked(seen.trial.id, settings.duration_s, {}, str(seen.outcome))
        metrics = seen.outcome.metrics
        return Soaked(seen.trial.id, settings.duration_s, metrics, _failure(settings, max_error_rate, metrics))
    return None


def soak_load(study: Study, requests: Sequence[Request]) -> tuple[tuple[Request, ...], Arrivals, float]:
    """The longest of ``requests``, when they arrive, and for how many seconds: at the study's rate, sessions apart.

    A rate that the trace decides is its mean, and so is a ramp's: neither pattern would outlast a soak.
    """
    assert study.confirmation.soak is not None  # only such a study has a soak
    asked = study.workload.arrivals
    if asked.process in {"recorded", "ramp"}:
        arrivals = Arrivals("poisson", asked.mean_rate or _recorded_rate(requests, asked.time_scale))
    else:
        arrivals = Arrivals(asked.process, asked.rate, asked.burstiness)
    return _longest(requests), arrivals, study.confirmation.soak.duration_s


def drift(records: Sequence[RequestRecord]) -> dict[str, float]:
    """How much the median latency grew from the first third of the time to the last; empty where too few succeeded."""
    if not records:
        return {}
    first_s, last_s = records[0].scheduled_s, max(record.scheduled_s for record in records)
    third_s = (last_s - first_s) / 3
    done = [(one.scheduled_s, one.done_s - one.scheduled_s) for one in records if one.error is None and one.done_s]
    early = [took_s for at_s, took_s in done if at_s < first_s + third_s]
    late = [took_s for at_s, took_s in done if at_s >= last_s - third_s]
    if min(len(early), len(late)) < FEW:
        return {}
    return {DRIFT: growth(early, late)}


def growth(early: Sequence[float], late: Sequence[float]) -> float:
    """The relative change between the medians of two samples of positive figures."""
    return float(np.median(late) / np.median(early)) - 1


def _failure(settings: Soak, max_error_rate: float, metrics: Mapping[str, float]) -> str | None:
    if metrics.get("error_rate", 0.0) > max_error_rate:
        return f"{metrics['error_rate']:.1%} of its requests failed; allowed are {max_error_rate:.1%}"
    for name, limit, what in (
        (DRIFT, settings.max_drift, "latency"),
        (MEMORY, settings.max_memory_growth, "the engine's memory"),
    ):
        if limit is not None and metrics.get(name, 0.0) > limit:
            return f"{what} grew by {metrics[name]:.0%} from the first third to the last; allowed are {limit:.0%}"
    return None


def _longest(requests: Sequence[Request]) -> tuple[Request, ...]:
    """The longest tenth by all their tokens, one at least, in the trace's order."""
    count = max(1, round(SHARE * len(requests)))
    ranked = sorted(range(len(requests)), key=lambda at: -_tokens(requests[at]))
    return tuple(requests[at] for at in sorted(ranked[:count]))


def _tokens(request: Request) -> int:
    if request.input_tokens is not None:
        return request.input_tokens + request.output_tokens
    said = request.prompt or "".join(str(message.get("content", "")) for message in request.messages or ())
    return len(said) // _CHARACTERS_PER_TOKEN + request.output_tokens


def _recorded_rate(requests: Sequence[Request], time_scale: float) -> float:
    """Requests per second of the trace as it is played."""
    span_s = (requests[-1].timestamp_s - requests[0].timestamp_s) * time_scale
    return (len(requests) - 1) / span_s if span_s > 0 else float(len(requests))
