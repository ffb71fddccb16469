"""Every mistake in a study gives one line: file, key, value, what is allowed."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scoot_ray.estimate import evaluation_s
from scoot_ray.load.capacity.probing import EVALUATION_PROBES
from scoot_ray.problem import rate_slos
from scoot_ray.resolve import resolve
from scoot_ray.study import Study, StudyError, parse_study, read_study
from tests.fakes import STUDY

TRACE = '{"timestamp": 0, "input_length": 8, "output_length": 4}\n' * 3


def write(folder: Path, text: str) -> Path:
    (folder / "trace.jsonl").write_text(TRACE)
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def changed(path: str, value: object) -> str:
    document = yaml.safe_load(STUDY)
    *sections, key = path.split("/")
    node = document
    for section in sections:
        node = node.setdefault(section, {})
    node[key] = value
    return yaml.safe_dump(document)


def complaint(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(StudyError) as caught:
        resolve(read_study(path), path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("engine/model", "--help", "engine: model: '--help' is no name"),
        ("engine/model", "a\nb", "engine: model: 'a\\nb' is no name"),
        ("engine/env", {"X; rm -rf /": "1"}, "engine: env: 'X; rm -rf /' is no name of a variable"),
        ("engine/env", {"X": {"from_env": "$(id)"}}, "engine.env.X"),
        ("engine/env", {"X": "a\0b"}, "engine: env.X: no text with a NUL character"),
        ("engine/args", {"a b; c": 1}, "engine: args: 'a b; c' is no name of a flag"),
        ("engine/args", {"tokenizer": "\0"}, "engine: args.tokenizer: no text with a NUL character"),
        ("engin", {}, "engin: unknown key; did you mean 'engine'?"),
        ("workload/arivals", {}, "workload.arivals: unknown key; did you mean 'arrivals'?"),
        ("workload/arrivals/rate", 0, "workload.arrivals.rate: 0: input should be greater than 0"),
        ("workload/arrivals/rate", "five", "workload.arrivals.rate: 'five': input should be a valid number"),
        ("workload/arrivals/rate", float("nan"), "workload.arrivals.rate: nan: input should be a finite number"),
        ("workload/arrivals", {"process": "poisson"}, "workload.arrivals: process: poisson needs rate"),
        ("workload/arrivals", {"process": "ramp", "rate": 2}, "workload.arrivals: end_rate"),
        ("workload/arrivals", {"process": "poisson", "rate": 2, "end_rate": 3}, "workload.arrivals: end_rate"),
        ("workload/sessions", "together", "workload.sessions: 'together'"),
        ("workload/think_s", -1, "workload.think_s: -1"),
        ("workload/arrivals", {"process": "recorded", "rate": 2}, "workload.arrivals: process: recorded takes no rate"),
        ("workload/duration_s", -1, "workload.duration_s: -1: input should be greater than 0"),
        ("workload/trace", "nowhere.jsonl", "nowhere.jsonl"),
        ("workload/skip_rows", 9, "offset 9"),
        ("workload/too_long", "cut", "workload.too_long: 'cut': input should be 'drop' or 'clip'"),
        ("objectives", "fast", "objectives: 'fast': input should be 'throughput', 'tail_latency' or 'interactive'"),
        ("objectives", [{"metric": "mean_tftt_ms", "direction": "minimize"}], "did you mean mean_ttft_ms"),
        ("slos", ["ttft<500ms"], "slos: SLO 'ttft<500ms': say which statistic"),
        ("space/max_num_seqs/low", 128, "space.max_num_seqs: max_num_seqs: integers need low <= high"),
        ("space/max_num_seqs/default", 65, "space: max_num_seqs = 65; allowed: integers from 1 to 64"),
        ("space/max_num_seqs/default", None, "space.max_num_seqs.default: missing"),
        ("space/max_num_batched_tokens/default", 32, "breaks the constraint 'max_num_batched_tokens >= max_num_seqs'"),
        ("space/enable_prefix_caching/low", 0, "space.enable_prefix_caching: type boolean takes neither"),
        ("constraints", ["max_num_seqs >="], "space: "),
        ("constraints", ["max_num_sequences > 1"], "max_num_sequences"),
        ("constraints", ["__import__('os')"], "space: "),
        ("budget/observations", 0, "budget.observations: 0: input should be greater than 0"),
        ("budget/observations", True, "budget.observations: True: input should be a valid integer"),
        ("engine/kind", "tgi", "engine.kind: 'tgi': input should be 'vllm', 'sglang', 'tensorrt-llm', 'external' or"),
        ("engine/command", ["serve"], "engine: command goes with kind: external"),
        ("engine/ready_url", "http://a/health", "engine: ready_url goes with kind: external"),
        ("engine/kind", "external", "engine: kind: external needs command"),
        ("engine/kind", "simulated", "engine: kind: simulated needs hardware"),
        ("engine/hardware", {"accelerator": "A100-80G"}, "engine: hardware goes with kind: simulated"),
        ("engine/noise", 0.1, "engine: noise goes with kind: simulated"),
        ("engine/args", {"max-num-seqs": 4}, "engine.args.max_num_seqs: is in the search space too"),
        ("engine/args", {"port": 8000}, "port: every evaluation sets this flag for itself"),
        ("engine/args", {"api-key": "x"}, "api_key: every evaluation sets this flag for itself"),
        (
            "engine/args",
            {"tensor-parallel-size": "auto"},
            "engine.args.tensor_parallel_size: 'auto': allowed are integers",
        ),
        ("slos", ["request_goodput>5"], "slos: request_goodput: needs slos on ttft, tpot or e2el"),
        ("slos", ["max_rate_under_slo>5"], "slos: max_rate_under_slo: needs slos that limit the rate"),
        ("slos", ["request_throughput_per_gpu>5"], "slos: request_throughput_per_gpu: needs resources.gpus"),
        ("budget/deadline", "soon", "budget.deadline: 'soon': "),
        ("engine/args", {"tensor-parallel-size": 2}, "resources.gpus: 0: engine.args ask for 2 GPUs"),
        ("baseline", "--max-num-seqs 3000", "baseline: max_num_seqs"),
        ("baseline", "--block-size 16", "baseline: --block-size: not in the space"),
        ("baseline", "--max-num-seqs '", "baseline: cannot split"),
        ("tuner", "magic", "tuner: 'magic' is not available; choose one of"),
        ("name", "../up", "name: '../up': use up to 64 letters"),
        ("parallelism", 0, "parallelism: 0: input should be greater than 0"),
        ("warm_start", ["runs/other"], "warm_start: runs/other: not the folder of a run"),
        (
            "warm_start",
            "runs/other",
            "warm_start: 'runs/other': should be a list of other runs' folders, such as [runs/",
        ),
        ("warm_start", {"run": "a"}, "warm_start: should be a list of other runs' folders, such as [runs/chat-13b]"),
        ("warm_start", [3], "warm_start.0: 3: input should be a valid string"),
        ("slos", "error_rate<1%", "slos: 'error_rate<1%': should be a list"),
        ("budget/patience", 0, "budget.patience: 0: input should be greater than 0"),
        ("budget/patience", {}, "budget.patience: give a number of observations, or expected_gain"),
        ("budget/patience", {"expected_gain": 2}, "budget.patience.expected_gain: 2"),
        ("schema_version", 2, "schema_version: 2: input should be 1"),
        ("seed", -1, "seed: -1: input should be greater than or equal to 0"),
    ],
)
def test_a_mistake_is_named_with_key_value_and_what_is_allowed(
    tmp_path: Path, key: str, value: object, said: str
) -> None:
    assert said in complaint(tmp_path, changed(key, value))


EXTERNAL = {
    "kind": "external",
    "model": "m",
    "command": ["serve", "{port}", "{max_num_seqs}", "{max_num_batched_tokens}"],
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "engine.command: has no {enable_prefix_caching}: that parameter would change nothing"),
        ({"command": ["serve", "{seqs}"]}, "engine.command: {seqs}: unknown placeholder; allowed are {model}, {host},"),
        ({"command": []}, "engine: kind: external needs command"),
        ({"stop_command": ["stop", "{job}"]}, "engine.stop_command: {job}: unknown placeholder"),
        ({"base_url": "router:8000"}, "engine: base_url: 'router:8000' is no URL"),
        (
            {"ready_url": "http://{node}:1/"},
            "engine.ready_url: {node}: unknown placeholder; allowed are {host}, {port}",
        ),
        ({"python": "py"}, "engine: python goes with other kinds"),
        ({"api_key_variable": "KEY"}, "engine: api_key_variable: 'KEY' is not in env"),
        ({"args": {"port": 1}}, "port: every evaluation sets this flag for itself"),
        ({"dialect": "tgi"}, "engine.dialect: 'tgi': input should be 'vllm', 'sglang' or 'trtllm'"),
    ],
)
def test_a_mistake_in_an_external_engine_is_named(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    assert said in complaint(tmp_path, changed("engine", {**EXTERNAL, **changes}))


def test_an_external_engines_words_that_name_files_are_made_absolute(tmp_path: Path) -> None:
    command = [
        "./launch.sh",
        "{max_num_seqs}",
        "{max_num_batched_tokens}",
        "{enable_prefix_caching}",
        "launch.sh",
        "a/b",
    ]
    path = write(tmp_path, changed("engine", {**EXTERNAL, "command": command}))
    (tmp_path / "launch.sh").touch()
    resolved = resolve(read_study(path), path)
    assert resolved.study.engine.command == (str(tmp_path / "launch.sh"), *command[1:])
    assert [line for line in resolved.warnings if "cannot be asked for its flags" in line]


@pytest.mark.parametrize(
    ("kind", "space", "said"),
    [
        ("vllm", "sglang", "space: 'sglang' is not for engine.kind vllm"),
        ("sglang", "vllm", "space: 'vllm' is not for engine.kind sglang"),
        ("sglang", "sglang", "space: 'sglang' asks the engine, and engine.python elsewhere/bin/python is not here"),
    ],
)
def test_a_named_space_goes_with_its_engine(tmp_path: Path, kind: str, space: str, said: str) -> None:
    document = yaml.safe_load(changed("space", space))
    document["engine"]["kind"] = kind
    assert said in complaint(tmp_path, yaml.safe_dump(document))


@pytest.mark.parametrize(("kind", "flag"), [("sglang", "model_path"), ("tensorrt-llm", "extra_llm_api_options")])
def test_every_kind_keeps_its_own_flags_to_the_evaluation(tmp_path: Path, kind: str, flag: str) -> None:
    document = yaml.safe_load(changed("engine/kind", kind))
    document["engine"]["args"] = {flag: "x"}
    assert f"{flag}: every evaluation sets this flag for itself" in complaint(tmp_path, yaml.safe_dump(document))


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    document = yaml.safe_load(STUDY)
    del document["engine"]
    assert complaint(tmp_path, yaml.safe_dump(document)) == "engine: missing; it is required"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [", "not valid YAML"),
        ("- a\n- b\n", "a study is a mapping"),
        ("", "a study is a mapping"),
        ("name: a\nname: b\n", "'name' is given twice"),
        ("name: !!python/object/apply:os.system ['true']\n", "not valid YAML"),
    ],
)
def test_what_is_no_study_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(StudyError) as caught:
        read_study(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=60))
def test_no_text_gives_anything_but_a_study_or_a_study_error(text: str) -> None:
    with contextlib.suppress(StudyError):
        parse_study(text, "study.yaml")


MOST_RATE = [{"metric": "max_rate_under_slo", "direction": "maximize"}]


def test_the_highest_rate_needs_slos_that_limit_it_and_a_rate_to_raise(tmp_path: Path) -> None:
    document = {**yaml.safe_load(STUDY), "objectives": MOST_RATE}
    alone = complaint(tmp_path, yaml.safe_dump(document))
    assert alone == ("objectives: max_rate_under_slo: needs slos that limit the rate, such as 'ttft:p99<500ms'")
    document["slos"] = ["ttft:p50<500ms", "max_rate_under_slo>=2"]
    workload = {**document["workload"], "arrivals": {"process": "recorded"}}
    assert "needs workload.arrivals with a rate: one of poisson" in complaint(
        tmp_path, yaml.safe_dump({**document, "workload": workload})
    )
    document["resources"] = {"gpus": 2}
    mixed = {**document, "slos": ["request_throughput_per_gpu>1"]}
    assert "cannot be limited by request_throughput_per_gpu>1" in complaint(tmp_path, yaml.safe_dump(mixed))
    path = write(tmp_path, yaml.safe_dump(document))
    resolved = resolve(read_study(path), path)
    assert [str(slo) for slo in rate_slos(resolved.problem)] == ["p50_ttft_ms<500"]


def test_the_search_for_the_highest_rate_is_in_the_estimate(tmp_path: Path) -> None:
    document = {**yaml.safe_load(STUDY), "slos": ["ttft:p50<500ms"]}
    usual, searching = (
        read_study(write(tmp_path, yaml.safe_dump({**document, "objectives": objectives})))
        for objectives in ("throughput", MOST_RATE)
    )
    assert rate_slos(resolve(usual, tmp_path / "study.yaml").problem) == ()
    more_s = evaluation_s(searching) - evaluation_s(usual)
    assert more_s == (EVALUATION_PROBES - 1) * usual.workload.duration_s


def test_dashes_and_underscores_are_the_same(tmp_path: Path) -> None:
    document = yaml.safe_load(STUDY)
    document["space"] = {name.replace("_", "-"): spec for name, spec in document["space"].items()}
    document["engine"]["args"] = {"max-model-len": 64}
    path = write(tmp_path, yaml.safe_dump(document, sort_keys=False))
    resolved = resolve(read_study(path), path)
    assert resolved.problem.space.names == ("max_num_seqs", "max_num_batched_tokens", "enable_prefix_caching")
    assert resolved.study.engine.args == {"max_model_len": 64}


def test_a_resolved_study_is_a_study_that_resolves_to_itself(tmp_path: Path) -> None:
    path = write(tmp_path, changed("baseline", "--max-num-seqs 8"))
    once = resolve(read_study(path), path)
    text = yaml.safe_dump(once.study.model_dump(mode="json", exclude_none=True), sort_keys=False)
    elsewhere = tmp_path / "runs" / "study.yaml"
    elsewhere.parent.mkdir()
    elsewhere.write_text(text)
    again = resolve(read_study(elsewhere), elsewhere)
    assert again.study == once.study
    assert again.problem == once.problem


def test_a_deadline_survives_the_round_trip(tmp_path: Path) -> None:
    path = write(tmp_path, changed("budget/deadline", "2030-01-02T03:04:05+01:00"))
    once = resolve(read_study(path), path).study
    path.write_text(yaml.safe_dump(once.model_dump(mode="json", exclude_none=True)))
    assert read_study(path).budget.deadline == once.budget.deadline
    assert once.budget.deadline is not None


def test_secrets_are_named_never_held(tmp_path: Path) -> None:
    path = write(tmp_path, changed("engine/env", {"HF_TOKEN": {"from_env": "MY_TOKEN"}}))
    document = resolve(read_study(path), path).study.model_dump(mode="json")
    assert document["engine"]["env"] == {"HF_TOKEN": {"from_env": "MY_TOKEN"}}


def test_too_few_requests_for_a_percentile_are_warned_of(tmp_path: Path) -> None:
    path = write(tmp_path, changed("slos", ["ttft:p99<500ms"]))
    warnings = resolve(read_study(path), path).warnings
    assert any("p99_ttft_ms" in warning and "500" in warning for warning in warnings)


def test_the_examples_in_the_repository_are_valid() -> None:
    for path in sorted((Path(__file__).parents[2] / "studies").rglob("*.yaml")):
        assert isinstance(read_study(path), Study), path


FAKE_ENGINE = {"model": "fake-model", "env": {"PYTHONPATH": str(Path(__file__).parents[1] / "fake_vllm")}}


@pytest.mark.parametrize("length", [None, 2048])
def test_the_installed_engine_is_asked_what_it_can_be_tuned_on(tmp_path: Path, length: int | None) -> None:
    document = {**yaml.safe_load(STUDY), "space": "vllm", "constraints": [], "engine": FAKE_ENGINE}
    if length is not None:
        document["engine"] = {**FAKE_ENGINE, "args": {"max-model-len": length}}
    path = write(tmp_path, yaml.safe_dump(document))
    resolved = resolve(read_study(path), path)
    assert {"max_num_seqs", "max_num_batched_tokens"} <= set(resolved.problem.space.names)
    assert "max_num_batched_tokens >= max_num_seqs" in resolved.problem.space.constraints
    assert set(resolved.problem.space.default or {}) == set(resolved.problem.space.names)


def test_the_papers_space_needs_the_models_length(tmp_path: Path) -> None:
    document = {**yaml.safe_load(STUDY), "space": "vllm-0.4.2", "constraints": []}
    assert "engine.args.max_model_len: missing" in complaint(tmp_path, yaml.safe_dump(document))
    document["engine"]["args"] = {"max-model-len": 4096}
    document["resources"] = {"gpus": 4}
    path = write(tmp_path, yaml.safe_dump(document))
    space = resolve(read_study(path), path).problem.space
    assert space.dimension == 9
    assert not space.violated(space.default or {})
