"""A run's promise on a live endpoint: kept, broken, not measured, not there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from scoot_ray.cli import main
from scoot_ray.load import audit
from scoot_ray.resolve import resolve
from scoot_ray.run_folder import RunFolder
from scoot_ray.search import Measured, Observation, Origin, Trial
from scoot_ray.study import read_study
from tests.contract.golden import Golden, golden_server
from tests.runs import make_run

DEFAULT = {"max_num_seqs": 64, "max_num_batched_tokens": 512, "enable_prefix_caching": True}
BETTER = {**DEFAULT, "max_num_seqs": 32}
HEARD = {"GET /v1/models": {"body": {"data": [{"id": "golden", "root": "fake-model", "max_model_len": 128}]}}}
KEY = "SCOOT_RAY_TEST_KEY"


def measured(ttft_ms: float) -> Measured:
    metrics = {"mean_ttft_ms": ttft_ms, "mean_tpot_ms": 900.0, "p99_ttft_ms": 2 * ttft_ms, "error_rate": 0.0}
    return Measured(metrics, (metrics,))


def promising(path: Path, ttft_ms: float, **changes: object) -> RunFolder:
    """A run that has confirmed about this TTFT."""
    seen = [
        Observation(Trial(0, DEFAULT, Origin.DEFAULT), measured(3 * ttft_ms)),
        Observation(Trial(1, BETTER, Origin.MODEL), measured(ttft_ms)),
    ]
    for order in (1, 2, 3, 4, 5):
        for config, factor in ((DEFAULT, 3.0), (BETTER, 1.0)):
            outcome = measured(factor * ttft_ms * (1 + 0.01 * order))
            seen.append(Observation(Trial(len(seen), config, Origin.CONFIRMATION, (order,)), outcome))
    workload = {"trace": str(path / "trace.jsonl"), "arrivals": {"rate": 20}, "duration_s": 1, "warmup": 0}
    confirmation = {"finalists": 1, "arrival_orders": 5, "max_arrival_orders": 5}
    document = {"workload": workload, "slos": ["ttft:p99<60s"], "confirmation": confirmation, **changes}
    return make_run(path, seen, changes=document)


@pytest.fixture(scope="module")
def server() -> Iterator[Golden]:
    with golden_server() as golden:
        yield golden


@pytest.fixture
def golden(server: Golden) -> Golden:
    server.script(default="plain", **HEARD)
    return server


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test machine may be late without the measurement being called invalid."""
    for name in ("MAX_SEND_LATENESS_P99_MS", "MAX_LOOP_LAG_P99_MS", "MAX_RECEIVE_LAG_P99_MS"):
        monkeypatch.setattr(audit, name, 60_000.0)


def verify(run: RunFolder, url: str, *more: str) -> Result:
    return CliRunner().invoke(main, ["verify", str(run.path), "--base-url", url, *more])


def document(done: Result) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def test_a_promise_that_is_kept(golden: Golden, tmp_path: Path) -> None:
    run = promising(tmp_path / "run", ttft_ms=20_000.0)
    done = verify(run, golden.url, "--json")
    assert done.exit_code == 0, done.output
    found = document(done)
    assert found["verdict"] == "holds"
    assert found["drift"] == []
    assert found["tune_again"] is None
    assert found["endpoint"]["model"] == "golden"
    assert found["config"] == BETTER
    assert [(one["kind"], one["metric"]) for one in found["checks"]] == [
        ("slo", "p99_ttft_ms"), ("promise", "mean_ttft_ms"), ("promise", "mean_tpot_ms"), ("promise", "p99_ttft_ms"),
        ("slo", "error_rate"),
    ]  # fmt: skip
    assert all(one["interval"] and one["interval"][0] <= one["measured"] for one in found["checks"])
    assert {entry["body"]["max_tokens"] for entry in golden.log().values()} == {4}
    assert found["load"]["order"] == 6  # one that the run has not met


def test_a_slow_endpoint_breaks_it(golden: Golden, tmp_path: Path) -> None:
    run = promising(tmp_path / "run", ttft_ms=5.0)  # the server takes 30
    done = verify(run, golden.url)
    assert done.exit_code == 1, done.output
    assert "does not hold here: mean_ttft_ms, p99_ttft_ms" in done.stdout
    found = document(verify(run, golden.url, "--json"))
    broken = [(one["kind"], one["metric"], one["sure"]) for one in found["checks"] if one["verdict"] == "broken"]
    assert broken == [("promise", "mean_ttft_ms", True), ("promise", "p99_ttft_ms", True)]


def test_failing_requests_break_it_however_fast_the_others_are(golden: Golden, tmp_path: Path) -> None:
    golden.script(default="plain", **HEARD, **{str(number): "unavailable" for number in range(0, 40, 4)})
    found = document(verify(promising(tmp_path / "run", 20_000.0), golden.url, "--json"))
    assert [one["metric"] for one in found["checks"] if one["verdict"] == "broken"] == ["error_rate"]


