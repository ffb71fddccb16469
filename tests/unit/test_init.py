"""scoot-ray init: from a serving command to a study that keeps every flag and no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scoot_ray.cli import main
from scoot_ray.draft import Wishes, draft_study
from scoot_ray.draft.command import Today, read_command
from scoot_ray.draft.secrecy import is_secret
from scoot_ray.draft.space import gpus_needed, split, usual_space
from scoot_ray.draft.writing import text_of
from scoot_ray.engine.catalogue import EngineFlags, Flag
from scoot_ray.engine.flags import FlagError, parse_command, quoted, serve_command, to_flags
from scoot_ray.engine.kinds import KINDS, VLLM
from scoot_ray.problem import build_problem
from scoot_ray.resolve import resolve
from scoot_ray.search import Value
from scoot_ray.study import FromEnvironment, ParameterSpec, StudyError, parse_study
from tests.unit.engine.test_flags import names, values

TRACE = "".join(f'{{"timestamp": {500 * n}, "input_length": 8, "output_length": 4}}\n' for n in range(11))
ABSENT = "absent/python"


@pytest.fixture
def trace(tmp_path: Path) -> str:
    path = tmp_path / "trace.jsonl"
    path.write_text(TRACE)
    return str(path)


def drafted(command: str, trace: str, **wishes: object) -> str:
    wanted = Wishes(trace, python=ABSENT, **wishes)  # type: ignore[arg-type]  # tests name what they wish
    return text_of(draft_study(read_command(command), wanted, 0, Path("study.yaml")).draft)


@pytest.mark.parametrize(
    "command",
    [
        "vllm serve org/m -tp 2 --max-num-seqs 64",
        "VLLM_A=1 /opt/vllm/bin/vllm serve org/m -tp 2 --max-num-seqs=64",
        "export VLLM_A=1; exec python3 -m vllm.entrypoints.openai.api_server --model org/m -tp 2 --max-num-seqs 64",
        "vllm serve \\\n  org/m \\\n  -tp 2 \\\n  --max-num-seqs 64\n",
        "vllm serve -tp 2 --max-num-seqs 64 org/m  # as of May",
        "python -m vllm.entrypoints.openai.api_server --model=org/m -tp 2 --max-num-seqs 64 --port 80 --host 0.0.0.0",
    ],
)
def test_commands_people_have(command: str) -> None:
    today = read_command(command)
    assert today.model == "org/m"
    assert today.flags == {"tensor_parallel_size": 2, "max_num_seqs": 64}
    assert gpus_needed(today.flags, VLLM.parallel) == 2


@pytest.mark.parametrize(
    ("command", "kind", "python"),
    [
        ("python -m sglang.launch_server --model-path org/m --tp 2 --max-running-requests 64", "sglang", None),
        ("sglang serve --model org/m --tensor-parallel-size=2 --max-running-requests 64", "sglang", None),
        (
            "X=1 /opt/s/bin/sglang serve org/m --tp-size 2 --max-running-requests 64 --port 3",
            "sglang",
            "/opt/s/bin/python",
        ),
        ("trtllm-serve org/m --tp_size 2 --max_batch_size 64", "tensorrt-llm", None),
        ("/opt/t/bin/trtllm-serve serve org/m --tp_size 2 --max_batch_size 64", "tensorrt-llm", "/opt/t/bin/python"),
        (
            "python3 -m tensorrt_llm.commands.serve org/m --tensor_parallel_size 2 --max_batch_size 64",
            "tensorrt-llm",
            None,
        ),
    ],
)
def test_commands_of_other_engines(command: str, kind: str, python: str | None) -> None:
    today = read_command(command)
    limit = {"sglang": "max_running_requests", "tensorrt-llm": "max_batch_size"}[kind]
    assert (today.model, today.kind, today.python) == ("org/m", kind, python)
    assert today.flags == {"tp_size": 2, limit: 64}
    assert gpus_needed(today.flags, KINDS[kind].parallel) == 2


@pytest.mark.parametrize(
    ("command", "searched", "args", "rules"),
    [
        (
            (
                "python -m sglang.launch_server --model-path org/m --tp 2 --max-running-requests 64 "
                "--context-length 4096 --disable-radix-cache --quantization fp8 --api-key s3cr3t"
            ),
            {"tp_size": 2, "max_running_requests": 64, "disable_radix_cache": True},
            {"context_length": 4096, "quantization": "fp8"},
            ("tp_size * dp_size <= gpus",),
        ),
        (
            (
                "trtllm-serve org/m --tp_size 2 --max_batch_size 64 --max_seq_len 4096 --backend pytorch "
                "--kv_cache_free_gpu_memory_fraction 0.8 --kv_cache_config.enable_block_reuse=False"
            ),
            {
                "tp_size": 2,
                "max_batch_size": 64,
                "kv_cache_free_gpu_memory_fraction": 0.8,
                "kv_cache_config.enable_block_reuse": False,
            },
            {"max_seq_len": 4096, "backend": "pytorch"},
            (
                "max_num_tokens >= max_batch_size",
                "enable_chunked_prefill or max_num_tokens >= max_seq_len",
                "tp_size * pp_size <= gpus",
            ),
        ),
    ],
)
def test_studies_for_other_engines(
    command: str, searched: dict[str, Value], args: dict[str, Value], rules: tuple[str, ...], trace: str, tmp_path: Path
) -> None:
    out = tmp_path / "mine.yaml"
    arguments = ["init", "--from-command", command, "--trace", trace, "--python", ABSENT, "-o", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "s3cr3t" not in out.read_text() + done.output
    assert CliRunner().invoke(main, ["validate", str(out)]).exit_code == 0
    study = parse_study(out.read_text(), str(out))
    assert study.engine.kind == read_command(command).kind
    assert study.engine.args == args
    assert study.resources.gpus == 2
    assert study.constraints == rules
    problem = build_problem(study, None, out)
    assert problem.baseline == problem.space.default
    assert problem.space.default is not None
    assert {name: problem.space.default[name] for name in searched} == searched
    assert len(problem.space.names) >= 8


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("", "no command that serves"),
        (
            "sglang generate --model-path m",
            "expected 'vllm serve MODEL .*'sglang serve --model-path .*'trtllm-serve MODEL",
        ),
        ("python -m sglang.bench_serving", "no command that serves a model with vLLM, SGLang or TensorRT-LLM"),
        ("trtllm-serve disaggregated -c f", "no command that serves"),
        ("trtllm-serve", "no model is named"),
        (
            "trtllm-serve m --extra_llm_api_options f.yaml",
            "--extra-llm-api-options: its file is not read; write what it",
        ),
        ("sglang serve m --nnodes 2", "--nnodes: an evaluation has one node; engine.kind: external"),
        ("docker run vllm/vllm-openai --model m", "no command that serves"),
        ("vllm bench serve", "no command that serves"),
        ("vllm serve", "no model is named"),
        ("vllm serve $MODEL", "is for a shell"),
        ("vllm serve m --x 1 > log", "is for a shell"),
        ("vllm serve m --x `id`", "is for a shell"),
        ("vllm serve m --x $(id)", "is for a shell"),
        ("vllm serve m --x 1 && reboot", "is for a shell"),
        ("vllm serve 'm", "cannot be split"),
        ("vllm serve m -z 1", "cannot read '-z'"),
    ],
)
def test_what_is_no_plain_command_is_refused_in_one_line(command: str, said: str) -> None:
    with pytest.raises(FlagError, match=said) as caught:
        read_command(command)
    assert "\n" not in str(caught.value)


SECRETS = ("s3cr3t-value", "hf_abcdefghijklmnopqrst", "sk-abcdefghijklmnopqrst", "pass9word")


@pytest.mark.parametrize(
    "command",
    [
        "HF_TOKEN={} vllm serve m",
        "VLLM_API_KEY={} AWS_SECRET_ACCESS_KEY={} vllm serve m",
        "vllm serve m --api-key {} --max-num-seqs 8",
        "vllm serve m --api-key={}",
        "vllm serve m --api-key one {}",
        "vllm serve m --hf-token {}",
        "vllm serve m --my-secret {} --max-num-seqs 8",
        'vllm serve m --kv-transfer-config \'{{"auth_token": "{}"}}\'',
        "vllm serve m --otlp-traces-endpoint http://me:{}@host/",
        "HTTPS_PROXY=http://me:{}@proxy vllm serve m",
        "vllm serve m --x {} --api-key={}",
        "vllm serve m --api-key {}$X",
    ],
)
def test_no_secret_is_written_or_said(command: str, trace: str, tmp_path: Path) -> None:
    for secret in SECRETS if "--x" not in command else SECRETS[1:3]:  # a plain flag's value must look like one
        out = tmp_path / "study.yaml"
        filled = command.format(*[secret] * command.count("{}"))
        arguments = ["init", "--from-command", filled, "--trace", trace, "--python", ABSENT, "-o", str(out)]
        done = CliRunner().invoke(main, arguments)
        text = out.read_text() if out.exists() else ""
        out.unlink(missing_ok=True)
        assert not any(one in text + done.output for one in SECRETS), done.output
        assert done.exit_code == 0, done.output


def test_secrets_come_from_the_environment(trace: str) -> None:
    study = parse_study(drafted("HF_TOKEN=abc X_KEY=$MINE A=b vllm serve m", trace), "study.yaml")
    assert study.engine.env == {
        "A": "b",
        "HF_TOKEN": FromEnvironment(from_env="HF_TOKEN"),
        "X_KEY": FromEnvironment(from_env="MINE"),
    }


def test_what_a_study_cannot_hold_is_left_out_and_said() -> None:
    today = read_command("vllm serve m --lora-modules a=1 b=2 --served-model-name one two --port 80")
    assert today.flags == {"served_model_name": "one"}
    assert any(note.startswith("warning: --lora-modules: left out; it has 2 values") for note in today.notes)
    assert "port: left out; every evaluation sets them for itself" in today.notes


kept_names = names.filter(lambda name: name not in VLLM.own and not is_secret(name, ""))
kept_values = values.filter(lambda value: not isinstance(value, str) or not (set(value) & set("$`|&;<>()")))
TUNABLE: dict[str, st.SearchStrategy[Value]] = {
    "max_num_seqs": st.integers(1, 100_000),
    "max_num_batched_tokens": st.integers(1, 100_000),
    "tensor_parallel_size": st.integers(1, 4),
    "enable_prefix_caching": st.booleans(),
    "enable_chunked_prefill": st.booleans(),
    "max_model_len": st.integers(16, 100_000),
}


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(kept_names, kept_values, max_size=5), st.fixed_dictionaries({}, optional=TUNABLE))
def test_command_to_study_to_configuration_to_command_keeps_every_flag(
    trace: str, others: dict[str, Value], tunable: dict[str, Value]
) -> None:
    flags = {name: value for name, value in others.items() if not is_secret(name, str(value))} | tunable
    written = drafted("vllm serve org/m " + quoted(to_flags(flags)), trace)
    study = parse_study(written, "study.yaml")
    problem = build_problem(study, None, Path("study.yaml"))
    assert problem.space.default is not None
    command = serve_command(study.engine.model, study.engine.args, problem.space.default)
    back = parse_command(command[2:])
    assert back.model == "org/m"
    assert {name: back.flags[name] for name in flags} == flags
    assert problem.baseline is None or problem.baseline == problem.space.default


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_text_gives_anything_but_a_command_or_one_line(text: str) -> None:
    for command in (text, f"vllm serve m {text}"):
        try:
            assert isinstance(read_command(command), Today)
        except FlagError as error:
            assert len(str(error).splitlines()) == 1  # noqa: PT017 - either outcome is fine


def test_ranges_are_widened_to_hold_what_runs_today() -> None:
    space = usual_space(1) | {"block_size": ParameterSpec(type="choice", values=(16, 64), default=16)}
    parts = split({"max_num_seqs": 4, "max_num_batched_tokens": 99_999, "block_size": 32, "x": 1}, space)
    assert (parts.space["max_num_seqs"].low, parts.space["max_num_seqs"].default) == (4, 4)
    assert parts.space["max_num_batched_tokens"].high == 99_999
    assert parts.space["block_size"].values == (16, 32, 64)
    assert parts.args == {"x": 1}


def test_a_value_between_powers_of_two_makes_the_scale_a_finer_one() -> None:
    size = ParameterSpec(type="integer", low=512, high=16384, scale="powers_of_two", default=4096)
    found = [split({"size": value}, {"size": size}).space["size"] for value in (2048, 5000)]
    assert [(one.scale, one.default) for one in found] == [("powers_of_two", 2048), ("log", 5000)]


def test_a_value_of_another_kind_stays_an_argument() -> None:
    parts = split({"max_num_seqs": "auto", "enable_chunked_prefill": "False"}, usual_space(0))
    assert parts.args == {"max_num_seqs": "auto"}
    assert "max_num_seqs" not in parts.space
    assert parts.space["enable_chunked_prefill"].default is False


def test_the_written_study_is_valid_and_has_the_traces_rate(tmp_path: Path, trace: str) -> None:
    out = tmp_path / "mine.yaml"
    command = "CUDA_VISIBLE_DEVICES=0,1 vllm serve org/My_Model -tp 2 --max-num-seqs 64 --dtype half --novel 1"
    arguments = ["init", "--from-command", command, "--trace", trace, "--python", ABSENT, "-o", str(out)]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"wrote {out}; next: scoot-ray validate {out}\n"
    assert "no engine was asked, so the flags are kept unchecked" in done.stderr
    assert CliRunner().invoke(main, ["validate", str(out)]).exit_code == 0
    study = parse_study(out.read_text(), str(out))
    assert study.name == "My_Model"
    assert study.workload.arrivals.rate == 2.0
    assert study.resources.gpus == 2
    assert study.engine.args == {"dtype": "half", "novel": 1}
    assert study.baseline == "--tensor-parallel-size 2 --max-num-seqs 64"
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2
    assert "is there already, and is not overwritten" in again.stderr


def test_a_model_alone_will_do(tmp_path: Path, trace: str) -> None:
    out = tmp_path / "mine.yaml"
    arguments = ["init", "--model", "org/m", "--trace", trace, "--python", ABSENT, "--gpus", "1", "-o", str(out)]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    study = parse_study(out.read_text(), str(out))
    assert study.baseline is None
    assert study.engine.args == {}
    assert study.resources.gpus == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--trace", "absent.jsonl", "--model", "m"], "absent.jsonl"),
        (["--trace", "{trace}"], "give --from-command"),
        (["--trace", "{trace}", "--model", "m", "--from-command", "vllm serve m"], "give --from-command"),
        (["--trace", "{trace}", "--from-command", "rm -rf /"], "--from-command: this is no command"),
        (["--trace", "{trace}", "--model", "m", "--name", "../up"], "name: '../up'"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    arguments: list[str], said: str, trace: str, tmp_path: Path
) -> None:
    out = tmp_path / "mine.yaml"
    given = [one.format(trace=trace) for one in arguments]
    done = CliRunner().invoke(main, ["init", *given, "--python", ABSENT, "-o", str(out)])
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_a_trace_without_times_needs_a_rate(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text('{"timestamp": 0, "input_length": 8, "output_length": 4}\n' * 3)
    with pytest.raises(StudyError, match="give --rate"):
        drafted("vllm serve m", str(path))
    assert "rate: 3}" in drafted("vllm serve m", str(path), rate=3.0)


def test_the_engine_here_gives_the_space_and_refuses_what_it_has_not(
    trace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flag(name: str, default: Value | None = None, takes_value: bool = True) -> Flag:
        return Flag(name, None, (), default, takes_value=takes_value, negatable=not takes_value)

    installed = EngineFlags(
        "0.32.0",
        (
            *(flag("max_num_seqs"), flag("max_num_batched_tokens"), flag("max_model_len"), flag("dtype", "auto")),
            flag("enable_prefix_caching", takes_value=False),
        ),
    )
    for module in ("scoot_ray.draft", "scoot_ray.resolve"):
        monkeypatch.setattr(f"{module}.available_flags", lambda *_, **__: installed)
    python = tmp_path / "python"
    python.touch()
    today = read_command("vllm serve m --max-num-seqs 32 --dtype half --frobnicate 3 --max-model-len 512")
    found = draft_study(today, Wishes(trace, python=str(python)), 0, tmp_path / "study.yaml")
    assert set(found.draft.space) >= {"max_num_seqs", "max_num_batched_tokens"}
    assert found.draft.args == {"dtype": "half", "max_model_len": 512}
    assert found.draft.gpus == 0  # an engine works here, and no GPU does
    assert any("frobnicate: vllm 0.32.0 has no such flag" in line for line in found.said)
    text = text_of(found.draft)
    assert "    # frobnicate: 3  # vllm 0.32.0 has no such flag" in text
    resolved = resolve(parse_study(text, "study.yaml"), tmp_path / "study.yaml")
    assert resolved.problem.space.default is not None
    assert resolved.problem.space.default["max_num_seqs"] == 32
