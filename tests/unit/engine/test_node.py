"""What the engines of a node share: caches, claims, staging; and the signs a start gives."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from scoot_ray.cluster.cores import engine_cores, shared_out
from scoot_ray.engine import ports, signs
from scoot_ray.engine.caches import NodeCaches, entries, is_warm, staging, variables
from scoot_ray.engine.node import claimed, node_folder
from scoot_ray.engine.ports import claimed_port
from scoot_ray.engine.signs import Signs


@pytest.fixture(autouse=True)
def own_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_claim_is_held_by_one_and_free_again_afterwards(tmp_path: Path) -> None:
    with claimed(tmp_path / "it") as first, claimed(tmp_path / "it", deadline_s=0.3) as second:
        assert (first, second) == (True, False)
    with claimed(tmp_path / "it") as third:
        assert third


def test_ports_are_everyones_own_and_outside_the_kernels_range() -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(claimed_port()) for _ in range(30)]
        assert len(set(taken)) == 30
        assert all(20_000 <= port < ports._first_ephemeral() for port in taken)


def test_without_a_free_port_in_range_the_kernel_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_is_free", lambda _host, _port: False)
    with claimed_port() as port:
        assert port > 0


def test_cores_are_claimed_all_or_none_and_never_twice() -> None:
    with engine_cores(2, {900, 901, 902}) as first, engine_cores(2, {900, 901, 902}) as second:
        assert first == (900, 901)
        assert second == ()
        with engine_cores(1, {900, 901, 902}) as third:
            assert third == (902,)  # what the second could get is of no use to it
    with engine_cores(0, {900}) as none:
        assert none == ()


def test_replicas_share_cores_out_evenly() -> None:
    assert shared_out((4, 5, 6, 7, 8), 2) == ((4, 5), (6, 7))
    assert shared_out((), 3) == ((), (), ())
    assert shared_out((1,), 2) == ((), ())


def test_a_cache_is_warm_once_something_lies_in_it() -> None:
    generation = NodeCaches().present()
    assert generation == NodeCaches().present()
    assert not is_warm(generation)
    (generation / "note").touch()  # ours, not the engine's
    assert not is_warm(generation)
    kernel = Path(variables(generation, {})["TRITON_CACHE_DIR"]) / "hash" / "kernel.so"
    kernel.parent.mkdir(parents=True)
    kernel.touch()
    assert is_warm(generation)


def test_who_says_where_caches_lie_keeps_them_there() -> None:
    generation = NodeCaches().present()
    assert variables(generation, {"VLLM_CACHE_ROOT": "/elsewhere"}) == {}
    assert set(variables(generation, {})) == {"VLLM_CACHE_ROOT", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"}


def test_an_adopted_generation_replaces_the_one_before_which_goes_with_the_next() -> None:
    caches = NodeCaches()
    first, second, third, unused = caches.present(), caches.fresh(), caches.fresh(), caches.fresh()
    caches.adopt(second)
    assert caches.present() == second
    assert first.exists()  # engines may still run on it
    caches.adopt(third)
    assert not first.exists()
    assert second.exists()
    assert unused.exists()  # another evaluation's, which may be at it
    caches.adopt(third)
    assert caches.present() == third
    assert second.exists()


def test_only_the_first_engine_of_a_service_stages_and_the_others_wait_for_it(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with staging(tmp_path, ["m"], 30.0) as alone:
            order.append(f"second alone={alone}")

    with staging(tmp_path, ["m"], 30.0) as alone:
        assert alone
        other = threading.Thread(target=second)
        other.start()
        with staging(tmp_path, ["another"], 0.0) as too:
            assert too
        time.sleep(0.5)
        order.append("first is ready")
    other.join(30.0)
    assert order == ["first is ready", "second alone=False"]


def test_a_stager_that_fails_leaves_it_to_the_next_and_none_waits_for_ever(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), staging(tmp_path, ["m"], 0.0):
        raise RuntimeError
    with staging(tmp_path, ["m"], 0.0) as alone:
        assert alone
        with staging(tmp_path, ["m"], 0.3) as impatient:
            assert not impatient


def test_lines_are_progress_and_what_is_said_again_and_again_is_not(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    followed = Signs(log)
    time.sleep(0.05)
    followed.look()
    silent_s = followed.silent_s
    assert silent_s >= 0.05  # no log yet
    log.write_text("INFO Waiting for 1 local, 0 remote core engine proc(s) to start.\nhalf a li")
    followed.look()
    assert followed.silent_s >= silent_s
    with log.open("a") as file:
        file.write("ne\r")
    followed.look()
    assert followed.silent_s < silent_s


def test_a_cache_that_grows_is_progress_though_the_log_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "_LOOK_AT_CACHE_S", 0.0)
    followed = Signs(tmp_path / "engine.log", tmp_path / "cache")
    (tmp_path / "cache" / "inductor").mkdir(parents=True)
    followed.look()
    time.sleep(0.1)
    followed.look()
    silent_s = followed.silent_s
    assert silent_s >= 0.1
    (tmp_path / "cache" / "inductor" / "kernel.py").touch()
    assert entries(tmp_path / "cache") == 2
    followed.look()
    assert followed.silent_s < silent_s


@pytest.mark.parametrize(
    ("line", "dead"),
    [
        ("RuntimeError: Engine core initialization failed. See root cause above.", True),
        ("(EngineCore_DP0 pid=7) ERROR 11-23 10:41:43 [core.py:1510] EngineCore failed to start.", True),
        ("vllm.engine.async_llm_engine.AsyncEngineDeadError: Background loop has errored already.", True),
        (
            "ERROR 07-01 13:54:43 multiproc_worker_utils.py:120] Worker VllmWorkerProcess pid 9 died, exit code: -6",
            True,
        ),
        ("Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.", True),
        ("UserWarning: resource_tracker: process died unexpectedly, relaunching.  Some resources might leak.", False),
        ("INFO 11-23 10:41:43 [core.py:1] Loading weights: 3 shards died down to 2", False),
        ("ERROR 11-23 10:41:43 [fa.py:3] Failed to import Triton kernels: No module named 'triton'", False),
        ("INFO 11-23 10:41:43 [core.py:1] Initializing a V1 LLM engine", False),
    ],
)
def test_dead_is_who_says_so(tmp_path: Path, line: str, dead: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "LAST_WORDS_S", 0.0)
    (tmp_path / "engine.log").write_text(line + "\n")
    followed = Signs(tmp_path / "engine.log")
    followed.look()
    time.sleep(0.01)
    assert followed.is_dead is dead


def test_a_folder_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    node_folder("x")
    uid = os.getuid()
    Path(tempfile.gettempdir(), f"scoot-ray-{uid + 1}").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(PermissionError, match="belongs to another user"):
        node_folder("x")


def test_the_nodes_folder_is_for_this_user_alone() -> None:
    assert node_folder("x").stat().st_mode & 0o077 == 0
    assert node_folder("x").parent.stat().st_mode & 0o077 == 0
