from __future__ import annotations

from pathlib import Path

import pytest

from scoot_ray.engine import kernel, post_mortem
from scoot_ray.engine.kernel import Kill, Mark, counted_since, killed, kills_of_cgroup, mark
from scoot_ray.engine.post_mortem import words_of_the_kernel

OLD = "3,400,1000000,-;Out of memory: Killed process 11 (python) total-vm:1kB"
NEW = "3,412,9000000,-;Memory cgroup out of memory: Killed process 4242 (VLLM::EngineCor) total-vm:9kB, anon-rss:8kB\n"
OTHER = "6,413,9100000,-;usb 1-1: new device 12"


def test_only_kills_after_the_mark_are_found() -> None:
    assert [kill.pid for kill in killed([OLD, NEW, OTHER, "", "broken"], 0.0)] == [11, 4242]
    assert [kill.pid for kill in killed([OLD, NEW, OTHER], 5.0)] == [4242]
    assert next(iter(killed([NEW], 0.0))).text.endswith("anon-rss:8kB")


@pytest.mark.parametrize(
    ("membership", "file"),
    [
        ("0::/pod/engine\n", "pod/engine/memory.events"),
        ("0::/pod/engine\n", "memory.events"),
        ("3:cpuset:/\n4:memory:/pod\n0::/\n", "memory/pod/memory.oom_control"),
        ("4:memory:/pod\n", "memory/memory.oom_control"),
    ],
)
def test_the_counter_is_found_in_both_hierarchies_and_in_containers(tmp_path: Path, membership: str, file: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("low 0\noom 5\noom_kill 3\noom_group_kill 1\n")
    assert kills_of_cgroup(membership, tmp_path) == 3


def test_where_nothing_can_be_read_there_is_no_evidence(tmp_path: Path) -> None:
    assert kills_of_cgroup("0::/x\n", tmp_path) is None
    assert kills_of_cgroup("", tmp_path) is None
    assert mark().at_s > 0


def test_a_counter_that_has_risen_is_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "kills_of_cgroup", lambda: 4)
    assert counted_since(Mark(0.0, 4)) is None
    assert counted_since(Mark(0.0, None)) is None
    assert "2 process(es)" in (counted_since(Mark(0.0, 2)) or "")


def test_only_kills_of_processes_that_the_log_names_concern_an_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "engine.log"
    log.write_text("(APIServer pid=4240) INFO\n(EngineCore pid=4242) INFO 11-23 17:09:42 [core.py:1] starting\n")
    kills = (Kill(4242, "Killed process 4242 (python)"), Kill(42, "Killed process 42 (java)"))
    monkeypatch.setattr(post_mortem, "kills_since", lambda _: kills)
    assert words_of_the_kernel(Mark(0.0, 0), {4240}, log) == ("Killed process 4242 (python)",)
    assert words_of_the_kernel(Mark(0.0, 0), {42}, tmp_path / "none") == ("Killed process 42 (java)",)
    monkeypatch.setattr(post_mortem, "kills_since", lambda _: ())
    monkeypatch.setattr(post_mortem, "counted_since", lambda _: "counted")
    assert words_of_the_kernel(Mark(0.0, 0), {1}, log) == ("counted",)
