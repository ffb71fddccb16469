"""The load generator against a server that knows exactly what it sent: no false success, no false failure."""

from __future__ import annotations

import gc
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from scoot_ray.load.arrivals import Arrivals
from scoot_ray.load.client.target import Target
from scoot_ray.load.command import ReplayOptions, replay_command
from scoot_ray.load.errors import LoadError, TraceError
from scoot_ray.load.figures.bounds import bounds_of
from scoot_ray.load.figures.metrics import counts_of, itl_s, metrics_of, tpot_s
from scoot_ray.load.figures.records import record_to_json
from scoot_ray.load.figures.standing import Standing
from scoot_ray.load.hooks import ENGINE_DIED, HOPELESS, STOPPED, Hooks, Progress
from scoot_ray.load.measure import Load, Measurement, run_replay
from scoot_ray.load.plan import ScheduledCall
from scoot_ray.load.replay import DRAIN, replay
from scoot_ray.load.trace import CANCELLED, Request, RequestRecord
from tests.contract.golden import CLOSE_S, FAULTS, HARMLESS, TOKENS, WHOLE, Golden, call, fly, plan_of


def load_of(*requests: Request, **options: Any) -> Load:
    defaults: dict[str, Any] = {"arrivals": Arrivals("constant", rate=50), "count": 4, "salt": "a", "warmup": 0}
    return Load(requests=requests, **{**defaults, **options})


def measured(golden: Golden, load: Load) -> Measurement:
    return run_replay(golden.target(), load)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_harmless_streams_are_successes_with_the_servers_own_times(golden: Golden, path: str) -> None:
    behaviours = [name for name in HARMLESS if "chat" in path or name != "reasoning"]
    golden.script(**{f"_{index}": name for index, name in enumerate(behaviours)})
    records = fly(golden.target(), plan_of(len(behaviours), path=path)).records
    log = golden.log()
    for index, name in enumerate(behaviours):
        record, entry = records[index], log[str(index)]
        assert record.error is None, name
        assert record.status == 200
        assert len(record.token_times_s) == len(entry["sent"]), name
        for seen_s, sent_s in zip(record.token_times_s, entry["sent"], strict=True):
            assert -1e-3 <= seen_s - sent_s < CLOSE_S, name
        assert record.sent_s is not None
        assert record.done_s is not None
        assert record.scheduled_s <= record.sent_s <= entry["received"]
        assert record.done_s >= record.token_times_s[-1]


def test_every_fault_has_its_name_and_spoils_no_neighbour(golden: Golden) -> None:
    faults = list(FAULTS)
    behaviours = [name for fault in faults for name in (fault, "plain")]
    golden.script(**{f"_{index}": name for index, name in enumerate(behaviours)})
    target = golden.target(timeout_s=3.0, stall_s=1.0)
    result = fly(target, plan_of(len(behaviours)))
    errors = {behaviours[record.index]: record.error for record in result.records if record.index % 2 == 0}
    assert errors == FAULTS
    assert all(record.error is None for record in result.records if record.index % 2)
    assert all(record.done_s is None for record in result.records if record.error is not None)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_whole_answers_are_read_or_named(golden: Golden, path: str) -> None:
    behaviours = list(WHOLE)
    golden.script(**{f"_{index}": name for index, name in enumerate(behaviours)})
    records = fly(golden.target(timeout_s=3.0), plan_of(len(behaviours), path=path, streamed=False)).records
    assert {behaviours[record.index]: record.error for record in records} == WHOLE
    (answered,) = (record for record in records if record.error is None)
    (sent_s,) = golden.log()[str(answered.index)]["sent"]
    assert answered.token_times_s == ()
    assert answered.done_s is not None
    assert -1e-3 <= answered.done_s - sent_s < CLOSE_S
    assert answered.usage is not None
    assert answered.usage.completion_tokens == TOKENS


