"""``scoot-ray reproduce``: one trial of a run evaluated again as it was, in a folder of its own beside the journal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ray.exceptions import RayError
from rich.console import Console

from scoot_ray.cluster.session import ray_session
from scoot_ray.driver import RunError, check_cluster, check_trace, pool_of
from scoot_ray.environment import environment_of
from scoot_ray.finalists import key
from scoot_ray.inference import ByOrder, Interval
from scoot_ray.journal import Journal, JournalError
from scoot_ray.load.capacity.probing import EVALUATION_PRECISION
from scoot_ray.load.figures.intervals import share_interval
from scoot_ray.log import Log
from scoot_ray.rerun.agreement import Known, agreements
from scoot_ray.rerun.changes import changes_of, surroundings
from scoot_ray.rerun.documents import reproduction_document
from scoot_ray.resolve import Resolved
from scoot_ray.results.live import PlainLines
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Bounded, Failed, Measured, Metrics, Observation, Origin, Outcome, Trial
from scoot_ray.standing import promised_metrics
from scoot_ray.stopping import Stop
from scoot_ray.study import MAX_RATE, Parallelism
from scoot_ray.tune import Evaluator, Watcher, tune
from scoot_ray.tune import Stop as Stopping
from scoot_ray.verdict import INDIFFERENT

FOLDER = "reproduced"
"""In the run's folder: ``reproduced/0007-1/`` is the first time that trial 7 was evaluated again."""


class CannotReproduce(Exception):  # noqa: N818 - says what happened
    """There is nothing to reproduce; the message is one line for the user."""


@dataclass(frozen=True, slots=True)
class Past:
    """What is to be reproduced: a trial with its outcome, the log around it, and the environment of its driver."""

    seen: Observation
    log: Log
    environment: Mapping[str, Any]

    def again(self, repeats: int) -> tuple[Trial, ...]:
        """The trial, to its end, so many times.

        The first keeps its number, from which a simulated engine draws its noise: in virtual time it gives the very
        same figures unless the simulator has changed. The others draw anew.
        """
        first = self.seen.trial
        ids = (first.id, *range(self.log.next_id, self.log.next_id + repeats - 1))
        return tuple(Trial(number, first.config, Origin.CONFIRMATION, first.orders) for number in ids)


def read_past(resolved: Resolved, folder: RunFolder, trial_id: int) -> Past:
    """Find the trial, and see that the trace is still the one it was measured with.

    Raises:
        CannotReproduce: there is no such trial, it has no outcome, or the trace is another.
        JournalError: the journal cannot be read.
    """
    if not folder.has_events:
        raise CannotReproduce(f"{folder}: nothing has been evaluated in this run yet")
    journal = Journal(folder.journal)
    log = journal.replay()
    try:
        check_trace(resolved, journal)
    except RunError as error:
        raise CannotReproduce(str(error)) from error
    known = sorted(seen.trial.id for seen in log.observations)
    if trial_id not in known:
        has = "has not ended" if trial_id in {trial.id for trial in log.trials} else "is not in this run"
        raise CannotReproduce(f"--trial: {trial_id}: {has}; allowed: {f'0 to {known[-1]}' if known else 'none yet'}")
    seen = next(one for one in log.observations if one.trial.id == trial_id)
    return Past(seen, log, _environment_then(journal, trial_id))


def reproduce(
    resolved: Resolved, folder: RunFolder, past: Past, repeats: int, console: Console, ray_address: str | None
) -> dict[str, Any]:
    """Evaluate a trial again in a Ray cluster, compare, and write ``reproduction.json``; return it.

    Raises:
        RunError: the evaluations failed by our fault again and again, or were interrupted.
        ClusterError: Ray cannot be reached or cannot hold an evaluation.
    """
    resolved, own = alone(resolved, repeats), new_folder(folder, past.seen.trial)
    stop = Stop(resolved.study)
    try:
        with ray_session(ray_address), stop.listening():
            check_cluster(resolved.study, console)
            pool = pool_of(resolved, own, past.log)
            lines = PlainLines(console, resolved, lambda: pool.activities)
            found = evaluate_again(resolved, own, past.again(repeats), pool, stop, lines)
    except (JournalError, RayError, OSError) as error:
        raise RunError((str(error).strip().splitlines() or [type(error).__name__])[0]) from error
    if stop.interrupted:
        raise KeyboardInterrupt
    if len(found) < repeats:
        raise RunError(stop.reason or "the evaluations did not end")
    return conclude(resolved, folder, own, past, found)


def alone(resolved: Resolved, repeats: int) -> Resolved:
    """The study with no more slots than repeats, and without the deadline and the windows of its search."""
    study = resolved.study
    slots = min(study.parallelism.max, repeats)
    budget = study.budget.model_copy(update={"deadline": None})
    changes = {"parallelism": Parallelism(min=slots, max=slots, when="always"), "budget": budget}
    return replace(resolved, study=study.model_copy(update=changes))


