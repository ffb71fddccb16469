"""When each evaluation held a slot, and with what: from the journal's times and the trials' own timings. Pure.

An evaluation ends when it is journalled; its phases lie before that. Where time is virtual the journal's times say
nothing, so evaluations are laid in the order of their trials into as many slots as the study has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from scoot_ray.journal import Event

PHASES = ("stage", "start", "load", "stop", "idle", "lost")
_PHASES = {"warmup_s": "load", "drain_s": "load", **{f"{name}_s": name for name in PHASES}}
_TOUCH_S = 0.5  # clocks of two machines may overlap by this much without needing a slot more


@dataclass(frozen=True, slots=True)
class Span:
    """One evaluation in its slot, in seconds since the run began. ``phases`` are (name, seconds) one after another."""

    trial: int
    where: str
    slot: int
    begin_s: float
    end_s: float
    phases: tuple[tuple[str, float], ...]
    outcome: str


@dataclass(frozen=True, slots=True)
class Slot:
    """What one slot did over the whole run: seconds of each of PHASES."""

    name: str
    trials: int
    phases_s: Mapping[str, float]

    @property
    def busy_s(self) -> float:
        """All that it was held."""
        return sum(self.phases_s.values())


def spans_of(events: Sequence[Event], parallelism: int, *, virtual: bool) -> tuple[Span, ...]:
    """Every evaluation that ended, failures of ours included, by the time at which it began."""
    ended = [event for event in events if event.type == "observed"]
    return _in_virtual_time(ended, parallelism) if virtual else _in_real_time(ended, _began(events))


def slots_of(spans: Iterable[Span]) -> tuple[Slot, ...]:
    """Per slot the sums, in order of the slots."""
    found: dict[int, list[Span]] = {}
    for span in spans:
        found.setdefault(span.slot, []).append(span)
    names = slot_names([span for own in found.values() for span in own])
    return tuple(Slot(names[number], len(own), together(own)) for number, own in sorted(found.items()))


def slot_names(spans: Sequence[Span]) -> Mapping[int, str]:
    """Slots by number: the host, with a number of its own where it has several."""
    hosts = dict(sorted((span.slot, span.where) for span in spans))
    many = {host for host in hosts.values() if list(hosts.values()).count(host) > 1}
    counts: dict[str, int] = {}
    names = {}
    for slot, host in hosts.items():
        counts[host] = counts.get(host, 0) + 1
        names[slot] = f"{host} {counts[host]}" if host in many else host
    return names


def together(spans: Iterable[Span]) -> dict[str, float]:
    """Seconds of each of PHASES over several evaluations."""
    sums = dict.fromkeys(PHASES, 0.0)
    for span in spans:
        for phase, seconds in span.phases:
            sums[phase] += seconds
    return sums


def _in_real_time(ended: Sequence[Event], began: datetime | None) -> tuple[Span, ...]:
    spans: list[Span] = []
    free: list[tuple[str, float]] = []  # host and the end of what each slot held last
    timed = []
    for event in ended:
        assert began is not None  # an event that ended came after one
        end_s = (datetime.fromisoformat(event.at) - began).total_seconds()
        timed.append((end_s - sum(seconds for _, seconds in _phases(event)), end_s, event))
    for begin_s, end_s, event in sorted(timed, key=lambda one: one[:2]):
        host = str(event.data["where"])
        slot = next(
            (at for at, (name, until) in enumerate(free) if name == host and until <= begin_s + _TOUCH_S), len(free)
        )
        free[slot : slot + 1] = [(host, end_s)]
        spans.append(_span(event, slot, max(0.0, begin_s), end_s))
    return tuple(spans)


def _in_virtual_time(ended: Sequence[Event], parallelism: int) -> tuple[Span, ...]:
    free = [0.0] * parallelism
    spans = []
    for event in sorted(ended, key=lambda event: event.trial or 0):
        slot = min(range(parallelism), key=free.__getitem__)
        begin_s = free[slot]
        free[slot] += sum(seconds for _, seconds in _phases(event))
        spans.append(_span(event, slot, begin_s, free[slot]))
    return tuple(sorted(spans, key=lambda span: span.begin_s))


def _span(event: Event, slot: int, begin_s: float, end_s: float) -> Span:
    outcome = event.data["outcome"]
    said = "measured" if "measured" in outcome else "ended early" if "bounded" in outcome else str(outcome["failed"])
    return Span(event.trial or 0, str(event.data["where"]), slot, begin_s, end_s, _phases(event), said)


def _phases(event: Event) -> tuple[tuple[str, float], ...]:
    """Each of PHASES with its seconds, without those that never came."""
    sums: dict[str, float] = {}
    for name, seconds in event.data["timings"].items():
        if name in _PHASES:
            sums[_PHASES[name]] = sums.get(_PHASES[name], 0.0) + seconds
    return tuple((phase, sums[phase]) for phase in PHASES if sums.get(phase))


def _began(events: Sequence[Event]) -> datetime | None:
    return datetime.fromisoformat(events[0].at) if events else None
