"""What a live endpoint says of itself: its models, its version, the cache it was started with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from scoot_ray.load.client.target import Target, open_session
from scoot_ray.load.errors import LoadError
from scoot_ray.simulator.endpoint import cache_info

_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model of ``/v1/models``: the name that requests use, and, in vLLM, what was loaded and how long it may get."""

    name: str
    root: str | None = None
    max_model_len: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """All that was told; empty or None where it was not. ``cache`` are flags of vLLM by name, in its own words."""

    models: tuple[ServedModel, ...] = ()
    version: str | None = None
    cache: Mapping[str, str] = field(default_factory=dict)


def ask(target: Target, version_path: str) -> Endpoint:
    """Ask the first of the target's servers.

    Raises:
        LoadError: it cannot be reached, or refuses the key.
    """
    return asyncio.run(_ask(target, version_path))


async def _ask(target: Target, version_path: str) -> Endpoint:
    base = target.base_urls[0]
    async with open_session(target) as session:
        status, models = await _get(session, base, "/v1/models")
        if status in {401, 403}:
            raise LoadError(f"base_url: {base}: refuses the key ({status}); --api-key-env names the variable with it")
        _, version = await _get(session, base, version_path)
        _, metrics = await _get(session, base, target.metrics_path)
    return Endpoint(_models(_json(models)), _version(_json(version)), cache_info(metrics))


async def _get(session: aiohttp.ClientSession, base: str, path: str) -> tuple[int, str]:
    """Status and text; the text of anything but 200 is empty."""
    try:
        async with session.get(base + path, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as response:
            return response.status, await response.text(errors="replace") if response.status == 200 else ""
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is one
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise LoadError(f"base_url: {base}: cannot be reached: {reason}; allowed a running server") from error


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _models(answer: Any) -> tuple[ServedModel, ...]:
    listed = answer.get("data") if isinstance(answer, dict) else None
    rows = [row for row in listed if isinstance(row, dict) and row.get("id")] if isinstance(listed, list) else []
    return tuple(ServedModel(str(row["id"]), _text(row.get("root")), _whole(row.get("max_model_len"))) for row in rows)


def _version(answer: Any) -> str | None:
    return _text(answer.get("version")) if isinstance(answer, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
