"""SGLang's server. Facts: sglang 0.5.10 (``srt/server_args.py``, ``srt/entrypoints/http_server.py``).

It takes an API key on its command line or in a configuration file alone, shows the first to every user of the machine
and writes both into its log: so it gets none, and listens on loopback.
"""

from __future__ import annotations

from pathlib import Path

from scoot_ray.engine.flags import to_flags
from scoot_ray.engine.kinds.kind import FlagSource, Kind, Start, name_in_flags

_PARALLEL = ("tensor_parallel_size", "tp_size", "pipeline_parallel_size", "pp_size", "data_parallel_size", "dp_size")


def command(start: Start) -> list[str]:
    """``python -m sglang.launch_server``, with the metrics that tell what bound the engine."""
    own = ("--model-path", start.model, "--host", start.host, "--port", str(start.port))
    flags = {"enable_metrics": True, **start.flags}
    return [*(start.program or (start.python, "-m", "sglang.launch_server")), *own, *_flags(start, flags)]


def show(start: Start) -> list[str]:
    """The same, where the user will run it."""
    return ["python", "-m", "sglang.launch_server", "--model-path", start.model, *_flags(start, dict(start.flags))]


def _flags(start: Start, flags: dict[str, bool | int | float | str]) -> tuple[str, ...]:
    """An engine that could not be asked has no ``--no-`` form: only one flag of SGLang's has one."""
    return to_flags(flags, start.switches or flags.keys())


SGLANG = Kind(
    name="sglang",
    title="SGLang",
    dialect="sglang",
    command=command,
    show=show,
    served_name=name_in_flags,
    source=FlagSource(
        "sglang",
        "sglang",
        Path(__file__).parents[1] / "scripts" / "ask_sglang.py",
        "pip install sglang there",
        "srt/server_args.py",
    ),
    own=frozenset(
        {"host", "port", "model", "model_path", "api_key", "admin_api_key", "config", "grpc_mode", "use_ray"}
        | {"nnodes", "node_rank", "dist_init_addr", "ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "fastapi_root_path"}
    ),
    parallel=_PARALLEL,
    # The requests that may run are all data-parallel workers' together.
    limits={"max_num_seqs": "max_running_requests", "max_num_batched_tokens": "chunked_prefill_size"},
    longest="context_length",
    version="/server_info",
    reset="/flush_cache",
)
