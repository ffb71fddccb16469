"""Rules for what a configuration is blamed for: it needs too much memory, is refused, or does not survive."""

from __future__ import annotations

from scoot_ray.engine.diagnose.rule import Rule
from scoot_ray.search.trial import FailureKind

MEMORY = (
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
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")

OUT_OF_MEMORY = (
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
            r"Not enough memory\b",
            r"larger than the profiled value -",
        ),
        "more memory for the KV cache (gpu_memory_utilization, mem_fraction_static, GPUs), or a shorter max_model_len",
        MEMORY,
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
            r"(?:Prefill|Decode) out of memory",
            r"CUBLAS_STATUS_ALLOC_FAILED",
            r"CUDA_ERROR_OUT_OF_MEMORY",
        ),
        "less memory per server: fewer sequences or batched tokens, a lower gpu_memory_utilization, more GPUs",
        MEMORY,
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
        (*MEMORY, "swap_space"),
    ),
    Rule(
        "worker killed",
        FailureKind.OUT_OF_MEMORY,
        (r"died.*exit ?code: -9\b", r"Failed core proc.*: -9\b", r"exited on signal 9", r"killed by the OOM killer"),
        "more memory for an evaluation, or fewer at a time on this machine; dmesg says whether it was that",
        MEMORY,
        ambiguous=True,
        weak=True,
        dead=True,
    ),
)

REJECTED = (
    Rule(
        "flag unknown",
        FailureKind.REJECTED,
        (
            r"error: unrecognized arguments",
            r"error: argument -",
            r"error: ambiguous option",
            r"error: the following arguments",
            r"No such option",
            r"Extra inputs are not permitted",
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
            r"not enough (?:allowed )?(?:NUMA|GPU)",
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
        (
            r"chunked prefill cannot be used with prefix caching",
            r"Prefix cache and chunked prefill are .*not supported",
        ),
        'add to the study: constraints: ["not (enable_chunked_prefill and enable_prefix_caching)"]',
        ("enable_chunked_prefill", "enable_prefix_caching"),
    ),
    Rule(
        "number format",
        FailureKind.REJECTED,
        (r"B?float\d+ is (?:only|not) supported", r"compute capability of at least"),
        "another dtype, or quantisation, that this GPU can compute with",
        ("dtype", "kv_cache_dtype", "quantization"),
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

UNDER_WAY = (
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
            r"Encountered an error in forward",
        ),
        "often a bug of a kernel: try another attention backend, or enforce_eager; if everything does it, the GPU",
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
        (
            r"Failed core proc.*: -\d",
            r"proc \S+ died unexpectedly",  # Python's resource tracker does so, too, and is started again
            r"died, exit code",
            r"Engine process .* died",
            r"warmup error",
            r"^!+ Segfault encountered",
            r"^Fatal Python error: (?:Segmentation fault|Aborted|Illegal instruction|Floating)",
        ),
        "nothing in the log says why: look at dmesg, and run it alone",
        ambiguous=True,
        weak=True,
        dead=True,
    ),
)
