"""The flags the stand-in knows, spelled and typed as vLLM's."""

from __future__ import annotations

import argparse

_SWITCHES = (
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "async_scheduling",
    "enforce_eager",
    "disable_uvicorn_access_log",
)
_INTEGERS = {
    "max_num_seqs": 128,
    "max_num_batched_tokens": 2048,
    "max_model_len": 2048,
    "block_size": 16,
    "stream_interval": 1,
    "long_prefill_token_threshold": 0,
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "seed": 0,
}


def make_arg_parser(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add the flags to ``parser``, as vLLM's function of this name does."""
    parser.add_argument("model_tag", nargs="?")
    parser.add_argument("--model", default="fake/model")
    parser.add_argument("--served-model-name", default=None)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--dtype", choices=["auto", "bfloat16", "float16", "float32"], default="auto")
    parser.add_argument("--gpu-memory-utilization", type=float, default=0.9)
    parser.add_argument("--distributed-executor-backend", choices=["mp", "ray", "uni"], default=None)
    parser.add_argument("--disable-log-stats", action="store_true")
    for name, default in _INTEGERS.items():
        parser.add_argument(_flag(name), type=int, default=default)
    for name in _SWITCHES:
        parser.add_argument(
            _flag(name), action=argparse.BooleanOptionalAction, default=name.endswith(("caching", "prefill"))
        )
    return parser


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
