"""The Pareto front with every observation, for two objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scoot_ray.results.report.chart import Axis, Chart, Dot, Dots, Figure, Line, Mark, Rule, Shape, Table, axis_of
from scoot_ray.results.report.palette import Role
from scoot_ray.results.report.run import Run
from scoot_ray.results.report.text import config_text, counted, named
from scoot_ray.search import usable

_Entry = Mapping[str, Any]
_MANY = 400  # points from which they are drawn smaller


def front_figure(run: Run) -> Figure | None:
    """The plane of both objectives; None for one objective, or while nothing was measured."""
    if len(run.metrics) != 2 or not (points := _measured(run)):
        return None
    metrics = run.metrics
    x, y = (axis_of(named(metric).heading, [_at(one, metric) for one in points]) for metric in metrics)
    kept = {seen.observation.trial.id for seen in usable(run.resolved.problem, run.log.searched)}
    wanted = {one["trial"] for one in points if one["trial"] in kept and _keeps(run, one)}
    title = "The trade-off between the objectives"
    front = run.result["front"]
    marks = (*_limits(run, (x, y)), _steps(run, front), *_groups(run, points, wanted))
    chart = Chart(title, _summary(run, points), x, y, marks)
    return Figure("front", title, _caption(run, points, wanted), (chart,), _table(run), size="large")


def _measured(run: Run) -> list[_Entry]:
    return [one for one in run.result["observations"] if set(run.metrics) <= one.get("metrics", {}).keys()]


def _at(one: _Entry, metric: str) -> float:
    return float(one["metrics"][metric]) * named(metric).factor


def _keeps(run: Run, one: _Entry) -> bool:
    return run.resolved.problem.meets_slos(one["metrics"])


def _groups(run: Run, points: Sequence[_Entry], wanted: set[int]) -> list[Dots]:
    """The observations by what they stand for, each once, what matters most on top."""
    front = {one["trial"] for one in run.result["front"]}
    config = (run.result["recommended"] or {}).get("config")
    chosen = {one["trial"] for one in points if one["config"] == config}
    origins = {one["trial"]: one["origin"] for one in points}
    small = 3.0 if len(points) <= _MANY else 2.0
    groups: tuple[tuple[Role, str, Shape, float, set[int]], ...] = (
        ("chosen", "recommended", "diamond", 6.5, chosen),
        ("default", "default", "square", 5.0, {at for at, origin in origins.items() if origin == "default"}),
        ("baseline", "baseline", "triangle", 6.0, {at for at, origin in origins.items() if origin == "baseline"}),
        ("front", "front", "circle", 5.0, front),
        ("observed", "other", "circle", small, wanted),
        ("short", "breaks an SLO or drops requests", "ring", small, set(origins) - wanted),
    )
    taken: set[int] = set()
    drawn = []
    for role, name, shape, radius, members in groups:
        own = [one for one in points if one["trial"] in members - taken]
        drawn.append(Dots(role, tuple(_dot(run, one) for one in own), name, shape, radius))
        taken |= members
    return drawn[::-1]


def _dot(run: Run, one: _Entry) -> Dot:
    x, y = run.metrics
    names = {metric: named(metric) for metric in run.metrics}
    said = ", ".join(f"{name.label} {name.quantity(one['metrics'][metric])}" for metric, name in names.items())
    return Dot(_at(one, x), _at(one, y), f"trial {one['trial']}: {said}", one["trial"])


def _steps(run: Run, front: Sequence[_Entry]) -> Line:
    """The front as what it is: a staircase, which nothing lies beyond."""
    x, y = run.metrics
    from_best_x = run.resolved.problem.objectives[0].direction == "maximize"
    points = sorted(((_at(one, x), _at(one, y)) for one in front), reverse=from_best_x)
    return Line("front", tuple(points), step=True, dashed=True)


def _limits(run: Run, axes: Sequence[Axis]) -> list[Mark]:
    """SLOs on one of the objectives themselves, where they are within the picture."""
    rules: list[Mark] = []
    for at, (metric, axis) in enumerate(zip(run.metrics, axes, strict=True)):
        for slo in run.resolved.problem.slos:
            limit = slo.limit * named(metric).factor
            if slo.metric == metric and axis.scale.low < limit < axis.scale.high:
                rules.append(Rule("limit", limit, "SLO", upright=at == 0))
    return rules


def _summary(run: Run, points: Sequence[_Entry]) -> str:
    x, y = (named(metric).label for metric in run.metrics)
    return f"{counted(len(points), 'observation')} by {x} and {y}, {len(run.result['front'])} of them on the front."


def _caption(run: Run, points: Sequence[_Entry], wanted: set[int]) -> str:
    better = [
        f"{'less' if objective.direction == 'minimize' else 'more'} {named(objective.metric).label}"
        for objective in run.resolved.problem.objectives
    ]
    short = len(points) - len(wanted)
    left = f" {short} of the {len(points)} break an SLO or drop too many requests." if short else ""
    words = f"Each point is one configuration, {run.seen} once in the search. Better is {better[0]} and {better[1]}."
    return f"{words}{left} On the front nothing is better on both."


def _table(run: Run) -> Table:
    names = [named(metric) for metric in run.metrics]
    head = ("trial", *(name.heading for name in names), "configuration, where it differs from the default")
    rows = tuple(
        (
            str(one["trial"]),
            *(name.figure(one["metrics"][metric]) for name, metric in zip(names, run.metrics, strict=True)),
            config_text(one["config"], run.default) or "the default",
        )
        for one in run.result["front"]
    )
    return Table("The Pareto front, best compromise first", head, rows)
