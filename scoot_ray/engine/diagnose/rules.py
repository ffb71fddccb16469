"""What a line of a log proves: the table that :func:`scoot_ray.engine.diagnose.diagnose` looks lines up in.

To add one, write a row: a name, whose fault it is, what such lines look like, what to do. Rows stand in the order in
which they are tried on a line; a row that only says what followed from something else is ``weak``, and one whose cause
may lie in the machine as well as in the configuration ``ambiguous``. Then add a case to ``tests/data/engine_logs``.

The messages are those of vLLM 0.4 to 0.32, SGLang 0.4 and TensorRT-LLM 0.7 to 1.0, and of the libraries below them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from scoot_ray.search.trial import FailureKind

_MEMORY = (
    "gpu_memory_utilization",
    "max_num_batched_tokens",
    "max_num_seqs",
    "max_model_len",
    "tensor_parallel_size",
    "kv_cache_memory_bytes",
    "mem_fraction_static",
)
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


@dataclass(frozen=True, slots=True)
class Rule:
    """A row: lines that match one of ``patterns`` prove ``kind``.

    ``parameters`` may be involved without being named in the line. A ``weak`` rule counts only where no other applies,
    since what it sees is often the consequence of something else.
    """

    name: str
    kind: FailureKind
    patterns: tuple[str, ...]
    advice: str
    parameters: tuple[str, ...] = ()
    ambiguous: bool = False
    weak: bool = False
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the patterns; upper and lower case are the same."""
        object.__setattr__(self, "_compiled", re.compile("|".join(self.patterns), re.IGNORECASE))

    def matches(self, text: str) -> bool:
        """Whether a line shows this."""
        return self._compiled.search(text) is not None


_MACHINE = (
    Rule(
        "port taken",
        FailureKind.PORT_TAKEN,
        (r"address already in use", r"errno:? 98\b", r"EADDRINUSE"),
        "nothing to do: the evaluation is repeated on another port",
    ),
    Rule(
        "shared memory full",
        FailureKind.ENVIRONMENT,
        (
            r"no(?:t enough)? space (?:left on device|for).*/dev/shm",
            r"/dev/shm.*no space left",
            r"creating shared memory segment",
            r"^Bus error",
            r"insufficient shared memory",
        ),
        "a larger /dev/shm (docker --shm-size, or an emptyDir of medium Memory)",
    ),
    Rule(
        "disk full",
        FailureKind.ENVIRONMENT,
        (r"no space left on device", r"disk quota exceeded", r"\berrno 28\b", r"not enough free disk space"),
        "free disk space where the engine keeps its caches (VLLM_CACHE_ROOT, HF_HOME, TMPDIR)",
    ),
    Rule(
        "too many open files",
        FailureKind.ENVIRONMENT,
        (r"too many open files",),
        "raise the limit of open files (ulimit -n)",
    ),
    Rule(
        "too many threads",
        FailureKind.ENVIRONMENT,
        (
            r"can't start new thread",
            r"resource temporarily unavailable",
            r"pthread_create failed",
            r"thread constructor",
        ),
        "raise the limit of processes (ulimit -u, or the container's pids limit)",
    ),
    Rule(
        "GPU broken",
        FailureKind.ENVIRONMENT,
        (r"uncorrectable (?:NVLink|ECC) error", r"fallen off the bus", r"device is lost", r"NVML: .*unknown error"),
        "take this GPU out of service: see dmesg for Xid messages, reset it or restart the node",
    ),
    Rule(
        "driver or CUDA version",
        FailureKind.ENVIRONMENT,
        (
            r"NVIDIA driver on your system is too old",
            r"CUDA driver version is insufficient",
            r"forward compatibility was attempted",
            r"no kernel image is available",
            r"device kernel image is invalid",
            r"unsupported toolchain",
            r"system has unsupported display driver",
            r"CUDA error: (?:unknown error|initialization error|system not yet initialized)",
            r"provided PTX was compiled",
        ),
        "an engine built for this machine's GPU and driver",
    ),
    Rule(
        "no GPU",
        FailureKind.ENVIRONMENT,
        (
            r"no CUDA-capable device",
            r"Found no NVIDIA driver",
            r"No CUDA GPUs are available",
            r"Failed to infer device type",
            r"busy or unavailable",
            r"libcuda\.so",
        ),
        "a GPU that the engine can see: the driver, the container's --gpus, CUDA_VISIBLE_DEVICES",
    ),
    Rule(
        "network between workers",
        FailureKind.ENVIRONMENT,
        (
            r"nccl.*unhandled system error",
            r"ncclSystemError",
            r"ncclRemoteError",
            r"ncclInternalError",
            r"gloo.*connect",
            r"Connection (?:closed|reset) by peer",
            r"DistNetworkError",
            r"DistStoreError",
            r"TCPStore.*timed? ?out",
        ),
        "look at the log with NCCL_DEBUG=INFO: the interface (NCCL_SOCKET_IFNAME), /dev/shm, the firewall",
        weak=True,
    ),
)