def test_whole_answers_have_no_first_token(golden: Golden) -> None:
    golden.script(default="whole")
    measurement = measured(golden, load_of(Request(0.0, 20, 5), stream=False))
    assert measurement.metrics["completed"] == 4
    assert measurement.metrics["output_throughput"] > 0
    assert "mean_e2el_ms" in measurement.metrics
    assert not any("ttft" in name or "tpot" in name or "itl" in name for name in measurement.metrics)
    for entry in golden.log().values():
        assert entry["body"]["stream"] is False
        assert "stream_options" not in entry["body"]


def test_a_user_who_goes_away_is_neither_success_nor_failure(golden: Golden) -> None:
    golden.script(_0="for_ever", _1="hang", _2="plain", _3="reset")
    plan = [ScheduledCall(index, 0.0, call(index, cancel_after_s=after_s)) for index, after_s in
            enumerate([0.5, 0.5, 60.0, 60.0])]  # fmt: skip
    result = fly(golden.target(), plan)
    assert [record.error for record in result.records] == [CANCELLED, CANCELLED, None, "cut"]
    assert result.records[0].token_times_s
    metrics, counts = metrics_of(result.records), counts_of(result.records)
    assert (metrics["completed"], metrics["failed"], metrics["error_rate"]) == (1, 1, 0.5)
    assert (counts["cancelled"], counts["error_cut"]) == (2, 1)
    deadline_s = time.monotonic() + 30
    while "closed" not in golden.log()["0"] and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert "closed" in golden.log()["0"]


def test_a_class_stays_with_its_request(golden: Golden) -> None:
    (record,) = fly(golden.target(), plan_of(1, request_class="batch")).records
    assert record_to_json(record)["class"] == "batch"


def test_a_turn_waits_for_the_answer_before_it(golden: Golden) -> None:
    golden.script(_0="slow_head", _1="reset")
    plan = [
        ScheduledCall(0, 0.0, call(0)),
        ScheduledCall(1, 0.01, call(1), after=0),
        ScheduledCall(2, 0.02, call(2), after=1, think_s=0.2),
        ScheduledCall(3, 0.03, call(3)),
        ScheduledCall(4, 2.0, call(4), after=3),
    ]
    result = fly(golden.target(), plan)
    first, second, _, other, last = result.records
    assert [record.error for record in result.records] == [None, "cut", None, None, None]
    log = golden.log()
    assert first.done_s is not None
    assert log["1"]["received"] >= first.done_s
    assert second.waited_s > 0.2
    assert second.scheduled_s == pytest.approx(first.scheduled_s + 0.01 + second.waited_s)
    assert log["2"]["received"] - log["1"]["received"] >= 0.2
    assert (first.waited_s, other.waited_s, last.waited_s) == (0.0, 0.0, 0.0)
    assert result.audit.send_lateness_p99_ms is not None
    assert result.audit.send_lateness_p99_ms < second.waited_s * 1e3


def test_turns_that_still_wait_when_all_ends_were_never_sent(golden: Golden) -> None:
    golden.script(_0="hang")
    plan = [ScheduledCall(0, 0.0, call(0)), ScheduledCall(1, 0.0, call(1), after=0)]
    for hooks, drain_s, reason in ((None, 0.3, DRAIN), (Hooks(stop=lambda: True), 60.0, STOPPED)):
        first, second = fly(golden.target(), plan, hooks, drain_s=drain_s).records
        assert (first.error, second.error, second.sent_s) == (reason, reason, None)


def test_sessions_wait_where_asked_and_the_delay_is_told(golden: Golden) -> None:
    golden.script(default="slow_head")
    turns = [Request(0.1 * turn, 20, 3, session="a") for turn in range(3)]
    together = measured(golden, load_of(*turns, count=3))
    apart = measured(golden, load_of(*turns, count=3, sessions="wait", think_s=0.1))
    assert (together.delayed_turns, apart.delayed_turns) == (0, 2)
    ends_s = [record.done_s for record in apart.replay.records]
    for end_s, record in zip(ends_s, apart.replay.records[1:], strict=False):
        assert end_s is not None
        assert record.sent_s is not None
        assert record.sent_s >= end_s + 0.1