def new_folder(folder: RunFolder, trial: Trial) -> RunFolder:
    """A folder that nothing has been written to yet."""
    count = 1
    while (own := folder.storage.within(f"{FOLDER}/{trial.id:04d}-{count}")).names():
        count += 1
    return RunFolder(own)


def evaluate_again(
    resolved: Resolved, own: RunFolder, trials: Sequence[Trial], pool: Evaluator, stop: Stopping, watcher: Watcher
) -> tuple[Observation, ...]:
    """Run the trials through the loop, which tries failures of ours again; fewer observations where it was stopped.

    Raises:
        JournalError: the folder cannot be written.
    """
    journal = Journal(own.journal)
    with journal.exclusive():
        log = journal.started(Log(), environment_of(resolved))
        for trial in trials:
            log = journal.submitted(log, trial)
        watcher.update(log)
        log = tune(resolved.study, log, _NothingElse(), pool, journal, stop, watcher)
        journal.stopped("complete" if not log.open else "stopped", complete=not log.open)
    return tuple(sorted(log.observations, key=lambda seen: [trial.id for trial in trials].index(seen.trial.id)))


class _NothingElse:
    """An optimizer with no wish of its own."""

    def suggest(self, log: Log, count: int) -> tuple[Trial, ...]:  # noqa: ARG002 - never any
        return ()

    def confirm(self, log: Log, count: int) -> tuple[Trial, ...]:  # noqa: ARG002 - never any
        return ()


def conclude(
    resolved: Resolved, folder: RunFolder, own: RunFolder, past: Past, found: Sequence[Observation]
) -> dict[str, Any]:
    """Compare what was found with the past; write and return ``reproduction.json``."""
    metrics = list(promised_metrics(resolved.problem))
    then, now = past.seen, [seen.outcome.metrics for seen in found if isinstance(seen.outcome, Measured)]
    known = {metric: _known(metric, past, folder, own, found) for metric in metrics}
    compared = agreements(metrics, dict(_ranges(then.outcome, metrics)), now, known) if now else ()
    changed = changes_of(
        surroundings(past.environment, folder.circumstances_of(then.trial.id), then.where),
        surroundings(environment_of(resolved), own.circumstances_of(found[0].trial.id), found[0].where),
    )
    document = reproduction_document(resolved, folder, own, then, found, compared, changed)
    own.write_json("reproduction.json", document)
    return document


def _ranges(outcome: Outcome, metrics: Sequence[str]) -> Iterator[tuple[str, Interval]]:
    """What each metric was, or was known to lie within."""
    match outcome:
        case Measured(metrics=measured):
            yield from ((metric, (measured[metric], measured[metric])) for metric in metrics if metric in measured)
        case Bounded(bounds=bounds):
            yield from ((metric, bounds[metric]) for metric in metrics if metric in bounds)
        case Failed():
            return


def _known(metric: str, past: Past, folder: RunFolder, own: RunFolder, found: Sequence[Observation]) -> Known:
    """What the run knows of the metric's chance; where the trial noted no intervals, what the first repeat did."""
    runs = confirmed_runs(past.log, metric)
    least = EVALUATION_PRECISION if metric.startswith(MAX_RATE) else INDIFFERENT
    for noted, seen in ((folder, past.seen), (own, found[0])):
        interval = _over_requests(metric, noted, seen)
        if interval is not None and isinstance(seen.outcome, Measured):
            return Known(interval, seen.outcome.metrics[metric], runs, least)
    return Known(runs=runs, least=least)


def _over_requests(metric: str, folder: RunFolder, seen: Observation) -> Interval | None:
    """The interval by bootstrap over one load's requests; of several loads, there is none of their mean."""
    if not isinstance(seen.outcome, Measured) or metric not in seen.outcome.metrics or len(seen.trial.orders) != 1:
        return None
    if metric == "error_rate":
        return _of_share(seen.outcome.metrics)
    noted = folder.circumstances_of(seen.trial.id).get(f"order {seen.trial.orders[0]}", {})
    pair = noted.get("intervals", {}).get(metric)
    return None if pair is None else (float(pair[0]), float(pair[1]))


def _of_share(metrics: Metrics) -> Interval | None:
    failed, completed = metrics.get("failed"), metrics.get("completed")
    return None if failed is None or completed is None else share_interval(int(failed), int(failed + completed))


def confirmed_runs(log: Log, metric: str) -> tuple[ByOrder, ...]:
    """The metric in the confirmation's runs, by arrival order, of each configuration that has it."""
    found: dict[object, dict[int, float]] = {}
    for seen in log.confirmed:
        if isinstance(seen.outcome, Measured):
            for order, run in zip(seen.trial.orders, seen.outcome.runs or (seen.outcome.metrics,), strict=False):
                if metric in run:
                    found.setdefault(key(seen.trial.config), {})[order] = run[metric]
    return tuple(found.values())


def _environment_then(journal: Journal, trial_id: int) -> Mapping[str, Any]:
    """What the driver that observed the trial noted as it began."""
    noted: Mapping[str, Any] = {}
    for event in journal.events():
        if event.type == "started":
            noted = event.data
        elif event.type == "observed" and event.trial == trial_id:
            break
    return noted
