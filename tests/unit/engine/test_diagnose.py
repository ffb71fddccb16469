from __future__ import annotations

import io
import pickle
from collections.abc import Iterator

import pytest

from scoot_ray.engine.diagnose import Phase, diagnose
from scoot_ray.engine.diagnose.lines import read_lines, statements
from scoot_ray.engine.diagnose.rules import RULES
from scoot_ray.engine.diagnose.stall import stalled
from scoot_ray.engine.ready import StartFailed
from scoot_ray.search.trial import FailureKind as Kind

CORE = "(EngineCore pid=391) ERROR 11-23 10:41:05 [core.py:1510] "
LAST_WORDS = (
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"
)
NOISE = """\
Triton is installed, but doesn't include CPU backend. Disabling Triton.
/site-packages/vllm/api_server.py:24: DeprecationWarning: deprecated, will likely be unsupported in a future version.
(APIServer pid=26) WARNING 11-23 10:41:53 [system_utils.py:255] `OSError: [Errno 24] Too many open files` may follow
(APIServer pid=26) INFO 11-23 10:40:30 [model.py:733] float64 is not supported, using bfloat16
"""
TRACEBACK = f"""\
{CORE}EngineCore failed to start.
{CORE}Traceback (most recent call last):
{CORE}  File "/site-packages/vllm/v1/engine/core.py", line 1482, in run_engine_core
{CORE}    raise MemoryError("an unused branch")
"""


@pytest.mark.parametrize(
    ("code", "line", "kind"),
    [
        (
            1,
            "  Value error, max_num_batched_tokens (64) must be greater than or equal to max_num_seqs (128).",
            Kind.REJECTED,
        ),
        (2, "api_server.py: error: unrecognized arguments: --scheduler-delay-factor 0.5", Kind.REJECTED),
        (2, "api_server.py: error: argument --max-num-seqs: invalid int value: 'abc'", Kind.REJECTED),
        (1, CORE + "ValueError: No common block size for 24 (CPU_ATTN: [MultipleOf(32)]).", Kind.REJECTED),
        (1, "ValueError: long_prefill_token_threshold (4096) cannot be greater than max_model_len", Kind.REJECTED),
        (1, "[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.50 GiB.", Kind.OUT_OF_MEMORY),
        (1, "ERROR 07-01 12:00:00 engine.py:45] torch.cuda.OutOfMemoryError: CUDA out of memory.", Kind.OUT_OF_MEMORY),
        (
            1,
            CORE
            + "ValueError: To serve at least one request with the model's max seq len (2048), (0.02 GiB KV cache is "
            "needed, which is larger than the available KV cache memory (0.0 GiB).",
            Kind.OUT_OF_MEMORY,
        ),
        (
            1,
            "ValueError: Available memory on node 0 (1.0/7.34 GiB) on kv cache allocation is less than requested",
            Kind.OUT_OF_MEMORY,
        ),
        (1, "OSError: [Errno 98] Address already in use", Kind.PORT_TAKEN),
        (1, "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 80)", Kind.PORT_TAKEN),
        (1, "OSError: [Errno 28] No space left on device", Kind.ENVIRONMENT),
        (1, "ModuleNotFoundError: No module named 'vllm'", Kind.ENVIRONMENT),
        (1, "RuntimeError: operator torchvision::nms does not exist", Kind.ENVIRONMENT),
        (1, "importlib.metadata.PackageNotFoundError: No package metadata was found for vllm", Kind.ENVIRONMENT),
        (
            1,
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name': '/nope'.",
            Kind.ENVIRONMENT,
        ),
        (1, "PermissionError: [Errno 13] Permission denied: '/models/config.json'", Kind.ENVIRONMENT),
        (1, "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).", Kind.ENVIRONMENT),
        (127, "cannot start /nope/python: [Errno 2] No such file or directory", Kind.ENVIRONMENT),
        (1, CORE + "AssertionError: rotary dimension 48", Kind.CRASHED),
    ],
)
def test_the_cause_is_found_among_noise(code: int, line: str, kind: Kind) -> None:
    log = f"{NOISE}{TRACEBACK}{line}\n{LAST_WORDS}\n"
    found = diagnose(code, log, "start")
    assert found.kind is kind
    assert found.line_number == log.splitlines().index(line) + 1
    assert found.evidence
    assert line.endswith(found.evidence)


