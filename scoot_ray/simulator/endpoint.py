"""What a running vLLM says of itself: the size of its cache, its batches, its longest sequence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from scoot_ray.load.errors import LoadError

_TIMEOUT_S = 30.0
_CACHE_INFO = "vllm:cache_config_info"


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What the calibration needs to know; None where the engine does not say."""

    max_model_len: int | None = None
    kv_cache_tokens: int | None = None
    block_size: int | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None


async def learn_facts(session: aiohttp.ClientSession, base_url: str) -> EngineFacts:
    """Ask ``/v1/models``, ``/metrics``, and ``/server_info``, which vLLM has in development mode alone.

    Raises:
        LoadError: there is no server, or it refuses the key.
    """
    models = await _get(session, f"{base_url}/v1/models")
    if models is None:
        raise LoadError(f"base_url: {base_url}: does not list its models; allowed a running server, and its API key")
    metrics = await _get(session, f"{base_url}/metrics")
    server_info = await _get(session, f"{base_url}/server_info?config_format=json")
    return facts_from(models, metrics or "", server_info or "")


def facts_from(models: str, metrics: str, server_info: str) -> EngineFacts:
    """The facts in what the server has answered."""
    cache = cache_info(metrics)
    blocks, block_size = _whole(cache.get("num_gpu_blocks")), _whole(cache.get("block_size"))
    tokens = _whole(cache.get("kv_cache_size_tokens")) or (blocks * block_size if blocks and block_size else None)
    return EngineFacts(
        max_model_len=_whole(_dig(models, "data", 0, "max_model_len")),
        kv_cache_tokens=tokens,
        block_size=block_size,
        max_num_seqs=_whole(_dig(server_info, "vllm_config", "scheduler_config", "max_num_seqs")),
        max_num_batched_tokens=_whole(_dig(server_info, "vllm_config", "scheduler_config", "max_num_batched_tokens")),
    )


async def _get(session: aiohttp.ClientSession, url: str) -> str | None:
    """The body of a 200 answer, None for anything else."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as response:
            return await response.text() if response.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, UnicodeDecodeError):
        return None


def cache_info(metrics: str) -> Mapping[str, str]:
    """The labels of vLLM's gauge that tells its cache's configuration; empty where ``/metrics`` has none."""
    try:
        families = list(text_string_to_metric_families(metrics))
    except ValueError:
        return {}
    samples = (sample for family in families for sample in family.samples if sample.name == _CACHE_INFO)
    return next((sample.labels for sample in samples), {})


def _dig(text: str, *path: str | int) -> Any:
    """What stands at a path of a JSON document, None where nothing does."""
    try:
        node = json.loads(text)
        for key in path:
            node = node[key]
    except (ValueError, KeyError, IndexError, TypeError):
        return None
    return node


def _whole(value: object) -> int | None:
    """A positive integer, or its digits in a label."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