def test_a_late_client_has_measured_nothing(golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MAX_LOOP_LAG_P99_MS", -1.0)
    done = verify(promising(tmp_path / "run", 20_000.0), golden.url)
    assert done.exit_code == 1
    assert "INVALID: the client was late" in done.stdout


def test_what_has_drifted_comes_with_a_study_to_tune_again(golden: Golden, tmp_path: Path) -> None:
    metrics = 'vllm:cache_config_info{enable_prefix_caching="False",block_size="16"} 1.0\n'
    pages = {"GET /version": {"body": {"version": "10.0"}}, "GET /metrics": {"body": metrics}}
    golden.script(default="plain", **HEARD, **pages)
    today = tmp_path / "today.jsonl"
    rows = [{"timestamp": 10 * at, "input_length": 900, "output_length": 4} for at in range(50)]
    today.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = promising(tmp_path / "run", 20_000.0)
    done = verify(run, golden.url, "--trace", str(today), "--json", "--rate", "15", "--duration", "0.5")
    assert done.exit_code == 0, done.output
    found = document(done)
    topics = [(one["topic"], one["then"], one["now"]) for one in found["drift"]]
    assert topics[0] == ("engine", "9.9", "10.0")
    assert topics[1] == ("flags", "True", "False")
    assert [topic for topic, _, _ in topics[2:]] == ["load", "traffic", "traffic"]
    assert found["tune_again"] == f"scoot-ray tune {run.path / 'again.yaml'}"
    assert any("0.5 s of load where 10" in note or "0.5 s of load where 1 s" in note for note in found["notes"])
    again = resolve(read_study(run.path / "again.yaml"), run.path / "again.yaml")
    assert again.study.workload.trace == str(today)
    assert again.study.workload.arrivals.rate == 15
    assert again.study.name != read_study(run.study).name
    assert [past.name for past in again.pasts] == ["fake"]


def test_a_key_is_read_from_its_variable_and_never_written(
    golden: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, "a-secret")
    done = verify(promising(tmp_path / "run", 20_000.0), golden.url, "--api-key-env", KEY, "--json")
    assert done.exit_code == 0, done.output
    assert {entry["headers"]["authorization"] for entry in golden.log().values()} == {"Bearer a-secret"}
    assert "a-secret" not in done.output


def test_what_cannot_be_used_is_one_line(golden: Golden, tmp_path: Path) -> None:
    run = promising(tmp_path / "run", 20_000.0)
    unconfirmed = promising(tmp_path / "unconfirmed", 1.0, slos=[], confirmation={"finalists": 0})
    recorded = {"trace": str(run.path / "trace.jsonl"), "arrivals": {"process": "recorded"}, "duration_s": 1}
    nowhere = "http://127.0.0.1:9"
    cases = [
        (run, nowhere, [], f"base_url: {nowhere}: cannot be reached"),
        (run, "ftp://x", [], "base_url: ftp://x"),
        (run, golden.url, ["--api-key-env", "SCOOT_RAY_NOT_SET"], "SCOOT_RAY_NOT_SET is not set"),
        (run, golden.url, ["--trace", "gone.jsonl"], "gone.jsonl"),
        (run, golden.url, ["--model", "other"], "model: other is not served here; name one of golden"),
        (unconfirmed, golden.url, [], "promises nothing"),
        (promising(tmp_path / "recorded", 1.0, workload=recorded), golden.url, ["--rate", "3"], "rate: 3"),
        (RunFolder(tmp_path), golden.url, [], "not the folder of a run"),
    ]
    for folder, url, more, said in cases:
        check_refused(verify(folder, url, *more), said)
    golden.script(**{"GET /v1/models": {"body": "{}", "status": "401 Unauthorized"}})
    check_refused(verify(run, golden.url), "refuses the key (401); --api-key-env")
    (run.path / "trace.jsonl").unlink()
    check_refused(verify(run, golden.url), "trace.jsonl")


def test_a_trace_that_has_changed_proves_nothing(golden: Golden, tmp_path: Path) -> None:
    run = promising(tmp_path / "run", 20_000.0)
    first = verify(run, golden.url, "--json", "--duration", "0.3")
    proved = yaml.safe_load(run.study.read_text())
    assert document(first)["trace_sha256"]
    run.write_json("result.json", {**_result(run), "trace": {**_result(run)["trace"], "sha256": "c0ffee"}})
    check_refused(verify(run, golden.url), f"{proved['workload']['trace']}: is not the file that was proved with")


def _result(run: RunFolder) -> dict[str, Any]:
    done = CliRunner().invoke(main, ["status", str(run.path), "--json"])
    parsed: dict[str, Any] = json.loads(done.stdout)
    return parsed


def check_refused(done: Result, said: str) -> None:
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