@pytest.mark.parametrize(
    ("code", "phase", "kind"),
    [
        (None, "start", Kind.START_TIMEOUT),
        (None, "load", Kind.STALLED),
        (-9, "load", Kind.OUT_OF_MEMORY),
        (-11, "load", Kind.CRASHED),
        (-15, "load", Kind.INTERNAL),
        (0, "start", Kind.CRASHED),
        (1, "load", Kind.CRASHED),
        (2, "start", Kind.REJECTED),
        (127, "start", Kind.ENVIRONMENT),
    ],
)
def test_a_silent_log_leaves_the_exit_code(code: int | None, phase: Phase, kind: Kind) -> None:
    for log in ("", NOISE, f"{NOISE}{LAST_WORDS}\n"):
        found = diagnose(code, log, phase)
        assert found.kind is kind
        assert "See root cause above" not in found.evidence or code is None
        assert found.advice


def test_an_engine_that_was_told_to_stop_is_nobodys_fault() -> None:
    told = "(APIServer pid=8) INFO 11-23 20:55:23 [launcher.py:254] [shutdown] API server: shutdown triggered"
    found = diagnose(0, f"{NOISE}{told}\nINFO:     Shutting down\n", "load")
    assert (found.kind, found.ambiguous, found.evidence) == (Kind.INTERNAL, False, told)
    assert diagnose(0, f"{NOISE}{told}\n{CORE}MemoryError: std::bad_alloc\n", "load").kind is Kind.OUT_OF_MEMORY
    assert diagnose(None, f"{NOISE}{told}\n", "load").kind is Kind.STALLED


def test_the_first_error_is_the_cause_and_not_what_follows_from_it() -> None:
    log = f"{CORE}ValueError: head size 48 is odd\nConnectionError: Permission denied\n"
    assert (
        diagnose(1, f"{CORE}RuntimeError: the kernel failed\nEOFError: x\n", "load").evidence
        == "RuntimeError: the kernel failed"
    )
    assert diagnose(1, log, "load").kind is Kind.ENVIRONMENT  # a known cause beats an unknown one


def test_a_timeout_shows_how_far_it_came() -> None:
    found = diagnose(None, "INFO 11-23 10:41:43 [core.py:133] Loading weights\n\n", "start")
    assert found.evidence == "not ready in time: INFO 11-23 10:41:43 [core.py:133] Loading weights"


def test_an_engine_that_hangs_after_an_error_is_diagnosed_by_it() -> None:
    assert diagnose(None, f"{CORE}torch.OutOfMemoryError: CUDA out of memory.\n", "start").kind is Kind.OUT_OF_MEMORY


def test_parameters_are_those_of_the_configuration_in_its_spelling() -> None:
    config = {"max-num-seqs": 128, "block_size": 16, "max_num_batched_tokens": 64}
    line = "  Value error, max_num_batched_tokens (64) must be greater than or equal to max_num_seqs (128)."
    assert diagnose(1, line, "start", config).parameters == ("max-num-seqs", "max_num_batched_tokens")
    assert diagnose(1, "ValueError: No common block size for 24", "start", config).parameters == ("block_size",)
    memory = diagnose(1, "MemoryError: CUDA out of memory", "load", config)
    assert memory.parameters == ("max-num-seqs", "max_num_batched_tokens")


def test_a_failed_start_survives_pickling() -> None:
    failure = StartFailed(diagnose(1, "OSError: [Errno 98] Address already in use", "start"))
    back = pickle.loads(pickle.dumps(failure))
    assert (back.kind, back.detail, str(back)) == (failure.kind, failure.detail, str(failure))


def test_without_a_configuration_the_parameters_are_those_the_line_names() -> None:
    line = "api_server.py: error: unrecognized arguments: --stream-interval 2 --seed"
    assert diagnose(2, line, "start").parameters == ("stream_interval", "seed")
    spoken = "ValueError: Total number of attention heads (40) must be divisible by tensor parallel size (3)."
    assert diagnose(1, spoken, "start").parameters == ("tensor_parallel_size",)
    assert "max_num_seqs" in diagnose(1, "torch.OutOfMemoryError: CUDA out of memory.", "load").parameters


def test_the_field_that_pydantic_names_in_the_line_before_is_named() -> None:
    log = (
        "pydantic_core.ValidationError: 1 validation error for C\nmax_num_seqs\n  Input should be greater than 0 [x]\n"
    )
    found = diagnose(1, log, "start", {"max-num-seqs": 0, "block_size": 1})
    assert (found.kind, found.line_number, found.parameters) == (Kind.REJECTED, 3, ("max-num-seqs",))


