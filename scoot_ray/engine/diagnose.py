"""Exit code and log -> why an engine failed. Pure; a table of causes, read for the first line that shows one.

Engines wrap their errors several times and end with a line that says nothing ("Engine core initialization failed. See
root cause above."), so the cause is the first error of the log, never the last.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from scoot_ray.engine.flags import canonical
from scoot_ray.search.trial import Config, FailureKind

Phase: TypeAlias = Literal["start", "load"]

_PREFIX = re.compile(r"^(?:\((?:\w|[-:])+ pid=\d+\)\s*|\[rank\d+\]:\s?)+")
_LEVEL = re.compile(r"^(DEBUG|INFO|WARNING|ERROR|CRITICAL)(?: [\d-]+ [\d:,.]+ (?:\[?[^\]\s]*\] ?)?|:\s+)")
_SEVERE = frozenset({"ERROR", "CRITICAL"})
_EXCEPTION = re.compile(r"^(?:[\w.]+\.)?[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Failure)(?:: |$)")
_BARE_ERROR = re.compile(
    r"^\s+(?:Value error, |Extra inputs are not permitted)|^\S+(?: serve)?: error: |^Error: "
    r"|^cannot start |^terminate called|^Fatal "
)
_SAYS_NOTHING = re.compile(
    r"See root cause above|See stack trace|check the stack trace above|EngineDeadError|validation errors? for"
)
_NAME = re.compile(r"[a-z]+(?:[-_][a-z]+)+")
_LONGEST = 400

_MEMORY = (
    "gpu_memory_utilization",
    "max_num_batched_tokens",
    "max_num_seqs",
    "max_model_len",
    "tensor_parallel_size",
    "kv_cache_memory_bytes",
    *("mem_fraction_static", "chunked_prefill_size", "max_running_requests", "cuda_graph_max_bs"),  # SGLang's
    *("kv_cache_free_gpu_memory_fraction", "max_batch_size", "max_num_tokens"),  # TensorRT-LLM's
    "tp_size",
)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Why an engine failed.

    ``evidence`` is the line that shows it and ``line_number`` where it stands in the log read (from 1; None where no
    line shows it); ``parameters`` are those of the configuration that are involved.
    """

    kind: FailureKind
    evidence: str
    line_number: int | None = None
    parameters: tuple[str, ...] = ()
    advice: str = ""