def test_headers_and_further_fields_go_with_every_request(golden: Golden) -> None:
    target = golden.target(api_key="token-1", headers=(("X-Team", "green"),))
    sampling = {"temperature": 0.7, "top_p": 0.9, "model": "not this"}
    requests = [Request(0.0, 20, 3, sampling=sampling, adapter="tuned"), Request(1.0, 20, 3)]
    run_replay(target, load_of(*requests, extra_body={"top_p": 0.5, "priority": 3}))
    for entry in golden.log().values():
        body, adapted = entry["body"], entry["body"]["model"] == "tuned"
        assert adapted or body["model"] == "golden"
        assert body["temperature"] == (0.7 if adapted else 0.0)
        assert (body["top_p"], body["priority"]) == (0.5, 3)
        assert (entry["headers"]["x-team"], entry["headers"]["authorization"]) == ("green", "Bearer token-1")
    assert "green" not in repr(target)


def test_nobody_listening_is_a_failed_connection() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (record,) = fly(Target((f"http://127.0.0.1:{port}",), "m"), plan_of(1)).records
    assert (record.error, record.status) == ("connect", None)


def test_a_request_still_open_when_the_drain_ends_has_failed(golden: Golden) -> None:
    golden.script(_1="hang")
    first, second = fly(golden.target(), plan_of(2), drain_s=0.5).records
    assert (first.error, second.error) == (None, DRAIN)


@pytest.mark.parametrize(
    ("hooks", "reason"), [(Hooks(stop=lambda: True), STOPPED), (Hooks(engine_alive=lambda: False), ENGINE_DIED)]
)
def test_a_replay_ends_at_once_when_told(golden: Golden, hooks: Hooks, reason: str) -> None:
    golden.script(default="hang")
    result = fly(golden.target(), [*plan_of(3, gap_s=0.0), ScheduledCall(3, 3600.0, call(3))], hooks)
    assert result.ended_early == reason
    assert [record.error for record in result.records] == [reason] * 4
    assert [record.sent_s is None for record in result.records] == [False, False, False, True]


def test_a_hopeless_replay_ends_and_was_told_the_truth(golden: Golden) -> None:
    golden.script(_5="hang", _6="reset")
    told: list[Standing] = []

    def ask(standing: Standing) -> bool:
        told.append(standing)
        return len(told) == 2

    plan = [*plan_of(7), ScheduledCall(7, 3600.0, call(7))]
    result = fly(golden.target(), plan, Hooks(hopeless=ask))
    assert result.ended_early == HOPELESS
    assert [record.error for record in result.records] == [None] * 5 + [HOPELESS, "cut", HOPELESS]
    last = told[-1]
    assert (last.planned, last.completed, last.failed, last.cancelled) == (8, 5, 1, 0)
    assert (len(last.waiting_due_s), len(last.started_due_s), len(last.unsent_due_s)) == (1, 0, 1)
    assert last.unsent_due_s.tolist() == [3600.0]
    assert (last.output_tokens, last.tokens_left) == (5 * TOKENS, 2 * TOKENS)
    metrics = metrics_of(result.records)
    settled = [1e3 * (one.token_times_s[0] - one.scheduled_s) for one in result.records if one.error is None]
    assert sorted(last.settled_ms["ttft"]) == pytest.approx(sorted(settled))
    assert bounds_of(last, 0.5)["mean_ttft_ms"][0] <= metrics["mean_ttft_ms"]


def test_sends_do_not_wait_for_answers(golden: Golden) -> None:
    golden.script(default="hang")
    fly(golden.target(), plan_of(150, gap_s=0.0), drain_s=2.0)
    assert len(golden.log()) == 150