def test_what_was_raised_counts_before_what_was_reported() -> None:
    reported = f"{CORE}Failed to import Triton kernels: No module named 'triton_kernels'\n"
    assert diagnose(1, f"{reported}{CORE}ValueError: 3 is not supported\n", "start").kind is Kind.REJECTED
    assert diagnose(1, reported, "start").kind is Kind.ENVIRONMENT


def test_a_cause_counts_before_what_followed_from_it() -> None:
    peer = "RuntimeError: [pair.cc:534] Connection closed by peer"
    log = f"{peer}\n{CORE}torch.OutOfMemoryError: CUDA out of memory.\n"
    assert diagnose(1, log, "start").kind is Kind.OUT_OF_MEMORY
    assert diagnose(1, peer, "start").kind is Kind.ENVIRONMENT


def test_refused_requests_are_no_cause() -> None:
    log = (
        "ERROR:    Exception in ASGI application\nTraceback (most recent call last):\n"
        "ValueError: temperature must be positive\n"
        "(APIServer pid=1) ERROR 11-23 10:41:05 [serving_completion.py:214] NotImplementedError: no audio\n"
    )
    assert not diagnose(None, log, "load").cause
    dead = f"{log}{CORE}RuntimeError: CUDA error: unspecified launch failure\n"
    assert diagnose(0, dead, "load").cause == "GPU program failed"


def test_the_kernel_is_believed_unless_the_log_knows_better() -> None:
    words = ("Out of memory: Killed process 42 (python)",)
    found = diagnose(1, f"{CORE}Worker proc VllmWorker-1 died unexpectedly\n", "load", kernel=words)
    assert (found.kind, found.evidence, found.ambiguous) == (Kind.OUT_OF_MEMORY, words[0], False)
    assert diagnose(2, "x: error: unrecognized arguments: --a", "start", kernel=words).kind is Kind.REJECTED
    config = {"max_num_seqs": 8, "block_size": 16}
    assert diagnose(-9, "", "load", config, words).parameters == ("max_num_seqs",)


@pytest.mark.parametrize(
    ("code", "log", "ambiguous"),
    [
        (-9, "", True),
        (137, "", True),
        (1, "RuntimeError: never seen before", True),
        (None, "INFO loading", True),
        (2, "", False),
        (1, "ValueError: 24 must be one of 8, 16", False),
        (1, "torch.OutOfMemoryError: CUDA out of memory.", False),
    ],
)
def test_what_the_machine_may_have_done_is_ambiguous(code: int | None, log: str, ambiguous: bool) -> None:
    assert diagnose(code, log, "load").ambiguous is ambiguous


def test_shells_report_signals_as_codes_above_128() -> None:
    assert diagnose(137, "", "load") == diagnose(-9, "", "load")
    assert diagnose(255, "", "load").evidence == "ended with exit code 255"


def test_huge_logs_are_read_in_bounded_memory() -> None:
    longest = 0

    def log() -> Iterator[str]:
        nonlocal longest
        for line in read_lines(stream):
            longest = max(longest, len(line))
            yield line

    bar = b"Loading: 1%\r" * 200_000 + b"RuntimeError: out of patience\n"
    stream = io.BytesIO(b"x" * 3_000_000 + b"\n" + b"\xff\xfe\n" + bar + b"OSError: [Errno 28] No space left on device")
    found = diagnose(1, log(), "start")
    assert (found.cause, found.line_number) == ("disk full", 4)
    assert longest < 200_000
    stream.seek(0)
    assert [one.number for one in statements(read_lines(stream))] == [3, 4]


def test_every_rule_has_a_name_of_its_own_and_advice() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.advice and rule.patterns for rule in RULES)
    assert not any(rule.ambiguous for rule in RULES if not rule.kind.of_configuration), "ours is repeated anyway"


@pytest.mark.parametrize(
    ("samples", "words", "ambiguous"),
    [
        ([], "no request succeeded", True),
        ([{"generation_tokens": 5, "running": 3}, {"generation_tokens": 90, "running": 3}], "too slow", False),
        ([{"generation_tokens": 5, "running": 0}, {"generation_tokens": 5, "running": 3}], "3 requests ran", True),
        ([{"waiting": 0}, {"waiting": 7, "running": 0, "generation_tokens": 0}], "7 requests waited", False),
    ],
)
def test_metrics_tell_a_hanging_step_from_a_slow_engine(
    samples: list[dict[str, float]], words: str, ambiguous: bool
) -> None:
    found = stalled(samples)
    assert found.kind is Kind.STALLED
    assert words in found.evidence
    assert found.ambiguous is ambiguous