class Line(NamedTuple):
    """A line of the log, without prefixes, and its number from 1."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Cause:
    """A row of the table: what its line looks like. ``parameters`` may be involved without being named in it."""

    pattern: re.Pattern[str]
    kind: FailureKind
    advice: str
    parameters: tuple[str, ...] = ()


def _cause(pattern: str, kind: FailureKind, advice: str, parameters: tuple[str, ...] = ()) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE), kind, advice, parameters)


CAUSES: tuple[Cause, ...] = (
    _cause(
        r"address already in use|errno 98\b",
        FailureKind.PORT_TAKEN,
        "nothing to do: the evaluation is repeated on another port",
    ),
    _cause(
        r"out of memory(?!.*\bhost\b)|OutOfMemoryError|Not enough memory\b"
        r"|CUBLAS_STATUS_ALLOC_FAILED|No available memory for the cache",
        FailureKind.OUT_OF_MEMORY,
        "less memory per server: fewer sequences or batched tokens, a lower gpu_memory_utilization, more GPUs",
        _MEMORY,
    ),
    _cause(
        r"larger than the available KV cache memory|larger than the maximum number of tokens that can be stored",
        FailureKind.OUT_OF_MEMORY,
        "more memory for the KV cache, or a shorter max_model_len",
        _MEMORY,
    ),
    _cause(
        r"Available memory on node .* is less than|Free memory on device .* is less than desired|Cannot allocate memory"
        r"|MemoryError\b|DefaultCPUAllocator: can't allocate",
        FailureKind.OUT_OF_MEMORY,
        "free memory on this machine, or ask for less: see the line",
        _MEMORY,
    ),
    _cause(r"No space left on device|Disk quota exceeded", FailureKind.INTERNAL, "free disk space"),
    _cause(
        r"No module named|ImportError|cannot import name|PackageNotFoundError|operator \S+ does not exist"
        r"|undefined symbol|cannot open shared object file",
        FailureKind.INTERNAL,
        "repair the engine's Python environment",
    ),
    _cause(
        r"HFValidationError|LocalEntryNotFoundError|RepositoryNotFoundError|OfflineModeIsEnabled|huggingface\.co"
        r"|GatedRepoError|Max retries exceeded|Temporary failure in name resolution"
        r"|is not a local folder|config\.json not found|Invalid repository ID|FileNotFoundError",
        FailureKind.INTERNAL,
        "make the model available on this machine: a folder, or a hub that can be reached",
    ),
    _cause(r"PermissionError|Permission denied", FailureKind.INTERNAL, "give this user access to the file in the line"),
    _cause(
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient|no CUDA-capable device"
        r"|Found no NVIDIA driver|no kernel image is available|Failed to infer device type"
        r"|No GPU devices found|No CUDA GPUs are available",
        FailureKind.INTERNAL,
        "an engine built for this machine's GPU and driver",
    ),
    _cause(r"Too many open files", FailureKind.INTERNAL, "raise the limit of open files (ulimit -n)"),
    _cause(r"^cannot start ", FailureKind.INTERNAL, "set engine.python to a Python that has the engine"),
    _cause(
        r"No such option|Extra inputs are not permitted"
        r"|error: unrecognized arguments|error: argument --|error: ambiguous option|error: the following arguments",
        FailureKind.REJECTED,
        "take the parameter out of the space: the installed engine does not know it so",
    ),
    _cause(
        r"No common block size|block[ _]size .*must",
        FailureKind.REJECTED,
        "only block sizes that the line allows",
        ("block_size",),
    ),
    _cause(
        r"must be greater than or equal to|must be (?:less|smaller|at most|divisible|a multiple|positive|in \[|one of)"
        r"|Input should be|greater than the derived max_model_len|is smaller than max_model_len"
        r"|is not supported|not supported (?:with|for|on)"
        r"|unsupported|Value error, |Invalid value|cannot be (?:used|combined|enabled|greater)|not enough (?:NUMA|GPU)"
        r"|World size .* larger than|greater than the number of available|not divisible by|NotImplementedError",
        FailureKind.REJECTED,
        "add the rule in the line to the study's constraints",
    ),
)


_ALIVE: Mapping[Phase, tuple[FailureKind, str, str]] = {
    "start": (FailureKind.START_TIMEOUT, "not ready in time", "a longer engine.start_timeout_s, if it was on its way"),
    "load": (FailureKind.STALLED, "alive, but no request succeeded", "look at the log for what it waits for"),
}
_BY_CODE: Mapping[int, tuple[FailureKind, str, str]] = {
    -9: (
        FailureKind.OUT_OF_MEMORY,
        "killed by signal 9, as the kernel does where memory runs out",
        "more memory for an evaluation, or fewer at a time on this machine",
    ),
    -15: (FailureKind.INTERNAL, "ended by a signal 15 that was not ours", "nothing to do: it is repeated"),
    127: (FailureKind.INTERNAL, "the engine could not be executed", "set engine.python to a Python with the engine"),
    2: (FailureKind.REJECTED, "its command line was refused (exit code 2)", "look at the log for the argument"),
}


def diagnose(exit_code: int | None, log: str, phase: Phase, config: Config | None = None) -> Diagnosis:
    """Return why an engine failed.

    ``exit_code`` is None for one that still runs: it never became ready (phase "start": START_TIMEOUT) or answered
    nothing (phase "load": STALLED), unless its log shows a cause. Negative codes are signals.
    """
    names = tuple(config or ())
    lines = list(_errors(log))
    for line in lines:
        for cause in CAUSES:
            if cause.pattern.search(line.text) and not _SAYS_NOTHING.search(line.text):
                involved = _involved(line.text, cause.parameters, names)
                return Diagnosis(cause.kind, line.text, line.number, involved, cause.advice)
    kind, what, advice = _by_exit(exit_code, phase)
    root = _root(lines) or (_last(log) if exit_code is None else None)
    if root is None:
        return Diagnosis(kind, what, advice=advice)
    evidence = f"{what}: {root.text}" if exit_code is None else root.text
    return Diagnosis(kind, evidence, root.number, _involved(root.text, (), names), advice)


def _by_exit(code: int | None, phase: Phase) -> tuple[FailureKind, str, str]:
    """Return (kind, what happened, advice) where the log names no known cause."""
    if code is None:
        return _ALIVE[phase]
    how = f"by signal {-code}" if code < 0 else f"with exit code {code}"
    return _BY_CODE.get(code, (FailureKind.CRASHED, f"ended {how}", "look at the log"))


def _errors(log: str) -> Iterator[Line]:
    """Yield the lines that state an error: logged as one, the end of a traceback, or an argument parser's refusal.

    Source lines quoted in tracebacks are indented, and often name errors that were not raised.
    """
    for number, raw in enumerate(log.splitlines(), 1):
        line = _PREFIX.sub("", raw)
        level = _LEVEL.match(line)
        text = line[level.end() :] if level else line
        severe = level is not None and level[1] in _SEVERE and not text[:1].isspace()
        if severe or _BARE_ERROR.match(text) or (level is None and _EXCEPTION.match(text)):
            yield Line(number, text.strip()[:_LONGEST])


def _root(lines: Iterable[Line]) -> Line | None:
    """Return the first line that ends a traceback and says something."""
    return next((line for line in lines if _EXCEPTION.match(line.text) and not _SAYS_NOTHING.search(line.text)), None)


def _last(log: str) -> Line | None:
    """Return the log's last line that is not blank."""
    lines = (Line(number, raw.strip()[:_LONGEST]) for number, raw in enumerate(log.splitlines(), 1) if raw.strip())
    return next(iter(deque(lines, maxlen=1)), None)


def _involved(line: str, possible: Iterable[str], names: Iterable[str]) -> tuple[str, ...]:
    """Return which of the configuration's ``names`` a line names or its cause may involve."""
    named = {canonical(word) for word in _NAME.findall(line)} | set(possible)
    return tuple(name for name in names if canonical(name) in named)