def test_progress_ends_complete_and_the_collector_comes_back(golden: Golden) -> None:
    seen: list[Progress] = []
    enabled: list[bool] = []

    def look(progress: Progress) -> None:
        seen.append(progress)
        enabled.append(gc.isenabled())

    golden.script(_2="reset")
    fly(golden.target(), plan_of(4, gap_s=0.08), Hooks(on_progress=look))
    assert (seen[-1].planned, seen[-1].sent, seen[-1].completed, seen[-1].failed) == (4, 4, 3, 1)
    assert not any(enabled)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_failing_hook_surfaces_and_leaves_nothing_behind(golden: Golden) -> None:
    def broken() -> bool:
        raise ZeroDivisionError

    golden.script(default="hang")
    with pytest.raises(ZeroDivisionError):
        fly(golden.target(), plan_of(2), Hooks(stop=broken))
    assert gc.isenabled()


@pytest.mark.parametrize("spread", ["round_robin", "least_outstanding"])
def test_replicas_share_the_load(golden: Golden, spread: Any) -> None:
    target = Target((golden.url, f"{golden.url}/v1/"), "golden", spread=spread)
    records = fly(target, plan_of(6, gap_s=0.0)).records
    assert sorted(record.replica for record in records) == [0, 0, 0, 1, 1, 1]


def test_a_stuck_replica_gets_little_from_least_outstanding(golden: Golden) -> None:
    golden.script(_0="hang")
    target = Target((golden.url, golden.url), "golden", spread="least_outstanding")
    plan = [ScheduledCall(index, index * 0.5, call(index)) for index in range(3)]
    records = fly(target, plan, drain_s=0.3).records
    assert [record.replica for record in records] == [0, 1, 1]


def test_it_runs_in_a_thread(golden: Golden) -> None:
    results: list[Measurement] = []
    load = load_of(Request(0.0, 20, 3))
    thread = threading.Thread(target=lambda: results.append(measured(golden, load)))
    thread.start()
    thread.join(timeout=60)
    assert results[0].metrics["completed"] == 4


async def test_it_runs_in_an_ordinary_loop(golden: Golden) -> None:
    result = await replay(golden.target(), plan_of(3))
    assert all(record.error is None for record in result.records)


def test_lengths_are_forced_and_the_caller_is_named(golden: Golden) -> None:
    target = golden.target(api_key="token-1")
    measurement = run_replay(target, load_of(Request(0.0, 700, 3, hash_ids=(4,)), Request(1.0, 600, 2, hash_ids=(4,))))
    log = golden.log()
    assert sorted(log) == ["0", "1", "2", "3"]
    for entry in log.values():
        body = entry["body"]
        assert body["min_tokens"] == body["max_tokens"]
        assert body["ignore_eos"] is True
        assert body["stream_options"] == {"include_usage": True}
        assert body["temperature"] == 0
        assert entry["headers"]["authorization"] == "Bearer token-1"
    assert {tuple(entry["body"]["prompt"][:512]) for entry in log.values() if len(entry["body"]["prompt"]) > 600}
    firsts = {tuple(entry["body"]["prompt"][:512]) for entry in log.values()}
    assert len(firsts) == 2  # two passes over the trace, each with the one prefix its rows share
    assert {len(entry["body"]["prompt"]) for entry in log.values()} == {600, 700}
    assert measurement.reused == 2
    assert counts_of(measurement.replay.records)["usage_mismatch"] == 0
    assert "token-1" not in repr(target)


def test_token_ids_are_the_tokenizers_own_without_its_special_ones(golden: Golden) -> None:
    measured(golden, load_of(Request(0.0, 64, 2)))
    ids = {token for entry in golden.log().values() for token in entry["body"]["prompt"]}
    assert 1 not in ids
    assert ids <= set(range(1000, 1997))


def test_without_a_tokenizer_ids_are_guessed_and_the_guess_is_told(golden: Golden) -> None:
    golden.script(tokenize="absent")
    measurement = measured(golden, load_of(Request(0.0, 64, 2)))
    assert measurement.metrics["completed"] == 4
    assert any("/tokenize answered 404" in note for note in measurement.notes)


def test_text_goes_as_it_is_to_its_endpoint(golden: Golden) -> None:
    message = {"role": "user", "content": "Grüße"}
    measured(golden, load_of(Request(0.0, None, 2, prompt="once"), Request(1.0, None, 2, messages=(message,)), count=2))
    asked = {entry["path"]: entry["body"] for entry in golden.log().values()}
    assert asked["/v1/completions"]["prompt"] == "once"
    assert asked["/v1/chat/completions"]["messages"] == [message]


