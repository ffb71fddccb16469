from __future__ import annotations

import pickle

import pytest

from scoot_ray.engine.diagnose import Phase, diagnose
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
        (1, "OSError: [Errno 28] No space left on device", Kind.INTERNAL),
        (1, "ModuleNotFoundError: No module named 'vllm'", Kind.INTERNAL),
        (1, "RuntimeError: operator torchvision::nms does not exist", Kind.INTERNAL),
        (1, "importlib.metadata.PackageNotFoundError: No package metadata was found for vllm", Kind.INTERNAL),
        (
            1,
            "huggingface_hub.errors.HFValidationError: Repo id must be in the form 'repo_name': '/nope'.",
            Kind.INTERNAL,
        ),
        (1, "PermissionError: [Errno 13] Permission denied: '/models/config.json'", Kind.INTERNAL),
        (1, "RuntimeError: The NVIDIA driver on your system is too old (found version 11040).", Kind.INTERNAL),
        (127, "cannot start /nope/python: [Errno 2] No such file or directory", Kind.INTERNAL),
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
        (127, "start", Kind.INTERNAL),
    ],
)
def test_a_silent_log_leaves_the_exit_code(code: int | None, phase: Phase, kind: Kind) -> None:
    for log in ("", NOISE, f"{NOISE}{LAST_WORDS}\n"):
        found = diagnose(code, log, phase)
        assert found.kind is kind
        assert "See root cause above" not in found.evidence or code is None
        assert found.advice


def test_the_first_error_is_the_cause_and_not_what_follows_from_it() -> None:
    log = f"{CORE}ValueError: head size 48 is odd\nConnectionError: Permission denied\n"
    assert (
        diagnose(1, f"{CORE}RuntimeError: the kernel failed\nEOFError: x\n", "load").evidence
        == "RuntimeError: the kernel failed"
    )
    assert diagnose(1, log, "load").kind is Kind.INTERNAL  # a known cause beats an unknown one


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
