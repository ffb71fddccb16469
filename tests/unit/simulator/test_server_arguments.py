"""The simulated server's command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoot_ray.simulator.boot import Machine
from scoot_ray.simulator.fitted import Fitted
from scoot_ray.simulator.server.arguments import Options, read_arguments
from scoot_ray.simulator.server.faults import Fault, parse_fault
from scoot_ray.simulator.server.tokens import prefix_keys, tokenize

A100 = ("--model", "Llama-2-7b-hf", "--sim-accelerator", "A100-80G")


def read(*words: str) -> Options:
    return read_arguments([*A100, *words])


def test_its_own_flags_and_the_engines_are_told_apart() -> None:
    options = read(
        *("--port", "8123", "--sim-gpus", "2", "--max-num-seqs", "64", "--no-enable-prefix-caching", "-tp", "2"),
        *("--sim-noise", "0.02", "--sim-fault", "crash@1.5", "--gpu-memory-utilization=0.85"),
    )
    assert options.config == {
        "max_num_seqs": 64,
        "enable_prefix_caching": False,
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.85,
    }
    assert isinstance(options.service.machine, Machine)
    assert options.service.machine.gpus == 2
    assert (options.port, options.service.noise, options.fault) == (8123, 0.02, Fault("crash", 1.5))
    assert options.served_name == "Llama-2-7b-hf"


def test_a_measured_machine_needs_no_accelerator(tmp_path: Path) -> None:
    fitted = Fitted(1e-3, 0.0, 1e-5, 0.0, 0.0, kv_cache_bytes=1e9)
    fitted.write(tmp_path / "fitted.json")
    options = read_arguments(["--model", "Llama-2-7b-hf", "--sim-calibration", str(tmp_path / "fitted.json")])
    assert options.service.machine == fitted


def test_the_key_stays_out_of_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "from the environment")
    assert read().api_key == "from the environment"
    options = read("--api-key", "given")
    assert options.api_key == "given"
    assert "given" not in repr(options)


def test_a_slow_start_takes_longer() -> None:
    assert read("--sim-start-s", "0.1", "--sim-fault", "slow-start@30").start_s == pytest.approx(30.1)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--max-num-seqs", "many"), "argument --max-num-seqs: invalid int value: 'many'"),
        (("--max-num-seqs", "1.5"), "argument --max-num-seqs: invalid int value: '1.5'"),
        (("--max-num-seqs",), "argument --max-num-seqs: invalid int value: 'True'"),
        (("--tensor-parallel-size", "0"), "argument --tensor-parallel-size: invalid value: 0"),
        (("--block-size", "24"), "argument --block-size: invalid choice: 24 (choose from 16, 32, 64, 128)"),
        (("--enforce-eager", "yes"), "argument --enforce-eager: takes no value, got 'yes'"),
        (("--sim-fault", "flood"), "'flood': allowed are crash, oom, hang,"),
        (("--sim-fault", "crash@soon"), "'soon' is no number of seconds"),
        (("--sim-gpus", "0"), "--sim-gpus"),
        (("--model", "gpt-9"), "'gpt-9': allowed are meta-llama/Llama-2-7b-hf"),
        (("--sim-calibration", "fitted.json"), "not allowed with argument --sim-accelerator"),
        (("word",), "unrecognized arguments: word"),
        (("--enforce-eager", "--max-num-seqs", "8", "word"), "cannot read 'word' as a flag"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        read(*words)
    assert end.value.code == 2
    assert says in capsys.readouterr().err.splitlines()[-1]


def test_unknown_accelerators_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--model", "Llama-2-7b-hf", "--sim-accelerator", "A1000"])
    assert "'A1000': allowed are A10, A100-40G" in capsys.readouterr().err


def test_a_fault_without_seconds_is_at_once() -> None:
    assert parse_fault("stream-error") == Fault("stream-error", 0.0)


def test_four_characters_are_a_token() -> None:
    assert len(tokenize("x" * 9, 32000)) == 3
    assert tokenize("abcdefgh", 32000)[:1] == tokenize("abcd", 32000)
    assert all(3 <= token < 100 for token in tokenize("A clear morning, then rain." * 20, 100))


def test_prefixes_are_named_by_all_that_comes_before() -> None:
    one, other = list(range(40)), [*range(20), 99, *range(21, 40)]
    keys, others = prefix_keys(one, 8, ""), prefix_keys(other, 8, "")
    assert len(set(keys)) == 5
    assert [a == b for a, b in zip(keys, others, strict=True)] == [True, True, False, False, False]
    assert not {*keys} & {*prefix_keys(one, 8, "salt")}
    assert prefix_keys(one[:7], 8, "") == []
