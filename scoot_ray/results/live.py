"""What is shown while a study runs: a live panel in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from scoot_ray.confirm import starts
from scoot_ray.estimate import evaluation_s
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.search import Bounded, Failed, Measured, Observation, Origin, Trial, Value, recommend, threshold


class Activity(Protocol):
    """What one slot is doing."""

    @property
    def trial(self) -> Trial:
        """The trial in the slot."""

    @property
    def phase(self) -> str:
        """What is being done with it."""

    @property
    def since_s(self) -> float:
        """For how long."""

    @property
    def where(self) -> str:
        """On which host."""


class LiveDisplay:
    """A Watcher for people: refreshed by rich's own thread, so that it goes on while a suggestion is computed."""

    def __init__(self, console: Console, resolved: Resolved, activities: Callable[[], Sequence[Activity]]) -> None:
        self._resolved, self._activities = resolved, activities
        self._log, self._began_s = Log(), time.monotonic()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=2, transient=True)
        self._lines = PlainLines(console, resolved, tuple)

    def __enter__(self) -> LiveDisplay:
        """Start to draw."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop to draw and leave the terminal as it was."""
        self._live.stop()

    def update(self, log: Log) -> None:
        """Take note of what has happened; finished trials become lines above the panel."""
        self._lines.update(log)
        self._log = log

    def _render(self) -> RenderableType:
        total = expected_trials(self._resolved)
        done = len(self._log.searched) + len(self._log.confirmed)
        left = remaining_s(self._resolved, self._log)
        slots = Table.grid(padding=(0, 2))
        for activity in self._activities():
            slots.add_row(
                f"trial {activity.trial.id}",
                activity.trial.origin.value,
                Text(activity.phase, style="cyan"),
                f"{activity.since_s:.0f} s",
                activity.where,
                _short(activity.trial),
            )
        progress = Table.grid(padding=(0, 2))
        progress.add_row(
            ProgressBar(total=total, completed=done, width=30),
            f"{done} of {total} evaluations",
            f"running {_duration(time.monotonic() - self._began_s)}",
            f"about {_duration(left)} left",
        )
        best = Text(f"best so far: {best_so_far(self._resolved, self._log)}")
        pof = f"POF threshold {threshold(self._log.searched):.2f}"
        return Panel(Group(progress, best, slots), title=f"scoot-ray {_name(self._resolved)}", subtitle=pof)


class PlainLines:
    """A Watcher that writes one line per finished evaluation."""

    def __init__(self, console: Console, resolved: Resolved, activities: Callable[[], Sequence[Activity]]) -> None:
        self._console, self._resolved, self._activities = console, resolved, activities
        self._shown, self._setbacks = -1, 0
        self._minutes: dict[tuple[int, str], int] = {}

    def __enter__(self) -> PlainLines:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def update(self, log: Log) -> None:
        """Write what is new. What was there at the first call is counted, not repeated."""
        if self._shown < 0:
            self._shown = 0
            if log.observations:
                self._console.print(f"taken up again after {len(log.observations)} finished evaluations")
                self._shown = len(log.observations)
        for seen in log.observations[self._shown :]:
            self._console.print(Text(describe(seen, self._resolved)))
        for seen in log.setbacks[self._setbacks :]:
            self._console.print(Text(describe(seen, self._resolved) + " (will be tried again)", style="yellow"))
        self._shown, self._setbacks = len(log.observations), len(log.setbacks)
        self._tell_long_phases()

    def _tell_long_phases(self) -> None:
        """One line a minute for what takes long, such as waiting for resources."""
        for activity in self._activities():
            minute, place = int(activity.since_s // 60), (activity.trial.id, activity.phase)
            if minute > self._minutes.get(place, 0):
                self._minutes[place] = minute
                self._console.print(
                    Text(f"trial {activity.trial.id:>3}  {activity.phase} for {minute} min", style="dim")
                )


def describe(seen: Observation, resolved: Resolved) -> str:
    """One finished evaluation in one line."""
    took = f"{seen.held_s:.0f} s" if seen.timings else ""
    started = f"start {seen.timings['start_s']:.0f} s  " if "start_s" in seen.timings else ""
    simulated = "simulated  " if resolved.study.engine.in_virtual_time else ""
    head = f"trial {seen.trial.id:>3}  {seen.trial.origin.value:<12} {took:>6}  {started}{simulated}"
    match seen.outcome:
        case Measured(metrics=metrics):
            wanted = [objective.metric for objective in resolved.problem.objectives]
            figures = "  ".join(f"{name} {metrics[name]:.4g}" for name in wanted if name in metrics)
            return head + figures + _short_of(seen)
        case Bounded(reason=reason):
            return head + f"ended early: {reason}" + _short_of(seen)
        case Failed(kind=kind, detail=detail):
            return head + f"{kind.value}: {detail}" + _short_of(seen)


def best_so_far(resolved: Resolved, log: Log) -> str:
    """The objectives of the best configuration of the search until now."""
    best = recommend(resolved.problem, log.searched)
    if not best or not isinstance(best[0].outcome, Measured):
        return "nothing yet"
    metrics = best[0].outcome.metrics
    figures = ", ".join(f"{one.metric} {metrics[one.metric]:.4g}" for one in resolved.problem.objectives)
    return f"{figures} (trial {best[0].trial.id}" + (f", {len(best)} on the front)" if len(best) > 1 else ")")


def expected_trials(resolved: Resolved) -> int:
    """Evaluations of the search and, at most, of the confirmation."""
    return resolved.study.budget.observations + starts(resolved.problem, resolved.study.confirmation)


def remaining_s(resolved: Resolved, log: Log) -> float:
    """Time left, from the mean evaluation so far."""
    virtual = resolved.study.engine.in_virtual_time  # whose seconds pass much faster
    spent = [seen.held_s for seen in log.observations if seen.timings and not virtual]
    mean_s = sum(spent) / len(spent) if spent else evaluation_s(resolved.study)
    confirmations = [seen for seen in log.observations if seen.trial.origin in {Origin.CONFIRMATION, Origin.SOAK}]
    searches = max(0, resolved.study.budget.observations - len(log.searched))
    left = searches + max(0, starts(resolved.problem, resolved.study.confirmation) - len(confirmations))
    return left * mean_s / resolved.study.parallelism


def _name(resolved: Resolved) -> str:
    return resolved.study.name + (" (simulated)" if resolved.study.engine.simulated else "")


def _short(trial: Trial) -> str:
    return " ".join(f"{name}={_value(value)}" for name, value in trial.config.items())


def _value(value: Value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short_of(seen: Observation) -> str:
    return f"  [{_short(seen.trial)}]"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