_INSTALLATION = (
    Rule(
        "engine's Python environment",
        FailureKind.ENVIRONMENT,
        (
            r"No module named",
            r"ImportError",
            r"cannot import name",
            r"PackageNotFoundError",
            r"operator \S+ does not exist",
            r"undefined symbol",
            r"cannot open shared object file",
            r"cannot find -l\w+",
            r"CalledProcessError.*(?:gcc|cc|nvcc|ninja)",
            r"Failed to find C compiler",
            r"Could not find nvcc",
            r"Unknown level|environment variable.*(?:invalid|must be)",
        ),
        "repair the engine's Python environment",
    ),
    Rule("cannot be executed", FailureKind.ENVIRONMENT, (r"^cannot start ",), "set engine.python to a Python that has the engine"),
)

_MODEL = (
    Rule(
        "no access to the model",
        FailureKind.ENVIRONMENT,
        (r"gated repo", r"GatedRepo", r"401 Client Error", r"403 Client Error", r"is restricted\. You must"),
        "ask for access on the hub, and give the engine a token (engine.env: HF_TOKEN: {from_env: HF_TOKEN})",
    ),
    Rule(
        "model not found",
        FailureKind.ENVIRONMENT,
        (
            r"HFValidationError",
            r"RepositoryNotFoundError",
            r"404 Client Error",
            r"is not a local folder",
            r"Invalid repository ID",
            r"Can't load the configuration of",
            r"config\.json not found",
            r"Cannot find any model weights",
            r"Repo id must be",
            r"no file named",
            r"does not appear to have a file",
        ),
        "make the model available on this machine: a folder with all its files, or a hub that can be reached",
    ),
    Rule(
        "hub unreachable",
        FailureKind.ENVIRONMENT,
        (
            r"LocalEntryNotFoundError",
            r"OfflineModeIsEnabled",
            r"huggingface\.co",
            r"Max retries exceeded",
            r"name resolution",
            r"Name or service not known",
            r"couldn't connect to",
            r"outgoing traffic has been disabled",
            r"httpx\.ConnectError|requests\.exceptions\.(?:Connection|SSL|Proxy)Error|ReadTimeout",
        ),
        "download the model beforehand, or mend the way to the hub (HF_ENDPOINT, proxies)",
    ),
    Rule(
        "model files damaged",
        FailureKind.ENVIRONMENT,
        (
            r"SafetensorError",
            r"deserializing header",
            r"PytorchStreamReader failed",
            r"JSONDecodeError",
            r"is not a valid JSON file",
            r"Following weights were not initialized",
            r"There is no module or parameter named",
            r"tokenizer.*(?:corrupt|untagged enum|missing field)",
            r"Couldn't instantiate the backend tokenizer",
        ),
        "download the model's files again; compare their sizes with the hub's",
    ),
    Rule(
        "model unknown to this engine",
        FailureKind.ENVIRONMENT,
        (
            r"Model architectures? .*(?:not supported|failed)",
            r"does not recognize this architecture",
            r"contains custom code",
            r"trust_remote_code=True",
        ),
        "an engine or transformers new enough for the model; engine.args: trust_remote_code where the model brings code",
    ),
    Rule(
        "file not readable",
        FailureKind.ENVIRONMENT,
        (r"PermissionError", r"Permission denied", r"Operation not permitted", r"Read-only file system"),
        "give this user access to the file or port in the line",
    ),
    Rule(
        "file missing",
        FailureKind.ENVIRONMENT,
        (r"FileNotFoundError", r"NotADirectoryError"),
        "make the file in the line available on this machine",
    ),
)