def test_another_salt_shares_no_prompt(golden: Golden) -> None:
    prompts = []
    for salt in ("a", "b", "a"):
        golden.script()
        measured(golden, load_of(Request(0.0, 64, 2), salt=salt))
        prompts.append([entry["body"]["prompt"] for entry in golden.log().values()])
    assert prompts[0] == prompts[2]
    assert not set(map(tuple, prompts[0])) & set(map(tuple, prompts[1]))


def test_warm_up_is_apart_disjoint_and_ends(golden: Golden) -> None:
    measurement = measured(golden, load_of(Request(0.0, 64, 2, hash_ids=(1,)), warmup="auto"))
    log = golden.log()
    warm = {key: entry for key, entry in log.items() if key.startswith("warmup-")}
    assert len(warm) == measurement.warmup.sent >= 16
    assert measurement.warmup.stationary is not None
    measured_prompts = [tuple(entry["body"]["prompt"][:16]) for key, entry in log.items() if key not in warm]
    assert not {tuple(entry["body"]["prompt"][:16]) for entry in warm.values()} & set(measured_prompts)
    last_warm = max(entry["received"] for entry in warm.values())
    assert last_warm < min(entry["received"] for key, entry in log.items() if key not in warm)


def test_a_number_of_warm_up_requests_is_kept(golden: Golden) -> None:
    measurement = measured(golden, load_of(Request(0.0, None, 2, prompt="measured words"), warmup=11))
    log = golden.log()
    assert measurement.warmup.sent == sum(key.startswith("warmup-") for key in log) == 11
    assert all(entry["body"]["prompt"] != "measured words" for key, entry in log.items() if key.startswith("warmup-"))


def test_usage_that_differs_is_reported_and_no_failure(golden: Golden) -> None:
    golden.script(_0="short_usage", _1="no_usage")
    records = measured(golden, load_of(Request(0.0, 20, 5))).replay.records
    counts = counts_of(records)
    assert (counts["usage_mismatch"], counts["usage_missing"]) == (1, 1)
    assert all(record.error is None for record in records)


def test_events_of_several_tokens_count_by_their_tokens(golden: Golden) -> None:
    golden.script(default="paired")
    (record,) = fly(golden.target(), plan_of(1, tokens=9)).records
    assert len(record.token_times_s) == 4
    times = record.token_times_s
    assert tpot_s(record) == pytest.approx((times[-1] - times[0]) / 8)
    assert len(itl_s(record)) == 8
    assert itl_s(record).sum() == pytest.approx(times[-1] - times[0])


def test_the_audit_condemns_a_blocked_client(golden: Golden) -> None:
    def block(_: Progress) -> None:
        time.sleep(0.1)

    result = fly(golden.target(), plan_of(40, gap_s=0.01), Hooks(on_progress=block))
    assert not result.audit.valid
    assert any("sent late" in reason for reason in result.audit.reasons)
    assert any("lagged" in reason for reason in result.audit.reasons)


def write_trace(folder: Path, rows: int = 5) -> str:
    path = folder / "trace.jsonl"
    row = {"timestamp": 10, "input_length": 30, "output_length": 4}
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(rows)))
    return str(path)


