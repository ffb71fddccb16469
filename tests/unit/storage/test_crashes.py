"""A driver that dies at any write, in any way: what was observed stays, and the budget comes out exact."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from scoot_ray.journal import Journal
from scoot_ray.log import Log
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Observation
from scoot_ray.storage import Storage
from scoot_ray.study import Budget
from scoot_ray.tune import tune
from tests.fakes import FakeEvaluator, Never, Silent, SobolOptimizer, study
from tests.faulty import Crash, Faults, FaultyStorage, How, MemoryStorage

BUDGET = 5


class Saving(FakeEvaluator):
    """Keeps the files of what settles a trial before it hands it on, as the pools do."""

    def __init__(self, folder: RunFolder, rng: random.Random) -> None:
        super().__init__(rng, lambda: 2, fault_rate=0.2)
        self._folder = folder

    def wait(self, timeout_s: float) -> Sequence[Observation]:
        done = super().wait(timeout_s)
        for one in done:
            self._folder.save(one, {"engine.log": b"up\n"})
        return done


class Remembering(Journal):
    """Knows which observations were acknowledged, whatever became of the driver."""

    acknowledged: list[Observation]

    def observed(self, log: Log, observation: Observation) -> Log:
        after = super().observed(log, observation)
        if len(after.observations) > len(log.observations):
            self.acknowledged.append(observation)
        return after


def drive(storage: Storage, rng: random.Random, acknowledged: list[Observation]) -> Log:
    """One driver's life: take up, tune, end."""
    folder = RunFolder(storage)
    journal = Remembering(folder.journal)
    journal.acknowledged = acknowledged
    log = journal.replay()
    for one in list(folder.unclaimed(log.open)):
        log = journal.observed(log, one)
    log = journal.started(log, {})
    plan = study(budget=Budget(observations=BUDGET))
    log = tune(plan, log, SobolOptimizer(confirmations=1), Saving(folder, rng), journal, Never(), Silent())
    journal.stopped("complete", complete=True)
    return log


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    crashes=st.lists(st.tuples(st.integers(0, 45), st.sampled_from(["before", "after", "torn"])), max_size=5),
)
def test_no_crash_loses_an_observation_or_bends_the_budget(seed: int, crashes: list[tuple[int, How]]) -> None:
    disk, rng = MemoryStorage(), random.Random(seed)
    acknowledged: list[Observation] = []
    for at, how in crashes:
        with contextlib.suppress(Crash):
            drive(FaultyStorage(disk, Faults(at, how)), rng, acknowledged)
        replayed = Journal(disk.within("journal")).replay()
        assert replayed.observations[: len(acknowledged)] == tuple(acknowledged)
        assert replayed.spent <= BUDGET
        acknowledged[:] = replayed.observations  # one whose acknowledgement the crash cut off is there all the same
    log = drive(disk, rng, acknowledged)
    assert log.observations == tuple(acknowledged)
    assert not log.open
    assert len(log.searched) == BUDGET
    assert [trial.id for trial in log.trials] == list(range(BUDGET + 1))
    replayed = Journal(disk.within("journal")).replay()
    assert replayed.observations == log.observations
    assert replayed.trials == log.trials