_OUT_OF_MEMORY = (
    Rule(
        "GPU memory held by others",
        FailureKind.OUT_OF_MEMORY,
        (
            r"Free memory on device .* is less than desired",
            r"Error in memory profiling",
            r"memory was not properly cleaned up",
        ),
        "see what holds the GPU's memory (nvidia-smi); a lower gpu_memory_utilization where it must stay",
        ("gpu_memory_utilization",),
        ambiguous=True,
    ),
    Rule(
        "KV cache too small",
        FailureKind.OUT_OF_MEMORY,
        (
            r"larger than the available KV cache memory",
            r"larger than the maximum number of tokens that can be stored",
            r"No available memory for the cache",
            r"Not enough memory\. Please try to (?:increase|decrease) --mem-fraction-static",
            r"larger than the profiled value -",
        ),
        "more memory for the KV cache (gpu_memory_utilization, mem_fraction_static, more GPUs), or a shorter max_model_len",
        _MEMORY,
    ),
    Rule(
        "out of GPU memory",
        FailureKind.OUT_OF_MEMORY,
        (
            r"(?:CUDA|HIP|XPU|NPU|GPU) (?:error: )?out of memory",
            r"cuda\w*: .*out of memory",
            r"CUDA runtime error.*out of memory",
            r"OutOfMemoryError",
            r"insufficient GPU memory",
            r"CUBLAS_STATUS_ALLOC_FAILED",
            r"CUDA_ERROR_OUT_OF_MEMORY",
        ),
        "less memory per server: fewer sequences or batched tokens, a lower gpu_memory_utilization, more GPUs",
        _MEMORY,
    ),
    Rule(
        "out of host memory",
        FailureKind.OUT_OF_MEMORY,
        (
            r"Available memory on node .* is less than",
            r"Cannot allocate memory",
            r"\bMemoryError\b",
            r"can't allocate memory",
            r"std::bad_alloc",
            r"Too large swap space",
        ),
        "free memory on this machine, or ask for less: see the line",
        (*_MEMORY, "swap_space"),
    ),
    Rule(
        "worker killed",
        FailureKind.OUT_OF_MEMORY,
        (r"died.*exit ?code: -9\b", r"exited on signal 9", r"killed by the OOM killer"),
        "more memory for an evaluation, or fewer at a time on this machine; dmesg says whether it was that",
        _MEMORY,
        ambiguous=True,
        weak=True,
    ),
)

