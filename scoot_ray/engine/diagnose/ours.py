"""Rules for what is never the configuration's fault: the machine, the engine's installation, the model's files."""

from __future__ import annotations

from scoot_ray.engine.diagnose.rule import Rule
from scoot_ray.search.trial import FailureKind

MACHINE = (
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
            r"dev/shm.*no space left",
            r"creating shared memory segment",
            r"^Bus error",
            r"insufficient (?:shared memory|space in /dev/shm)",
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
            r"No GPU devices found",
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

INSTALLATION = (
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
    Rule(
        "cannot be executed",
        FailureKind.ENVIRONMENT,
        (r"^cannot start ",),
        "set engine.python to a Python that has the engine",
    ),
)

MODEL = (
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
            r"Unrecognized model in",
            r"^Exception: .* at line \d+ column \d+",  # the tokenizers library
            r"Following weights were not initialized",
            r"There is no module or parameter named",
            r"tokenizer.*(?:corrupt|untagged enum|missing field)",
            r"Couldn't instantiate the backend tokenizer",
            r"KeyError: 'added_tokens'",  # of a tokenizer.json without
            r"size of tensor .* must match .*\[load_weights\]",
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
        "an engine and transformers that know the model; engine.args: trust_remote_code where it brings code",
    ),
    Rule(
        "file not readable",
        FailureKind.ENVIRONMENT,
        (r"PermissionError", r"Permission denied", r"\[Errno 1\] Operation not permitted", r"Read-only file system"),
        "give this user access to the file or port in the line",
    ),
    Rule(
        "file missing",
        FailureKind.ENVIRONMENT,
        (r"FileNotFoundError", r"NotADirectoryError"),
        "make the file in the line available on this machine",
    ),
)
