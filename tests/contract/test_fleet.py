"""Several client processes: one schedule, one list of records, and none that outlives its parent."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.load.arrivals import Arrivals
from scoot_ray.load.client.loop import PreciseEventLoop
from scoot_ray.load.client.target import Target, open_session
from scoot_ray.load.errors import LoadError
from scoot_ray.load.figures.standing import Standing
from scoot_ray.load.fleet import deal, processes_for, replay_together
from scoot_ray.load.hooks import STOPPED, Hooks, Progress
from scoot_ray.load.measure import Load, run_replay
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.replay import ReplayResult
from scoot_ray.load.trace import Request
from tests.contract.golden import Golden, call, golden_server, plan_of


def fly_together(target: Target, plan: list[ScheduledCall], processes: int, **options: Any) -> ReplayResult:
    async def body() -> ReplayResult:
        async with open_session(target) as session:
            return await replay_together(
                target, plan, processes=processes, span_s=1.0, session=session, **{"drain_s": 60.0, **options}
            )

    with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
        return runner.run(body())


def test_processes_share_a_schedule_and_their_records_are_one(golden: Golden) -> None:
    golden.script(_7="reset", _8="in_stream_error")
    seen: list[Progress] = []
    result = fly_together(golden.target(), plan_of(30), 3, hooks=Hooks(on_progress=seen.append))
    assert [record.index for record in result.records] == list(range(30))
    assert {record.index: record.error for record in result.records if record.error} == {7: "cut", 8: "in_stream"}
    start_s = result.records[0].scheduled_s
    for record in result.records:
        assert record.scheduled_s == pytest.approx(start_s + 0.01 * record.index)
    assert result.audit.client_processes == 3
    assert result.audit.connections_opened >= 3
    assert (seen[-1].planned, seen[-1].sent, seen[-1].completed, seen[-1].failed) == (30, 30, 28, 2)
    log = golden.log()
    for record in result.records:
        if record.error is None:
            for seen_s, sent_s in zip(record.token_times_s, log[str(record.index)]["sent"], strict=True):
                assert seen_s >= sent_s - 1e-3


def test_all_processes_stop_when_told(golden: Golden) -> None:
    golden.script(default="hang")
    plan = [*plan_of(4), ScheduledCall(4, 3600.0, call(4)), ScheduledCall(5, 3600.0, call(5))]
    result = fly_together(golden.target(), plan, 2, hooks=Hooks(stop=lambda: len(golden.log()) == 4))
    assert result.ended_early == STOPPED
    assert [record.error for record in result.records] == [STOPPED] * 6


def test_where_all_processes_stand_is_told_as_one(golden: Golden) -> None:
    golden.script(_4="hang")
    told: list[Standing] = []

    def ask(standing: Standing) -> bool:
        told.append(standing)
        return standing.completed == 4

    plan = [*plan_of(5), ScheduledCall(5, 3600.0, call(5))]
    result = fly_together(golden.target(), plan, 2, hooks=Hooks(hopeless=ask))
    assert result.ended_early is not None
    last = told[-1]
    assert (last.planned, last.completed, len(last.waiting_due_s), len(last.unsent_due_s)) == (6, 4, 1, 1)
    assert len(last.settled_ms["ttft"]) == 4


def test_a_process_that_dies_is_no_result_and_takes_the_others_along(golden: Golden) -> None:
    golden.script(default="hang")

    def kill_one() -> bool:
        if len(golden.log()) == 4:
            psutil.Process().children()[-1].kill()
        return False

    before = {child.pid for child in psutil.Process().children()}
    with pytest.raises(RuntimeError, match="client process died"):
        fly_together(golden.target(), plan_of(4), 2, hooks=Hooks(stop=kill_one))
    assert {child.pid for child in psutil.Process().children()} <= before


def test_no_process_outlives_its_parent(golden: Golden) -> None:
    golden.script(default="hang")
    program = (
        "from tests.contract.test_fleet import *; import sys; fly_together(Target((sys.argv[1],), 'm'), plan_of(4), 2)"
    )
    with subprocess.Popen([sys.executable, "-c", program, golden.url], cwd=Path(__file__).parents[2]) as parent:
        deadline_s = time.monotonic() + 60
        while len(golden.log()) < 4 and time.monotonic() < deadline_s:
            time.sleep(0.1)
        members = psutil.Process(parent.pid).children()
        assert len(members) == 2
        parent.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(members, timeout=30)
    assert not alive


@pytest.mark.parametrize("processes", [0, -1])
def test_no_processes_are_refused(processes: int) -> None:
    with pytest.raises(LoadError, match="allowed auto"):
        fly_together(Target(("http://a:1",), "m"), plan_of(1), processes)


@given(st.lists(st.sampled_from([None, "a", "b", "c"]), min_size=1, max_size=60), st.integers(1, 7))
def test_dealing_loses_nothing_and_keeps_chains_together(sessions: list[str | None], hands: int) -> None:
    last: dict[str, int] = {}
    plan = []
    for index, session in enumerate(sessions):
        after = last.get(session) if session is not None else None
        if session is not None:
            last[session] = index
        plan.append(ScheduledCall(index, 0.0, call(index), after))
    dealt = deal(plan, hands)
    assert sorted(item.index for hand in dealt for item in hand) == list(range(len(plan)))
    assert len(dealt) <= hands
    for hand in dealt:
        held = {item.index for item in hand}
        assert all(item.after is None or item.after in held for item in hand)
        assert [item.index for item in hand] == sorted(held)


def test_as_many_processes_as_the_load_needs() -> None:
    light, heavy = plan_of(10, tokens=100), plan_of(1000, tokens=100)
    assert processes_for(light, span_s=1.0, cores=64) == 1
    assert processes_for(heavy, span_s=1.0, cores=64) > 5
    assert processes_for(heavy, span_s=1.0, cores=2) == 2
    assert processes_for(heavy, span_s=100.0, cores=64) == 1
    assert processes_for(light, span_s=0.0, cores=64) == 1


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_tls_is_believed_where_told_and_only_there(tmp_path: Path) -> None:
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    names = ["-subj", "/CN=golden", "-addext", "subjectAltName=IP:127.0.0.1"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *curve, *names, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    load = Load((Request(0.0, None, 3, prompt="hello"),), Arrivals("constant", 50), salt="a", count=4, warmup=0)
    with golden_server(certificate, key) as golden:
        golden.script(_1="split", _2="crlf")
        for options in ({"ca_file": certificate}, {"insecure": True}):
            records = run_replay(golden.target(**options), load).replay.records
            assert [record.error for record in records] == [None] * 4
            assert [len(record.token_times_s) for record in records] == [3] * 4
        doubted = run_replay(golden.target(), load)
        assert {record.error for record in doubted.replay.records} == {"connect"}
        assert doubted.replay.audit.connections_failed == 4
    with pytest.raises(LoadError, match="no certificates"):
        golden.target(ca_file=key)
    with pytest.raises(LoadError, match="No such file"):
        golden.target(ca_file=str(tmp_path / "absent.pem"))
