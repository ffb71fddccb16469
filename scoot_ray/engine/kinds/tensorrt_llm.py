"""TensorRT-LLM's server. Facts: ``tensorrt_llm/commands/serve.py`` and ``serve/openai_server.py``, 1.0 to 1.3.

Its command line knows a part of the parameters; the others go into a YAML file of ``LlmArgs`` in the evaluation's
folder, nested ones by names with dots (``kv_cache_config.enable_block_reuse``). Which of the two wins has changed from
version to version, so nothing is ever in both. It knows no API key, and listens on loopback.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from scoot_ray.engine.flags import to_flags
from scoot_ray.engine.kinds.kind import FlagSource, Kind, Start
from scoot_ray.search.trial import Config, Value

OPTIONS_FILE = "llm_api_options.yaml"
_COMMAND_LINE = frozenset(
    {"backend", "log_level", "tokenizer", "custom_tokenizer", "custom_module_dirs", "trust_remote_code", "revision"}
    | {"max_beam_width", "max_batch_size", "max_num_tokens", "max_seq_len", "num_postprocess_workers", "telemetry"}
    | {"tensor_parallel_size", "tp_size", "pipeline_parallel_size", "pp_size", "context_parallel_size", "cp_size"}
    | {"moe_expert_parallel_size", "ep_size", "moe_cluster_parallel_size", "cluster_size", "gpus_per_node"}
    | {"reasoning_parser", "tool_parser", "chat_template", "media_io_kwargs", "served_model_name"}
    | {"fail_fast_on_attention_window_too_large", "otlp_traces_endpoint"}
)
# A ``kv_cache_config`` in the file has replaced the one made of the command line: so this is always in the file.
_IN_FILE = dict.fromkeys(
    ("kv_cache_free_gpu_memory_fraction", "free_gpu_memory_fraction"), "kv_cache_config.free_gpu_memory_fraction"
)


def command(start: Start) -> list[str]:
    """``trtllm-serve``, by its module: containers keep the script apart from the Python."""
    program = start.program or (start.python, "-m", "tensorrt_llm.commands.serve")
    return [*program, start.model, "--host", start.host, "--port", str(start.port), *_words(start, start.folder)]


def show(start: Start) -> list[str]:
    """The same by its script, with the file in the current folder."""
    return ["trtllm-serve", start.model, *_words(start, Path())]


def files(start: Start) -> Mapping[str, str]:
    """The YAML file, where anything is to be in it."""
    options: dict[str, Any] = {}
    for name, value in start.flags.items():
        if name not in _COMMAND_LINE:
            _put(options, _IN_FILE.get(name, name).split("."), value)
    return {OPTIONS_FILE: yaml.safe_dump(options)} if options else {}


def served_name(model: str, flags: Config) -> str:
    """A folder is served under its last part."""
    return str(flags.get("served_model_name", Path(model).name if Path(model).is_dir() else model))


def _words(start: Start, folder: Path) -> list[str]:
    """The options of the command line; its spelling has underscores, and switches without a ``--no-`` form."""
    flags = {name: value for name, value in start.flags.items() if name in _COMMAND_LINE}
    off = {name for name in flags if name != "telemetry"}
    words = [_underscored(word) for word in to_flags(flags, off)]
    return words + (["--extra_llm_api_options", str(folder / OPTIONS_FILE)] if files(start) else [])


def _underscored(word: str) -> str:
    if not word.startswith("--") or word == "--no-telemetry":
        return word
    name, given, value = word.removeprefix("--").partition("=")
    return "--" + name.replace("-", "_") + given + value


def _put(options: dict[str, Any], path: list[str], value: Value) -> None:
    *outer, last = path
    for name in outer:
        options = options.setdefault(name, {})
    options[last] = value


TENSORRT_LLM = Kind(
    name="tensorrt-llm",
    title="TensorRT-LLM",
    dialect="trtllm",
    command=command,
    show=show,
    files=files,
    served_name=served_name,
    source=FlagSource(
        "tensorrt-llm",
        "tensorrt_llm",
        Path(__file__).parents[1] / "scripts" / "ask_tensorrt_llm.py",
        "pip install tensorrt-llm there, or its image",
        "llmapi/llm_args.py",
    ),
    own=frozenset(
        {"host", "port", "model", "config", "extra_llm_api_options", "server_role", "metadata_server_config_file"}
        | {"disagg_cluster_uri", "grpc"}
    ),
    parallel=(
        *("tensor_parallel_size", "tp_size", "pipeline_parallel_size", "pp_size"),
        *("context_parallel_size", "cp_size"),
    ),
    limits={"max_num_seqs": "max_batch_size", "max_num_batched_tokens": "max_num_tokens"},
    longest="max_seq_len",
    variables={"TRTLLM_NO_USAGE_STATS": "1"},
    metrics="/prometheus/metrics",
)
