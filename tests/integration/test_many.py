"""Several studies on one cluster: what becomes of one is no matter to another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.conftest import Run, a_run, eventually

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def both(tmp_path: Path, cluster: str) -> Iterator[tuple[Run, Run]]:
    """Two elastic studies that want all of four CPUs each."""
    with ExitStack() as stack:
        found = []
        for name in ("one", "other"):
            folder = tmp_path / name
            folder.mkdir()
            run = stack.enter_context(a_run(folder, cluster))
            run.document |= {"name": name, "parallelism": {"min": 1, "max": 4, "when": "idle"}}
            run.document["workload"]["duration_s"] = 3
            found.append(run)
        yield found[0], found[1]


def test_a_study_that_is_killed_leaves_its_slots_to_the_other_and_harms_it_not(both: tuple[Run, Run]) -> None:
    one, other = both
    one.document["budget"] = {"observations": 30}
    other.document["budget"] = {"observations": 6}
    killed = one.start("tune", str(one.study), "--json")
    survivor = other.start("tune", str(other.study), "--json")
    assert eventually(lambda: one.engines() and other.settled(), 150), "both have slots, though each wants all"
    os.kill(killed.pid, signal.SIGKILL)
    code, out, err = other.finish(survivor)
    assert code == 0, err
    assert sorted(other.settled()) == list(range(6))
    assert json.loads(out)["outcomes"] == {"measured": 6, "bounded": 0, "failed": {}, "retried": 0}
    assert eventually(lambda: not one.engines(), 60)
    assert other.engines() == []
    command = [sys.executable, "-m", "scoot_ray", "status", str(one.output), str(other.output), "--json"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True)
    states = {each["study"]: each["state"] for each in json.loads(shown.stdout)}
    assert states == {"one": "no driver", "other": "complete"}


def test_a_study_whose_engine_cannot_start_fails_alone(both: tuple[Run, Run]) -> None:
    one, other = both
    one.document["engine"]["env"]["FAKE_VLLM_FAULT"] = "crash_at_start"
    one.document["budget"] = {"observations": 3}
    failing = one.start("tune", str(one.study), "--json")
    other.document["budget"] = {"observations": 3}
    code, out, err = other.tune()
    assert code == 0, err
    assert json.loads(out)["outcomes"]["measured"] == 3
    code, _, err = one.finish(failing)
    assert code == 1, err
    assert one.engines() == []
