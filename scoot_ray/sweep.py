"""Many simulated studies side by side: a process for each core, no Ray. What is there already is taken up."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

import yaml

from scoot_ray.environment import environment_of
from scoot_ray.history import pasts_to_json
from scoot_ray.journal import Journal, JournalError
from scoot_ray.log import Log
from scoot_ray.optimizer import SearchOptimizer
from scoot_ray.problem import ending_rule, goodput_limits, rate_slos
from scoot_ray.resolve import Resolved
from scoot_ray.results.summary import summarise
from scoot_ray.run_folder import KEPT, STUDY, RunFolder, folder_of
from scoot_ray.search import Observation, Trial
from scoot_ray.simulation import Simulation
from scoot_ray.storage import PlaceError
from scoot_ray.tune import tune

_PR_SET_PDEATHSIG = 1


class InlinePool:
    """An Evaluator that computes in this process, one trial after another, as if in ``parallelism`` slots."""

    def __init__(self, simulation: Simulation, folder: RunFolder) -> None:
        self._simulation, self._folder = simulation, folder
        self._waiting: dict[int, Trial] = {}

    @property
    def free_slots(self) -> int:
        """How many trials may be submitted now."""
        return self._simulation.study.parallelism.max - len(self._waiting)

    @property
    def pending(self) -> Collection[int]:
        """Ids of the trials that have been submitted."""
        return self._waiting.keys()

    def submit(self, trial: Trial) -> None:
        """Take a trial on."""
        self._waiting[trial.id] = trial

    def wait(self, timeout_s: float) -> Sequence[Observation]:  # noqa: ARG002 - nothing is waited for
        """Compute the oldest trial."""
        if not self._waiting:
            return []
        trial = self._waiting.pop(next(iter(self._waiting)))
        observation, files = self._simulation.evaluate(trial)
        self._folder.save(observation, files)
        return [observation]

    def close(self) -> None:
        """Nothing is left behind."""


class _Unattended:
    """Neither stops a study nor shows it."""

    def requested(self, log: Log) -> bool:  # noqa: ARG002 - never
        return False

    def update(self, log: Log) -> None:
        """Show nothing."""


def run_inline(resolved: Resolved, folder: RunFolder) -> Mapping[str, Any]:
    """Run one simulated study to its end in this process, or take it up where it stopped; return its result.

    Raises:
        JournalError: another driver holds the study, or its journal cannot be read or written.
    """
    journal, unattended = Journal(folder.journal), _Unattended()
    with journal.exclusive():
        log = journal.replay()
        if not journal.finished:
            document = resolved.study.model_dump(mode="json", exclude_none=True)
            folder.write_text(STUDY, yaml.safe_dump(document, sort_keys=False))
            if resolved.pasts:
                folder.write_json(KEPT, pasts_to_json(resolved.pasts))
            environment = environment_of(resolved)
            folder.write_json("environment.json", environment)
            problem = resolved.problem
            simulation = Simulation(
                resolved.study,
                resolved.trace.requests,
                goodput_limits(problem),
                rate_slos(problem),
                ending_rule(resolved.study, problem),
            )
            pool = InlinePool(simulation, folder)
            log = journal.started(log, environment)
            log = tune(resolved.study, log, SearchOptimizer(resolved), pool, journal, unattended, unattended)
            journal.stopped("complete", complete=True)
        result = summarise(resolved, log, True, "complete", folder.circumstances, folder.circumstances_of)
        folder.write_json("result.json", result)
        return result


@dataclass(frozen=True, slots=True)
class Broken:
    """A study that could not be run to its end, by its name, and why; the same sweep goes on with it once mended."""

    study: str
    reason: str


def sweep(studies: Sequence[Resolved], jobs: int) -> Iterator[Mapping[str, Any] | Broken]:
    """Run simulated studies, ``jobs`` at a time; yield each one's result as it comes; one's failure harms no other."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=begin_worker, initargs=(os.getpid(),)) as pool:
        running = [pool.submit(_run, resolved) for resolved in studies]
        try:
            for done in as_completed(running):
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def begin_worker(parent: int) -> None:
    """A worker dies with its parent, leaves Ctrl-C to it, and keeps to one core."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has died meanwhile
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import torch  # noqa: PLC0415 - heavy, and of no use to the parent

    torch.set_num_threads(1)


def _run(resolved: Resolved) -> Mapping[str, Any] | Broken:
    name = resolved.study.name
    try:
        return run_inline(resolved, folder_of(resolved.study.output, name))
    except OSError as error:
        return Broken(name, f"{resolved.study.output}: {error.strerror or error}".splitlines()[0])
    except (JournalError, PlaceError) as error:
        return Broken(name, next(iter(str(error).splitlines()), type(error).__name__))
