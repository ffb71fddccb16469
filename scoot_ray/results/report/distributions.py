"""How latencies are spread: what runs today against the best, as cumulative distributions over requests."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np

from scoot_ray.finalists import key
from scoot_ray.load.figures.metrics import PERCENTILES, Floats, latencies_ms, successes
from scoot_ray.load.figures.records import record_from_json
from scoot_ray.load.trace import RequestRecord
from scoot_ray.results.report.chart import Axis, Chart, Dot, Dots, Figure, Line, Mark, Rule, Table, axis_of
from scoot_ray.results.report.palette import Role
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.scales import Scale
from scoot_ray.results.report.text import counted, named, number
from scoot_ray.search import Config, Measured, Observation

_LATENCIES = ("ttft", "tpot", "e2el")
_RANKS = (*range(100), 99.25, 99.5, 99.75, 99.9, 100)  # percentiles that make a curve


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """One configuration's latencies, as (rank in %, ms) per latency.

    ``requests`` are those behind them; 0 where no request was kept and the trials' own percentiles must do.
    """

    role: Role
    name: str
    requests: int
    trials: tuple[int, ...]
    curves: Mapping[str, tuple[tuple[float, float], ...]]
    table: Mapping[str, tuple[float | None, ...]]


def spreads_of(run: Run) -> tuple[Spread, ...]:
    """What runs today and what is set against it, as far as they were measured."""
    role, today = run.today
    candidate = run.candidate
    wanted: list[tuple[Role, str, Config]] = [("default" if role == "default" else "baseline", role, today)]
    if candidate is not None and key(candidate) != key(today):
        wanted.append(("front", _candidate_name(run), candidate))
    found = (_spread(run, role, name, run.trials_of(config)) for role, name, config in wanted)
    return tuple(one for one in found if one is not None)


def distributions_figure(run: Run, spreads: Sequence[Spread]) -> Figure | None:
    """A chart for each latency; None where there is nothing to show."""
    charts = tuple(_chart(run, latency, spreads) for latency in _LATENCIES if any(s.curves[latency] for s in spreads))
    if not charts:
        return None
    behind = "; ".join(
        f"{spread.name}: {counted(spread.requests, 'request')} of {counted(len(spread.trials), 'trial')}"
        if spread.requests
        else f"{spread.name}: the percentiles kept of {counted(len(spread.trials), 'trial')}, averaged"
        for spread in spreads
    )
    caption = f"The share of requests that waited no longer than so many ms; further left is better. {behind}."
    return Figure("latency", "How latencies are spread", caption, charts, _table(spreads))


def _candidate_name(run: Run) -> str:
    verdict, recommended = run.result["verdict"], run.result["recommended"]
    if recommended is not None and key(recommended["config"]) == key(run.candidate or {}):
        return "recommended" if recommended["confirmed"] else "best so far"
    return "best finalist" if verdict is not None else "best of the search"


def _spread(run: Run, role: Role, name: str, seen: Sequence[Observation]) -> Spread | None:
    if not seen:
        return None
    trials = tuple(one.trial.id for one in seen)
    samples = latencies_ms(successes(list(_records(run, trials))))
    if len(samples["e2el"]):
        curves = {latency: _curve(samples[latency]) for latency in _LATENCIES}
        figures = {latency: _figures(samples[latency]) for latency in _LATENCIES}
        return Spread(role, name, len(samples["e2el"]), trials, curves, figures)
    outcomes = [one.outcome.metrics for one in seen if isinstance(one.outcome, Measured)]
    kept = {latency: _kept(outcomes, latency) for latency in _LATENCIES}
    points = {latency: _points(figures) for latency, figures in kept.items()}
    return Spread(role, name, 0, trials, points, kept)


def _records(run: Run, trials: Sequence[int]) -> Iterator[RequestRecord]:
    for trial in trials:
        folder = run.folder.trial(trial)
        for name in folder.names():
            if fnmatch(name, "requests-*.jsonl"):
                for line in (folder.read(name) or b"").splitlines():
                    yield record_from_json(json.loads(line))


def _curve(samples_ms: Floats) -> tuple[tuple[float, float], ...]:
    if not len(samples_ms):
        return ()
    values = np.percentile(samples_ms, _RANKS)
    return tuple((float(rank), float(value)) for rank, value in zip(_RANKS, values, strict=True))


def _figures(samples_ms: Floats) -> tuple[float | None, ...]:
    """Mean and PERCENTILES."""
    if not len(samples_ms):
        return (None,) * (1 + len(PERCENTILES))
    return (float(np.mean(samples_ms)), *map(float, np.percentile(samples_ms, PERCENTILES)))


def _kept(outcomes: Sequence[Mapping[str, float]], latency: str) -> tuple[float | None, ...]:
    names = [f"mean_{latency}_ms", *(f"p{rank}_{latency}_ms" for rank in PERCENTILES)]
    columns = [[metrics[name] for metrics in outcomes if name in metrics] for name in names]
    return tuple(sum(column) / len(column) if column else None for column in columns)


def _points(figures: Sequence[float | None]) -> tuple[tuple[float, float], ...]:
    return tuple((float(rank), ms) for rank, ms in zip(PERCENTILES, figures[1:], strict=True) if ms is not None)


def _chart(run: Run, latency: str, spreads: Sequence[Spread]) -> Chart:
    label = named(f"mean_{latency}_ms").label.removeprefix("mean ")
    everything = [ms for spread in spreads for _, ms in spread.curves[latency]]
    x = axis_of(f"{label}, ms", everything)
    marks: list[Mark] = []
    for spread in spreads:
        line = tuple((ms, rank) for rank, ms in spread.curves[latency])
        marks.append(Line(spread.role, line, spread.name, dashed=not spread.requests))
        if not spread.requests:
            marks.append(Dots(spread.role, tuple(Dot(ms, rank, f"p{rank:g} {number(ms)} ms") for ms, rank in line)))
    marks += [
        Rule("limit", slo.limit, f"SLO {slo.metric.partition('_')[0]}", upright=True)
        for slo in run.resolved.problem.slos
        if slo.metric.endswith(f"_{latency}_ms") and x.scale.low < slo.limit < x.scale.high
    ]
    medians = ", ".join(f"{spread.name} {number(spread.table[latency][1])} ms" for spread in spreads)
    return Chart(label, f"Medians: {medians}.", x, Axis("requests, %", Scale(0.0, 100.0)), tuple(marks))


def _table(spreads: Sequence[Spread]) -> Table:
    rows = tuple(
        (named(f"mean_{latency}_ms").label.removeprefix("mean "), spread.name, *map(number, spread.table[latency]))
        for latency in _LATENCIES
        for spread in spreads
    )
    return Table("Latencies in ms", ("latency", "configuration", "mean", *(f"p{rank}" for rank in PERCENTILES)), rows)
