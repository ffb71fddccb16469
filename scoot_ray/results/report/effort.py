"""Where the time went: what every slot did, and what the run cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from scoot_ray.results.report.chart import Bar, Bars, Chart, Figure, Table, categories
from scoot_ray.results.report.palette import Role
from scoot_ray.results.report.progress import time_axis
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.text import counted, duration, number, percent
from scoot_ray.results.report.timeline import PHASES, Slot, Span, slot_names, slots_of, together
from scoot_ray.search import Failed, FailureKind, Observation, Origin

_BARS: tuple[tuple[str, Role, str], ...] = (
    ("start", "start", "engine start-up"),
    ("load", "load", "load"),
    ("stop", "stop", "stop"),
    ("stage", "faint", "waiting for another engine to load the model"),
    ("idle", "faint", "preparing, collecting files"),
    ("lost", "failed", "lost with its worker"),
)
_ALWAYS = ("start", "load", "stop")  # shown though there be none
_HEADS = {"stage": "waiting to load", "start": "start-up", "idle": "rest"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds in slots by phase, and what was paid for: ``gpus`` are those of one evaluation."""

    part: str
    trials: int
    phases_s: Mapping[str, float]
    gpus: int

    @property
    def held_s(self) -> float:
        """Seconds that slots were held."""
        return sum(self.phases_s.values())

    @property
    def gpu_s(self) -> float:
        """GPU-seconds."""
        return self.held_s * self.gpus


def timeline_figure(run: Run, spans: Sequence[Span]) -> Figure | None:
    """A row for each slot; None while nothing has ended, or nothing says how long it took."""
    if not any(span.phases for span in spans):
        return None
    slots = slots_of(spans)
    names = slot_names(spans)
    rows = {number: -float(at) for at, number in enumerate(sorted(names))}
    x, unit_s = time_axis(max(span.end_s for span in spans))
    shown = _shown([slot.phases_s for slot in slots])
    marks = tuple(_bars(*kind, spans, rows, unit_s) for kind in _BARS if kind[0] in shown)
    busy = sum(slot.busy_s for slot in slots) / (len(slots) * max(span.end_s for span in spans))
    summary = f"{counted(len(slots), 'slot')}, busy for {percent(min(1.0, busy))} of the time."
    y = categories("", [names[number] for number in sorted(names)])
    chart = Chart("Slots over time", summary, x, y, marks, rows=len(rows))
    virtual = run.resolved.study.engine.in_virtual_time
    how = (
        "Time is simulated: evaluations are laid into the study's slots in the order of their trials."
        if virtual
        else "Gaps are waiting: for resources, a suggestion, or a driver."
    )
    return Figure("timeline", "What the slots did", f"{summary} {how}", (chart,), _table(slots), size="large")


def costs_of(run: Run, spans: Iterable[Span]) -> tuple[Cost, ...]:
    """What search, confirmation, and failures that are not the configurations' own took."""
    confirming = {trial.id for trial in run.log.trials if trial.origin in {Origin.CONFIRMATION, Origin.SOAK}}
    ours = {kind.value for kind in FailureKind if not kind.of_configuration}
    parts: dict[str, list[Span]] = {"search": [], "confirmation": [], "lost and tried again": []}
    for span in spans:
        name = "confirmation" if span.trial in confirming else "search"
        parts["lost and tried again" if span.outcome in ours else name].append(span)
    gpus = run.resolved.study.gpus
    return tuple(Cost(name, len(own), together(own), gpus) for name, own in parts.items() if own)


def cost_table(costs: Sequence[Cost]) -> Table:
    """The same as rows, with their sum."""
    total = [_together(costs)] if len(costs) > 1 else []
    on_gpus = bool(costs) and costs[0].gpus > 0
    shown = _shown([cost.phases_s for cost in costs])
    head = ("", "evaluations", *_heads(shown), "slot time", *(("GPU-hours",) if on_gpus else ()))
    return Table("Cost", head, tuple(_row(cost, shown, on_gpus) for cost in (*costs, *total)))


def failure_table(failures: Iterable[Observation]) -> Table:
    """Failures of the configurations by kind, with what one of each said."""
    kinds: dict[FailureKind, list[Observation]] = {}
    for seen in failures:
        assert isinstance(seen.outcome, Failed)
        kinds.setdefault(seen.outcome.kind, []).append(seen)
    ranked = sorted(kinds.items(), key=lambda item: -len(item[1]))
    return Table(
        "Failures by kind",
        ("kind", "trials", "the engine's words, of the last one"),
        tuple((kind.value.replace("_", " "), str(len(own)), _words(own[-1])) for kind, own in ranked),
    )


def _words(seen: Observation) -> str:
    assert isinstance(seen.outcome, Failed)
    return f"{seen.outcome.detail} (trial {seen.trial.id})"


def _bars(phase: str, role: Role, label: str, spans: Sequence[Span], rows: dict[int, float], unit_s: float) -> Bars:
    bars = []
    for span in spans:
        at_s = span.begin_s
        for name, seconds in span.phases:
            if name == phase:
                title = f"trial {span.trial} ({span.outcome}): {label} {duration(seconds)}"
                bars.append(Bar(at_s / unit_s, (at_s + seconds) / unit_s, rows[span.slot], title))
            at_s += seconds
    return Bars(role, tuple(bars), label)


def _table(slots: Sequence[Slot]) -> Table:
    shown = _shown([slot.phases_s for slot in slots])
    rows = tuple(
        (slot.name, str(slot.trials), *map(duration, (slot.busy_s, *(slot.phases_s[phase] for phase in shown))))
        for slot in slots
    )
    return Table("What each slot did", ("slot", "evaluations", "busy", *_heads(shown)), rows)


def _shown(parts: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """The phases that a table has columns for: without those that never came."""
    return tuple(phase for phase in PHASES if phase in _ALWAYS or any(part[phase] for part in parts))


def _heads(shown: Sequence[str]) -> tuple[str, ...]:
    return tuple(_HEADS.get(phase, phase) for phase in shown)


def _together(costs: Sequence[Cost]) -> Cost:
    trials = sum(cost.trials for cost in costs)
    phases_s = {phase: sum(cost.phases_s[phase] for cost in costs) for phase in PHASES}
    return Cost("together", trials, phases_s, costs[0].gpus)


def _row(cost: Cost, shown: Sequence[str], on_gpus: bool) -> tuple[str, ...]:
    times = map(duration, (*(cost.phases_s[phase] for phase in shown), cost.held_s))
    return (cost.part, str(cost.trials), *times, *((number(cost.gpu_s / 3600),) if on_gpus else ()))
