from __future__ import annotations

import os
from pathlib import Path

import pytest

from scoot_ray.engine import gpu_memory
from scoot_ray.engine.gpu_memory import used_mib, wait_freed

# Each line of `readings` is one answer, its devices apart by commas; the last is given again and again.
READINGS = """
cd "$(dirname "$0")"
echo "$@" >> asked
head -n 1 readings | tr ',' '\\n'
if [ "$(wc -l < readings)" -gt 1 ]; then sed -i 1d readings; fi
"""


class Smi:
    """A stand-in for nvidia-smi, first on the PATH."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def does(self, script: str) -> None:
        path = self.folder / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def reads(self, *answers: str) -> None:
        (self.folder / "readings").write_text("".join(f"{answer}\n" for answer in answers))
        self.does(READINGS)

    @property
    def asked(self) -> list[str]:
        path = self.folder / "asked"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smi:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(gpu_memory, "_POLL_S", 0.01)
    return Smi(tmp_path)


def test_the_devices_named_are_read(smi: Smi) -> None:
    smi.reads("1523,7")
    assert used_mib(["2", "GPU-5a"]) == (1523, 7)
    assert smi.asked == ["--query-gpu=memory.used --format=csv,noheader,nounits -i 2,GPU-5a"]


def test_without_devices_nothing_is_asked(smi: Smi) -> None:
    smi.reads("7")
    assert used_mib([]) is None
    assert smi.asked == []


def test_without_nvidia_smi_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert used_mib(["0"]) is None


@pytest.mark.parametrize(
    "script",
    [
        "echo No devices were found",
        "echo '[N/A]'",
        "printf '\\377\\376'",
        "true",
        "echo 7; echo 8",
        "echo 7; exit 1",
        "kill -9 $$",
    ],
)
def test_an_answer_that_is_none_is_none(smi: Smi, script: str) -> None:
    smi.does(script)
    assert used_mib(["0"]) is None


def test_a_hanging_nvidia_smi_is_given_up(smi: Smi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_memory, "_ANSWER_S", 0.05)
    smi.does("exec sleep 600")
    assert used_mib(["0"]) is None


def test_waits_until_the_last_device_is_free(smi: Smi) -> None:
    smi.reads("70000,70000", "500,70000", "110,110", "0,0")
    assert wait_freed(["0", "1"], (10, 10), slack_mib=100)
    assert len(smi.asked) == 3  # at the slack, not below it


def test_each_device_is_held_against_its_own_reading(smi: Smi) -> None:
    smi.reads("3000,10")
    assert wait_freed(["0", "1"], (3000, 10), deadline_s=0.0)
    assert not wait_freed(["0", "1"], (10, 3000), deadline_s=0.0)


def test_one_mib_above_the_slack_is_not_free(smi: Smi) -> None:
    smi.reads("523")
    assert not wait_freed(["0"], (10,), deadline_s=0.05)


def test_a_failed_reading_shows_nothing_and_the_next_one_may(smi: Smi) -> None:
    smi.reads("Unable to determine the device handle", "12")
    assert wait_freed(["0"], (10,))
    assert len(smi.asked) == 2


def test_readings_that_only_fail_are_not_free(smi: Smi) -> None:
    smi.does("exit 1")
    assert not wait_freed(["0"], (10,), deadline_s=0.0)


def test_nothing_to_compare_with_is_free_at_once(smi: Smi) -> None:
    smi.reads("70000")
    assert wait_freed(["0"], None)
    assert smi.asked == []


def test_readings_of_other_devices_are_refused() -> None:
    with pytest.raises(ValueError, match="1 readings for 2 devices"):
        wait_freed(["0", "1"], (10,))
