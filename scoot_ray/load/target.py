"""Where a load goes: one service, at one or several base URLs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import aiohttp

from scoot_ray.load.errors import LoadError

Spread: TypeAlias = Literal["round_robin", "least_outstanding"]

KEEP_ALIVE_S = 2.0
"""Idle connections are closed before common servers close them (uvicorn: 5 s), so that none breaks under a request."""


@dataclass(frozen=True, slots=True)
class Target:
    """A served model and how long to wait for it. Raises LoadError for what is no HTTP URL.

    ``base_urls`` (with or without ``/v1``) are replicas of the same service. ``timeout_s`` bounds a request from its
    sending on, ``stall_s`` the silence between two events of its stream.
    """

    base_urls: tuple[str, ...]
    model: str
    api_key: str | None = field(default=None, repr=False)
    spread: Spread = "round_robin"
    connect_timeout_s: float = 10.0
    timeout_s: float = 600.0
    stall_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.base_urls:
            raise LoadError("base_url: is missing; allowed one or more")
        object.__setattr__(self, "base_urls", tuple(_normal(url) for url in self.base_urls))
        if not self.model:
            raise LoadError("model: is empty; allowed the served model's name")
        for name in ("connect_timeout_s", "timeout_s", "stall_s"):
            if not getattr(self, name) > 0:
                raise LoadError(f"{name}: {getattr(self, name)}; allowed a positive number of seconds")


def _normal(url: str) -> str:
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise LoadError(f"base_url: {url}; allowed http://host:port or https://host:port")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def open_session(target: Target) -> aiohttp.ClientSession:
    """Open a client that never queues a request: no limit of connections, no cookies, no proxies, no compression."""
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
    if target.api_key is not None:
        headers["Authorization"] = f"Bearer {target.api_key}"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
        headers=headers,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=target.connect_timeout_s),
        auto_decompress=False,
    )