def test_the_verb_writes_the_promised_document(golden: Golden, tmp_path: Path) -> None:
    golden.script(_1="unavailable")
    out = tmp_path / "out.json"
    options = ReplayOptions(
        base_urls=(golden.url,), model="golden", trace=write_trace(tmp_path), rate=20, duration_s=0.5, seed=3,
        json_out=str(out), goodput=("ttft:10s", "e2el:10s"),
    )  # fmt: skip
    before_s = time.monotonic()
    assert replay_command(options) == 0
    document = json.loads(out.read_text())
    assert set(document) == {"requests", "summary", "valid"}
    assert isinstance(document["valid"], bool)
    summary = document["summary"]
    figures = {name: value for name, value in summary.items() if name != "intervals"}
    assert all(isinstance(value, int | float) for value in figures.values())
    assert summary["failed"] == summary["error_http_503"] == 1
    assert summary["request_goodput"] == pytest.approx(summary["request_throughput"])
    assert {"mean_ttft_ms", "p99_itl_ms", "median_tpot_ms", "p95_e2el_ms", "from_send_mean_ttft_ms"} <= set(summary)
    ids = [request["i"] for request in document["requests"]]
    assert ids == list(range(len(ids)))
    for request in document["requests"]:
        assert set(request) == {"i", "sched", "sent", "ev", "done", "status", "error", "usage"}
        assert before_s < request["sched"] <= request["sent"] < time.monotonic()
    assert document["requests"][1]["done"] is None
    assert document["requests"][0]["usage"] == {"prompt_tokens": 30, "completion_tokens": 4}
    assert len(document["requests"][0]["ev"]) == 4


def test_the_verb_prints_only_json_to_stdout(
    golden: Golden, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    golden.script(default="unavailable")
    options = ReplayOptions((golden.url,), "golden", write_trace(tmp_path), rate=20, count=3, json_out="-")
    assert replay_command(options) == 1
    output = capsys.readouterr()
    assert json.loads(output.out)["summary"]["completed"] == 0
    assert "error_http_503 3" in output.err


def test_the_verb_sends_the_named_key(golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "token-2")
    options = ReplayOptions(
        (golden.url,), "golden", write_trace(tmp_path), arrivals="recorded", api_key_env="MY_KEY", rows=2
    )
    assert replay_command(options) == 0
    assert [entry["headers"]["authorization"] for entry in golden.log().values()] == ["Bearer token-2"] * 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"trace": "absent.jsonl"}, "absent.jsonl: cannot be read"),
        ({"rate": None}, "rate is missing"),
        ({"rate": -1.0}, "allowed a positive number"),
        ({"duration_s": None}, "duration_s: is missing"),
        ({"base_urls": ("localhost:8000",)}, "allowed http://host:port"),
        ({"base_urls": ()}, "base_url: is missing"),
        ({"goodput": ("ttft<5",)}, "such as ttft:500ms"),
        ({"api_key_env": "UNSET_KEY"}, "UNSET_KEY is not set"),
        ({"json_out": "absent/out.json"}, "cannot be written"),
        ({"max_model_len": 10}, "leaves none of 5 requests"),
        ({"endpoint": "chat"}, "lengths alone"),
        ({"offset": 5}, "leaves no request"),
        ({"warmup": -1}, "warmup: -1"),
        ({"headers": ("secret",)}, "allowed Name: value"),
        ({"extra_body": "{"}, "is not JSON"),
        ({"extra_body": "[1]"}, "is a JSON list"),
        ({"extra_body": '{"stream": false}'}, "extra_body: stream"),
        ({"processes": 0}, "processes: 0"),
        ({"think_s": -1.0}, "think_s: -1.0"),
        ({"arrivals": "ramp"}, "end_rate None"),
    ],
)
def test_bad_input_is_one_clear_line(golden: Golden, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {
        "base_urls": (golden.url,), "model": "m", "trace": write_trace(tmp_path), "rate": 5.0, "duration_s": 1.0
    }  # fmt: skip
    with pytest.raises(LoadError) as caught:
        replay_command(ReplayOptions(**{**good, **changes}))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, TraceError) == ("trace" in changes)


def test_an_unreachable_server_is_bad_input_where_it_is_asked_for_tokens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(LoadError, match="cannot connect"):
        replay_command(ReplayOptions((url,), "m", write_trace(tmp_path), rate=5.0, count=1))


def test_records_are_complete_and_in_order(golden: Golden) -> None:
    golden.script(_0="slow_head")
    records: tuple[RequestRecord, ...] = fly(golden.target(), plan_of(5)).records
    assert [record.index for record in records] == list(range(5))
