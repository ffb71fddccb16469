"""What every kind of engine must do, through the real launch path, on stand-ins with the real ones' flags.

vLLM's own are in test_engine.py. The external service is the fake vLLM, started by a template of the user's.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from scoot_ray.cluster.evaluation import evaluate
from scoot_ray.cluster.task import Task
from scoot_ray.engine.catalogue import available_flags
from scoot_ray.engine.kinds import KINDS, Kind
from scoot_ray.engine.kinds.external import Outside
from scoot_ray.engine.launch import EngineOptions, engine_spec
from scoot_ray.engine.process import EngineProcess, EngineSpec, free_port
from scoot_ray.engine.ready import StartFailed, wait_ready
from scoot_ray.engine.server import answers, max_model_len, reset_prefix_cache, server_version
from scoot_ray.engine.service import begin, end
from scoot_ray.engine.spaces import tensorrt_llm_installed
from scoot_ray.load.client.dialect import forced_length
from scoot_ray.load.client.target import Target
from scoot_ray.load.figures.server_metrics import read_values, scrape
from scoot_ray.load.trace import Request, Trace
from scoot_ray.search import Config, Failed, FailureKind, Measured, Origin, Trial
from scoot_ray.study import parse_study
from tests.contract.test_engine import gone
from tests.unit.engine.test_kinds import tensorrt_llm_flags

ROOT = Path(__file__).parents[2]
FAKES = {
    "PYTHONPATH": f"{ROOT / 'tests' / 'fake_engines'}:{ROOT / 'tests' / 'fake_vllm'}",
    "FAKE_VLLM_SPEED": "10",
}
READY_S = 60.0
LAUNCHER = (
    *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", "{model}", "--host", "{host}"),
    *("--port", "{port}", "--max-num-seqs={max_num_seqs}"),
)


@dataclass(frozen=True)
class Case:
    """One kind under test, with a configuration in its own words."""

    kind: Kind
    options: EngineOptions
    config: Config

    def spec(self, folder: Path, config: Config | None = None, port: int | None = None) -> EngineSpec:
        return engine_spec(self.options, self.config if config is None else config, folder, port or free_port())


@pytest.fixture(scope="module", params=["sglang", "tensorrt-llm", "external"])
def case(request: pytest.FixtureRequest) -> Case:
    name = str(request.param)
    if name == "external":
        return external()
    config: dict[str, Config] = {
        "sglang": {"max_running_requests": 16, "disable_radix_cache": False, "enable_mixed_chunk": True},
        "tensorrt-llm": {"max_batch_size": 16, "stream_interval": 2, "kv_cache_config.enable_block_reuse": True},
    }
    return Case(KINDS[name], EngineOptions("some/model", env=FAKES, kind=name), config[name])


def external(stop_command: tuple[str, ...] = ()) -> Case:
    outside = Outside(stop_command=stop_command)
    options = EngineOptions("some/model", env=FAKES, program=LAUNCHER, kind="external", outside=outside)
    return Case(KINDS["external"], options, {"max_num_seqs": 16})


@dataclass(frozen=True)
class Running:
    case: Case
    process: EngineProcess

    @property
    def spec(self) -> EngineSpec:
        return self.process.spec


@pytest.fixture(scope="module")
def running(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    process = begin(case.spec(tmp_path_factory.mktemp("engine")))
    try:
        wait_ready(process, READY_S)
        yield Running(case, process)
    finally:
        end(process)


def post(spec: EngineSpec, body: dict[str, object]) -> list[str]:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(spec.base_url + "/v1/completions", json.dumps(body).encode(), headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        return [line for line in response.read().decode().splitlines() if line]


def test_answers_who_it_is(running: Running) -> None:
    assert server_version(running.spec.base_url, running.case.kind.version)
    length = max_model_len(running.spec.base_url)
    assert length == (None if running.case.kind.name == "tensorrt-llm" else 2048)


def test_gives_exactly_the_length_asked_for_by_the_name_it_serves(running: Running) -> None:
    name = running.case.kind.served_name(running.case.options.model, {})
    body = {"model": name, "prompt": list(range(5, 45)), "stream": True, "stream_options": {"include_usage": True}}
    *events, usage, done = post(running.spec, body | forced_length(7))
    assert done == "data: [DONE]"
    assert 1 <= len(events) <= 7
    assert json.loads(usage.removeprefix("data: "))["usage"]["completion_tokens"] == 7


def test_empties_its_prefix_cache_where_it_can(running: Running) -> None:
    path = running.case.kind.reset
    assert reset_prefix_cache(running.spec.base_url, None, path) is (running.case.kind.name == "sglang")


def test_shows_its_metrics_where_they_are_asked_for(running: Running) -> None:
    target = Target((running.spec.base_url,), "m", metrics_path=running.case.kind.metrics)
    values = read_values([scrape(target, running.spec.base_url)])
    assert ("running" in values) is (running.case.kind.name != "tensorrt-llm")


def test_an_unknown_flag_is_rejected_by_name(case: Case, tmp_path: Path) -> None:
    if case.kind.name == "external":
        pytest.skip("its flags are its command's")
    with begin(case.spec(tmp_path, {"max_seqs_of_all": 3})) as process, pytest.raises(StartFailed) as failure:
        wait_ready(process, READY_S, {"max_seqs_of_all": 3})
    assert failure.value.kind is FailureKind.REJECTED
    assert "max-seqs-of-all" in failure.value.detail or "Extra inputs are not permitted" in failure.value.detail


def test_a_taken_port_is_nobodys_fault(case: Case, running: Running, tmp_path: Path) -> None:
    if case.kind.name == "external":
        pytest.skip("shown with its stop command below")
    with begin(case.spec(tmp_path, port=running.spec.port)) as process, pytest.raises(StartFailed) as failure:
        wait_ready(process, READY_S)
    assert failure.value.kind is FailureKind.PORT_TAKEN


def test_stopping_leaves_no_process(case: Case, tmp_path: Path) -> None:
    process = begin(case.spec(tmp_path))
    wait_ready(process, READY_S)
    everything = (process.guardian_pid, *process.pids)
    end(process)
    assert gone(everything)
    assert not answers(process.spec.health_url)


def test_says_which_flags_it_takes(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if case.kind.source is None:
        pytest.skip("an external service cannot be asked")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    engine = available_flags(None, FAKES, case.kind.source)
    assert engine.version.endswith("fake")
    assert all(engine.accepts(name) for name in case.config)
    assert not engine.accepts("max_num_seqs")
    if case.kind.name == "tensorrt-llm":
        recorded = tensorrt_llm_flags()
        assert engine.names == recorded.names - {"no_telemetry"}
        assert "trust_remote_code" in engine.switches
        assert tensorrt_llm_installed(engine, 4) == tensorrt_llm_installed(recorded, 4)
    else:
        assert "disable_radix_cache" in engine.switches
        assert "experts_shared_outer_loras" not in engine.switches


def test_what_an_earlier_service_left_is_ended_and_never_measured(tmp_path: Path) -> None:
    """A launcher that leaves its service behind, as containers and batch systems do; only the stop command ends it."""
    port, folder = free_port(), tmp_path / "next"
    folder.mkdir()
    left = begin(external().spec(tmp_path, port=port))
    wait_ready(left, READY_S)
    try:
        stop = (
            sys.executable,
            "-c",
            f"import os, signal; os.kill({left.pid}, signal.SIGTERM); print('stopping {{port}}')",
        )
        process = begin(external(stop).spec(folder, port=port))
        try:
            wait_ready(process, READY_S)
            assert left.poll() is not None
        finally:
            process.stop()
        log = process.spec.log_path.read_text()
        assert f"stopping {port}" in log
        assert "stop_command ended with exit code 0" in log
    finally:
        left.stop()


def test_a_service_that_cannot_be_ended_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scoot_ray.engine.service._SILENT_S", 0.2)
    with begin(external(("no-such-program",)).spec(tmp_path)) as left:
        wait_ready(left, READY_S)
        again = external(("no-such-program",)).spec(tmp_path, port=left.spec.port)
        with pytest.raises(StartFailed, match="answers before the engine was started") as failure:
            begin(again)
        assert failure.value.kind is FailureKind.PORT_TAKEN
        assert "stop_command failed: " in left.spec.log_path.read_text()


STUDY = """
name: kinds
engine: {{kind: {kind}, model: some/model, args: {args}, env: {env}, command: {command}}}
workload: {{trace: trace.jsonl, arrivals: {{rate: 20}}, duration_s: 1.5, warmup: 1, request_timeout_s: 20}}
objectives: interactive
space:
  {name}: {{type: integer, low: 1, high: 64, default: 16}}
