"""The search so far as a small plot: the plane of two objectives, or one objective over the observations. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from scoot_ray.results.report.text import named
from scoot_ray.results.scatter import scatter
from scoot_ray.search import Measured, Objective, Observation, Problem, usable

_SEEN, _DEFAULT, _BASELINE, _BEST = "·", "D", "B", "●"


@dataclass(frozen=True, slots=True)
class Picture:
    """Marks in a plane, later ones over earlier ones."""

    points: tuple[tuple[float, float, str], ...]
    x_label: str
    y_label: str
    legend: str
    over_observations: bool

    def lines(self, width: int, height: int) -> list[str]:
        """The plot in at most so many columns and lines, axes and legend included; empty where there is no room."""
        if width < 30 or height < 7:
            return []
        drawn = scatter(
            self.points, self.x_label, self.y_label,
            width=width - 11, height=height - 4, log_x=not self.over_observations,
        ).strip("\n").splitlines()  # fmt: skip
        return [*(line[:width] for line in drawn), self.legend[:width]] if drawn else []


def picture_of(problem: Problem, searched: Sequence[Observation], recommended: Sequence[Observation]) -> Picture | None:
    """The plot of what was measured; None before anything was."""
    if len(problem.objectives) == 2:
        return _plane(problem, searched, recommended)
    return _curve(problem, problem.objectives[0], searched)


def _plane(problem: Problem, searched: Sequence[Observation], recommended: Sequence[Observation]) -> Picture | None:
    x, y = (objective.metric for objective in problem.objectives)
    front = {seen.trial.id for seen in recommended}
    marks = sorted(
        ((_mark(problem, seen, front), seen) for seen in searched), key=lambda marked: _ORDER.index(marked[0])
    )
    points = tuple((*place, mark) for mark, seen in marks if (place := _place(seen, x, y)) is not None)
    legend = _legend({mark for *_, mark in points}, "front")
    return Picture(points, named(x).heading, named(y).heading, legend, over_observations=False) if points else None


_ORDER = (_SEEN, _DEFAULT, _BASELINE, _BEST)


def _mark(problem: Problem, seen: Observation, front: set[int]) -> str:
    if seen.trial.config == problem.space.default:
        return _DEFAULT
    if seen.trial.config == problem.baseline:
        return _BASELINE
    return _BEST if seen.trial.id in front else _SEEN


def _place(seen: Observation, x: str, y: str) -> tuple[float, float] | None:
    metrics = seen.outcome.metrics if isinstance(seen.outcome, Measured) else {}
    return (metrics[x], metrics[y]) if x in metrics and y in metrics else None


def _curve(problem: Problem, objective: Objective, searched: Sequence[Observation]) -> Picture | None:
    """Each observation, and the best measured until then among those that keep the SLOs."""
    counted = {one.observation.trial.id for one in usable(problem, searched) if problem.meets_slos(one.metrics)}
    points = [
        (float(at), metrics[objective.metric], _mark(problem, seen, set()))
        for at, seen in enumerate(searched, 1)
        if isinstance(seen.outcome, Measured) and objective.metric in (metrics := seen.outcome.metrics)
    ]
    best = _best_so_far(objective, searched, counted)
    drawn = (*(point for point in points if point[2] == _SEEN), *best, *(p for p in points if p[2] != _SEEN))
    legend = _legend({mark for *_, mark in drawn}, "best so far")
    name = named(objective.metric).heading
    return Picture(drawn, "observations", name, legend, over_observations=True) if points else None


def _best_so_far(
    objective: Objective, searched: Sequence[Observation], counted: set[int]
) -> Iterator[tuple[float, float, str]]:
    best: float | None = None
    for at, seen in enumerate(searched, 1):
        if seen.trial.id in counted and isinstance(seen.outcome, Measured):
            value = seen.outcome.metrics[objective.metric]
            best = value if best is None or objective.sign * (value - best) < 0 else best
        if best is not None:
            yield float(at), best, _BEST


def _legend(marks: set[str], best: str) -> str:
    words = {_SEEN: "measured", _DEFAULT: "default", _BASELINE: "baseline", _BEST: best}
    return ", ".join(f"{mark} {words[mark]}" for mark in (*_ORDER,) if mark in marks)
