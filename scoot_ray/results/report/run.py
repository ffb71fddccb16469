"""What a report is made of, read once from a run's folder, finished or not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from scoot_ray.engine.flags import quoted
from scoot_ray.finalists import key
from scoot_ray.journal import Event, Journal
from scoot_ray.log import Log
from scoot_ray.resolve import Resolved
from scoot_ray.results.explained import explain_document
from scoot_ray.results.served import command_in, files_in
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Config, Measured, Observation, Origin, Value

HIDDEN = "(not shown)"
HIDDEN_FLAGS = frozenset({"hf_token", "api_key"})  # flags whose value is a secret


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run as it stands: its study, what has happened, the documents that ``status`` and ``explain`` give.

    ``state`` is ``complete``, ``under way`` (or its driver has died) or ``stopped: <reason>``; ``written`` is when the
    report is made.
    """

    folder: RunFolder
    resolved: Resolved
    log: Log
    events: tuple[Event, ...]
    state: str
    result: Mapping[str, Any]
    explanation: Mapping[str, Any]
    environment: Mapping[str, Any]
    written: datetime

    @property
    def simulated(self) -> bool:
        """Whether every figure is simulated."""
        return self.resolved.study.engine.simulated

    @property
    def seen(self) -> str:
        """How the figures came about."""
        return "simulated" if self.simulated else "measured"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The objectives' metrics."""
        return tuple(objective.metric for objective in self.resolved.problem.objectives)

    @property
    def default(self) -> Config:
        """The default configuration, empty where the space has none."""
        return self.resolved.problem.space.default or {}

    @property
    def today(self) -> tuple[str, Config]:
        """What runs today, by its role: the baseline if there is one, else the default."""
        baseline = self.resolved.problem.baseline
        return ("default", self.default) if baseline is None else ("baseline", baseline)

    @property
    def candidate(self) -> Config | None:
        """What is set against today's configuration: the confirmation's winner, or else the search's best."""
        if self.result["verdict"] is not None:
            winner: Config = self.result["verdict"]["winner"]
            return winner
        recommended = self.result["recommended"]
        if recommended is not None and dict(recommended["config"]) != dict(self.today[1]):
            config: Config = recommended["config"]
            return config
        front: Sequence[Mapping[str, Any]] = self.result["front"]
        return front[0]["config"] if front else None

    def command(self, config: Config) -> str:
        """What serves with a configuration, for a shell, a flag on each line; no secret is in it."""
        lines: list[list[str]] = [[]]
        for word in command_in(self.result["serving"], config):
            if word.startswith("--"):
                lines.append([])
            lines[-1].append(word)
        return " \\\n  ".join(map(quoted, lines))

    def measured(self, config: Config) -> Observation | None:
        """The search's measurement of a configuration."""
        wanted = key(config)
        return next(
            (o for o in self.log.searched if isinstance(o.outcome, Measured) and key(o.trial.config) == wanted), None
        )

    def trials_of(self, config: Config) -> tuple[Observation, ...]:
        """The measurements of a configuration that may be shown: the confirmation's, or else the search's."""
        wanted = key(config)
        alike = [o for o in self.log.observations if isinstance(o.outcome, Measured) and key(o.trial.config) == wanted]
        confirmed = tuple(o for o in alike if o.trial.origin is Origin.CONFIRMATION)
        return confirmed or tuple(alike)


def read_run(folder: RunFolder, resolved: Resolved, now: datetime | None = None) -> Run:
    """Read all of it. A run that goes on meanwhile is shown as far as its journal tells.

    Raises:
        JournalError: the journal cannot be read.
    """
    journal = Journal(folder.journal)
    log, events = journal.replay(), tuple(journal.events())
    state = _state(events)
    reason = {"complete": "complete"}.get(state, state.removeprefix("stopped: "))
    return Run(
        folder,
        resolved,
        log,
        events,
        state,
        _shareable(summarise(resolved, log, state == "complete", reason, folder.circumstances)),
        explain_document(resolved, log),
        folder.environment,
        now or datetime.now(UTC),
    )


def _shareable(result: dict[str, Any]) -> dict[str, Any]:
    """The result without what may be a secret: values of the environment, and of flags that carry one."""
    serving = result["serving"]
    env = {name: HIDDEN if isinstance(entry, str) else entry for name, entry in serving["env"].items()}
    serving |= {"env": env, "args": _without_secrets(serving["args"])}
    if (recommended := result["recommended"]) is not None:
        recommended |= {"env": env, "command": command_in(serving, recommended["config"])}
        if "files" in recommended:
            recommended["files"] = files_in(serving, recommended["config"])
    return result


def _without_secrets(args: Config) -> dict[str, Value]:
    return {name: "***" if name in HIDDEN_FLAGS else value for name, value in args.items()}


def _state(events: Sequence[Event]) -> str:
    last = events[-1] if events else None
    if last is None or last.type != "stopped":
        return "under way"
    return "complete" if last.data["complete"] else f"stopped: {last.data['reason']}"