_REJECTED = (
    Rule(
        "flag unknown",
        FailureKind.REJECTED,
        (
            r"error: unrecognized arguments",
            r"error: argument -",
            r"error: ambiguous option",
            r"error: the following arguments",
            r"No such option",
            r"got an unexpected keyword argument",
        ),
        "take the parameter out of the space, or the value in the line: the installed engine does not know it so",
    ),
    Rule(
        "block size",
        FailureKind.REJECTED,
        (r"No common block size", r"block[ _]size .*must", r"OutOfResources|out of resource: shared memory"),
        "only block sizes that the line allows, or another attention backend",
        ("block_size", "attention_backend"),
    ),
    Rule(
        "more GPUs than there are",
        FailureKind.REJECTED,
        (
            r"World[ _]size .* (?:larger|less) than",
            r"local_world_size",
            r"greater than the number of available",
            r"exceeds the total number of available GPUs",
            r"placement group requiring",
            r"not enough (?:NUMA|GPU)",
            r"is out of bounds for \d+ devices",
        ),
        "tensor × pipeline × data parallel of at most the GPUs of an evaluation",
        _PARALLEL,
    ),
    Rule(
        "not divisible",
        FailureKind.REJECTED,
        (r"not divisible by", r"must be divisible by"),
        "parallel sizes that divide the model's heads and layers",
        _PARALLEL,
    ),
    Rule(
        "chunked prefill with prefix caching",
        FailureKind.REJECTED,
        (r"chunked prefill cannot be used with prefix caching", r"Prefix cache and chunked prefill are .*not supported"),
        "add to the study: constraints: [\"not (enable_chunked_prefill and enable_prefix_caching)\"]",
        ("enable_chunked_prefill", "enable_prefix_caching"),
    ),
    Rule(
        "combination refused",
        FailureKind.REJECTED,
        (
            r"must be greater than or equal to",
            r"must be (?:less|smaller|greater|at most|at least|a multiple|positive|in \[|one of|between|set)",
            r"Input should be",
            r"greater than the derived max_model_len",
            r"is smaller than max_model_len",
            r"(?:is|are) (?:only|not) supported",
            r"not (?:currently |yet )?supported (?:with|for|on|by|yet)",
            r"unsupported",
            r"Value error, ",
            r"Invalid (?:value|backend|quantization|dtype)",
            r"Unknown (?:quantization|dtype|backend)",
            r"cannot be (?:used|combined|enabled|greater)",
            r"NotImplementedError",
        ),
        "add the rule in the line to the study's constraints",
    ),
)

_UNDER_WAY = (
    Rule(
        "engine not up in its own time",
        FailureKind.START_TIMEOUT,
        (r"Timed out waiting for engine", r"Did not receive response from front-end"),
        "a longer engine.start_timeout_s and VLLM_ENGINE_READY_TIMEOUT_S, if it was on its way",
        ambiguous=True,
    ),
    Rule(
        "step never ended",
        FailureKind.STALLED,
        (r"Engine iteration timed out", r"RPC call to \w+ timed out", r"watchdog timeout"),
        "look at the node (nvidia-smi, dmesg): a worker hangs",
        ambiguous=True,
    ),
    Rule(
        "GPU program failed",
        FailureKind.CRASHED,
        (
            r"illegal memory access",
            r"unspecified launch failure",
            r"device-side assert",
            r"misaligned address",
            r"CUBLAS_STATUS_\w+",
            r"CUDNN_STATUS_\w+",
            r"CUDA error",
            r"HIP error",
        ),
        "often a bug of a kernel: try another attention backend, or enforce_eager; if every configuration does it, the GPU",
        ambiguous=True,
    ),
    Rule(
        "collective timed out",
        FailureKind.CRASHED,
        (r"collective operation timeout",),
        "another worker has died or hangs: look for its last lines, and for the network between the GPUs",
        ambiguous=True,
    ),
    Rule(
        "collective failed",
        FailureKind.CRASHED,
        (r"NCCL error", r"ncclUnhandledCudaError"),
        "look at the log with NCCL_DEBUG=INFO: memory, a worker that died, or the network between the GPUs",
        ambiguous=True,
        weak=True,
    ),
    Rule(
        "process died",
        FailureKind.CRASHED,
        (r"died unexpectedly", r"died, exit code", r"Engine process .* died", r"warmup error"),
        "nothing in the log says why: look at dmesg, and run it alone",
        ambiguous=True,
        weak=True,
    ),
)

RULES: tuple[Rule, ...] = (*_MACHINE, *_INSTALLATION, *_OUT_OF_MEMORY, *_MODEL, *_REJECTED, *_UNDER_WAY)
"""The table, in the order in which a line is looked up: what is nobody's fault first, the general last."""

PARAMETERS: tuple[str, ...] = tuple(
    sorted({
        *(name for rule in RULES for name in rule.parameters),
        "dtype", "enforce_eager", "kv_cache_dtype", "load_format", "long_prefill_token_threshold", "max_seq_len",
        "max_num_active_seqs", "quantization", "scheduling_policy", "max_running_requests", "chunked_prefill_size",
        "max_batch_size", "max_num_tokens",
    })
)  # fmt: skip
"""Parameters of engines that messages name, for logs that come without a configuration."""
