"""A run in plain lines: one for every evaluation that ends, one a minute for what takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.text import Text

from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.results.live.scene import Activity
from scoot_ray.results.report.text import config_text, plain
from scoot_ray.search import Bounded, Failed, Measured, Observation


class News:
    """What a log has that the one before it had not, as lines."""

    def __init__(self, resolved: Resolved) -> None:
        self._resolved = resolved
        self._shown, self._setbacks = -1, 0

    def since_last(self, log: Log) -> Iterator[Text]:
        """What is new. What was there at the first call is counted, not repeated."""
        if self._shown < 0:
            self._shown = len(log.observations)
            if log.observations:
                yield Text(f"evaluations that had ended before: {len(log.observations)}")
        for seen in log.observations[self._shown :]:
            yield Text(describe(seen, self._resolved))
        if len(log.setbacks) < self._setbacks:  # another driver has taken over
            self._setbacks = 0
        for seen in log.setbacks[self._setbacks :]:
            yield Text(f"{describe(seen, self._resolved)} (will be tried again)", style="yellow")
        self._shown, self._setbacks = len(log.observations), len(log.setbacks)


class PlainLines:
    """A Watcher that writes lines."""

    def __init__(self, console: Console, resolved: Resolved, activities: Callable[[], Sequence[Activity]]) -> None:
        self._console, self._news, self._activities = console, News(resolved), activities
        self._minutes: dict[tuple[int, str], int] = {}

    def __enter__(self) -> PlainLines:
        """Nothing to prepare."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to undo."""

    def update(self, log: Log) -> None:
        """Write what is new."""
        for line in self._news.since_last(log):
            self._console.print(line)
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
    """One finished evaluation in one line; of its configuration what differs from the default."""
    took = f"{seen.held_s:.0f} s" if seen.timings else ""
    started = f"start {seen.timings['start_s']:.0f} s  " if "start_s" in seen.timings else ""
    simulated = "simulated  " if resolved.study.engine.in_virtual_time else ""
    head = f"trial {seen.trial.id:>3}  {seen.trial.origin.value:<12} {took:>6}  {started}{simulated}"
    config = config_text(seen.trial.config, resolved.problem.space.default) or "as the default"
    return " ".join(plain(f"{head}{_outcome(seen, resolved)}").splitlines()) + f"  [{plain(config)}]"


def _outcome(seen: Observation, resolved: Resolved) -> str:
    match seen.outcome:
        case Measured(metrics=metrics):
            wanted = [objective.metric for objective in resolved.problem.objectives]
            return "  ".join(f"{name} {metrics[name]:.4g}" for name in wanted if name in metrics)
        case Bounded(reason=reason):
            return f"ended early: {reason}"
        case Failed(kind=kind, detail=detail):
            return f"{kind.value}: {detail}"
