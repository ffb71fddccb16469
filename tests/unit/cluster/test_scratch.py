"""The folder of an evaluation: gone with it, found after a kill, swept up in the end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scoot_ray.cluster.scratch import left_behind, scratch


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def folder(purpose: str) -> Path:
        (tmp_path / purpose).mkdir(exist_ok=True)
        return tmp_path / purpose

    monkeypatch.setattr("scoot_ray.cluster.scratch.node_folder", folder)
    return folder("scratch")


def abandoned(place: Path, name: str, age_s: float = 0.0) -> None:
    (place / name / "replica-0").mkdir(parents=True)
    (place / name / "engine.log").write_bytes(b"x" * 300_000 + b"the end\n")
    (place / name / "replica-0" / "engine.log").write_bytes(b"second\n")
    (place / name / "empty.log").touch()
    lock = place / f"{name}.lock"
    lock.touch()
    os.utime(lock, (lock.stat().st_atime, lock.stat().st_mtime - age_s))


def test_nothing_is_left_of_an_evaluation_that_ends(place: Path) -> None:
    with scratch("one") as folder:
        (folder / "engine.log").write_text("hello")
        assert len(list(place.iterdir())) == 2
    assert list(place.iterdir()) == []


def test_the_tails_of_the_logs_of_a_killed_one_are_found_once(place: Path) -> None:
    abandoned(place, "dead")
    logs = left_behind("dead")
    assert set(logs) == {"engine.log", "replica-0/engine.log"}
    assert len(logs["engine.log"]) == 256 * 1024
    assert logs["engine.log"].endswith(b"the end\n")
    assert left_behind("dead") == {}
    assert list(place.iterdir()) == []


def test_what_nobody_fetched_goes_after_an_hour_and_what_lives_stays(place: Path) -> None:
    abandoned(place, "old", age_s=4000)
    abandoned(place, "young", age_s=60)
    with scratch("living") as folder:
        os.utime(place / "living.lock", (0, 0))
        with scratch("next"):
            assert folder.is_dir()
            assert not (place / "old").exists()
            assert (place / "young").is_dir()
