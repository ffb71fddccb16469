"""How the best found came about, over observations and over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from scoot_ray.results.report.chart import Axis, Chart, Dot, Dots, Figure, Line, Mark, Rule, Table, axis_of
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.scales import Scale
from scoot_ray.results.report.text import Named, counted, duration, named, number
from scoot_ray.results.report.timeline import Span
from scoot_ray.search import Measured, Objective, hypervolume, usable
from scoot_ray.search.problem import reference_costs
from scoot_ray.search.space import FloatArray

_UNITS = ((2 * 3600.0, "hours", 3600.0), (120.0, "minutes", 60.0), (0.0, "seconds", 1.0))
_MOST_ROWS = 60


@dataclass(frozen=True, slots=True)
class _Step:
    """An observation: its number from 1, when it ended, the trial, its costs where they count."""

    number: int
    at_s: float | None
    trial: int
    costs: FloatArray | None


def progress_figure(run: Run, spans: Sequence[Span]) -> Figure | None:
    """Best so far against the number of observations and against time; None while nothing was measured."""
    steps = _steps(run, spans)
    if all(step.costs is None for step in steps):
        return None
    drawn = _area_charts(run, steps) if len(run.metrics) == 2 else []
    drawn += _objective_charts(run, steps, over_time=len(run.metrics) == 1)
    counted_words = " Observations that break an SLO are left out." if run.resolved.problem.slos else ""
    caption = f"Lines show the best so far, crosses what failed.{counted_words}"
    return Figure("progress", "Progress", caption, tuple(drawn), _table(run, steps), "medium")


def time_axis(longest_s: float, label: str = "since the start") -> tuple[Axis, float]:
    """An axis from zero in a unit that suits, and the seconds in one of it."""
    unit, seconds = next((unit, seconds) for least, unit, seconds in _UNITS if longest_s >= least)
    return Axis(f"{unit} {label}", Scale(0.0, max(longest_s, 1.0) / seconds * 1.02)), seconds


def _steps(run: Run, spans: Sequence[Span]) -> list[_Step]:
    ends = {span.trial: span.end_s for span in spans}
    problem = run.resolved.problem
    ran = usable(problem, run.log.searched)
    sound = [one for one in ran if problem.meets_slos(one.metrics)] or list(ran)
    costs = {one.observation.trial.id: one.costs for one in sound}
    order = sorted(run.log.searched, key=lambda o: ends.get(o.trial.id, 0.0)) if ends else run.log.searched
    return [_Step(at, ends.get(o.trial.id), o.trial.id, costs.get(o.trial.id)) for at, o in enumerate(order, 1)]


def _area_charts(run: Run, steps: Sequence[_Step]) -> list[Chart]:
    """The area that the front dominates up to the default, as a share of what it is in the end."""
    standard = reference_costs(run.resolved.problem, usable(run.resolved.problem, run.log.searched))
    assert standard is not None  # something was measured
    areas = _areas(steps, standard)
    if not areas[-1]:
        return []
    shares = [100 * area / areas[-1] for area in areas]
    y = Axis("hypervolume, % of the final", Scale(0.0, 105.0))
    name = "Hypervolume of the front"
    said = (
        f"Half of it was reached after {1 + next(at for at, share in enumerate(shares) if share >= 50)} observations."
    )
    points = tuple(zip((float(step.number) for step in steps), shares, strict=True))
    charts = [Chart(f"{name}, by observations", said, _count_axis(steps), y, (Line("front", points, step=True),))]
    timed = [(step.at_s, share) for step, share in zip(steps, shares, strict=True) if step.at_s is not None]
    if timed:
        x, unit_s = time_axis(timed[-1][0])
        line = Line("front", tuple((at_s / unit_s, share) for at_s, share in timed), step=True)
        charts.append(Chart(f"{name}, over time", said, x, y, (line,)))
    return charts


def _areas(steps: Sequence[_Step], standard: FloatArray) -> list[float]:
    """The hypervolume after each step. Only what is on the front is kept, so that long runs stay quick."""
    front = np.empty((0, 2))
    areas, area = [], 0.0
    for step in steps:
        if step.costs is not None and not np.any(np.all(front <= step.costs, axis=1)):
            front = np.vstack([front[~np.all(step.costs <= front, axis=1)], step.costs])
            area = hypervolume(front, standard)
        areas.append(area)
    return areas


def _objective_charts(run: Run, steps: Sequence[_Step], *, over_time: bool) -> list[Chart]:
    charts = []
    for objective in run.resolved.problem.objectives:
        charts.append(_objective_chart(run, objective, steps, lambda step: float(step.number), _count_axis(steps)))
        if over_time and (timed := [step for step in steps if step.at_s is not None]):
            x, unit_s = time_axis(max(step.at_s or 0.0 for step in timed))
            charts.append(_objective_chart(run, objective, timed, lambda step, u=unit_s: (step.at_s or 0.0) / u, x))  # type: ignore[misc]  # a default argument binds the unit
    return charts


def _objective_chart(
    run: Run, objective: Objective, steps: Sequence[_Step], x_of: Callable[[_Step], float], x: Axis
) -> Chart:
    name = named(objective.metric)
    values = _values(run, objective.metric, name)
    y = axis_of(name.heading, list(values.values()))
    floor = y.scale.low
    sound = {step.trial: values[step.trial] for step in steps if step.costs is not None and step.trial in values}
    marks: list[Mark] = []
    default = run.measured(run.default)
    if default is not None and default.trial.id in values:
        marks.append(Rule("default", values[default.trial.id], "default"))
    best = min if objective.direction == "minimize" else max
    line = [(x_of(step), sound[step.trial]) for step in steps if step.trial in sound]
    running = accumulate((value for _, value in line), best)
    marks += [
        _dots(run, "short", [step for step in steps if step.trial in values.keys() - sound.keys()], values, x_of),
        _dots(run, "observed", [step for step in steps if step.trial in sound], values, x_of),
        Dots(
            "failed",
            tuple(Dot(x_of(step), floor, f"trial {step.trial} failed", step.trial) for step in steps
                  if step.trial not in values),
            "failed", "cross", 3.0,
        ),
        Line("front", tuple((at, value) for (at, _), value in zip(line, running, strict=True)), "best so far", True),
    ]  # fmt: skip
    unit = "observations" if x.label == "observation" else "time"
    summary = f"{counted(len(values), 'measurement')}; the best is {number(best(sound.values()))} {name.unit}."
    return Chart(f"{name.label}, by {unit}", summary, x, y, tuple(marks))


def _values(run: Run, metric: str, name: Named) -> dict[int, float]:
    return {
        seen.trial.id: seen.outcome.metrics[metric] * name.factor
        for seen in run.log.searched
        if isinstance(seen.outcome, Measured) and metric in seen.outcome.metrics
    }


def _dots(
    run: Run, role: str, steps: Sequence[_Step], values: dict[int, float], x_of: Callable[[_Step], float]
) -> Dots:
    dots = tuple(
        Dot(x_of(step), values[step.trial], f"trial {step.trial}: {number(values[step.trial])}", step.trial)
        for step in steps
    )
    if role == "short":
        return Dots("short", dots, "left out", "ring", 2.5)
    return Dots("observed", dots, run.seen, "circle", 2.5)


def _count_axis(steps: Sequence[_Step]) -> Axis:
    return Axis("observation", Scale(0.0, len(steps) + 1.0))


def _table(run: Run, steps: Sequence[_Step]) -> Table:
    """Rows where an objective's best so far changed."""
    names = [named(objective.metric) for objective in run.resolved.problem.objectives]
    best: list[float] = [float("inf")] * len(names)
    rows = []
    for step in steps:
        if step.costs is None or not any(cost < known for cost, known in zip(step.costs, best, strict=True)):
            continue
        best = [min(float(cost), known) for cost, known in zip(step.costs, best, strict=True)]
        signs = [objective.sign for objective in run.resolved.problem.objectives]
        figures = (name.figure(sign * cost) for name, sign, cost in zip(names, signs, best, strict=True))
        rows.append((str(step.number), "–" if step.at_s is None else duration(step.at_s), str(step.trial), *figures))
    head = ("observation", "time", "trial", *(f"best {name.heading}" for name in names))
    return Table("When the best of each objective improved", head, tuple(rows[-_MOST_ROWS:]))