"""


@pytest.mark.parametrize(
    ("kind", "name", "args", "cleared"),
    [
        ("sglang", "max_running_requests", "{context_length: 2048}", True),
        ("tensorrt-llm", "max_batch_size", "{max_seq_len: 2048, return_perf_metrics: true}", False),
        ("external", "max_num_seqs", "{}", False),
    ],
)
def test_an_evaluation_is_measured_in_the_engines_own_words(kind: str, name: str, args: str, cleared: bool) -> None:
    command = json.dumps(LAUNCHER if kind == "external" else None)
    text = STUDY.format(kind=kind, name=name, args=args, env=json.dumps(FAKES), command=command)
    study = parse_study(text, "study.yaml")
    trace = Trace(tuple(Request(0.1 * i, 30 + i, 4) for i in range(20)), "trace.jsonl", "c0ffee")
    trial = Trial(1, {name: 8}, Origin.MODEL, orders=(1, 2))
    finished = evaluate(Task(study, trace, FAKES), trial, (), "here", lambda _phase: None)
    outcome = finished.observation.outcome
    if isinstance(outcome, Failed) and outcome.kind is FailureKind.CLIENT_LAGGED:
        pytest.skip(f"this machine is too busy to measure on: {outcome.detail}")
    assert isinstance(outcome, Measured), outcome
    assert outcome.metrics["error_rate"] == 0.0
    noted = json.loads(finished.files["circumstances.json"])
    assert noted["prefix_cache_cleared"] is cleared
    assert noted["max_model_len"] == 2048
    assert noted["order 1"]["server"]["samples"] >= 1
