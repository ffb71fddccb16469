"""Faults of ``benchmarks.faults``, once each, on several Ray nodes of this machine: whatever happens, nothing is lost.

Those that other tests here throw already are left to them: killed raylets, workers, optimizers and drivers, drains.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.faults import network
from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.machines import Stage
from benchmarks.faults.rounds import play_round, staged

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

SHARED = ("engine-kill", "worker-oom", "node-term", "disk-full", "journal-read-only", "node-frozen", "head-restart")
ALONE = ("job-stop", "network-cut")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with Stage() as found:
        yield found


@pytest.mark.parametrize("name", SHARED)
def test_a_study_struck_at_any_moment_keeps_what_it_has_and_ends(stage: Stage, name: str, tmp_path: Path) -> None:
    assert play_round(stage, name, 0, tmp_path / name).broken == ()


@pytest.mark.parametrize("name", ALONE)
def test_so_does_one_on_a_cluster_of_its_own(name: str, tmp_path: Path) -> None:
    if FAULTS[name].networked and not network.possible():
        pytest.skip("this user can make no network namespace")
    with staged(FAULTS[name]) as own:
        assert play_round(own, name, 0, tmp_path / name).broken == ()
