"""Where a load goes: one service, at one or several base URLs."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

import aiohttp

from scoot_ray.load.errors import LoadError

Spread: TypeAlias = Literal["round_robin", "least_outstanding"]
Header: TypeAlias = tuple[str, str]

KEEP_ALIVE_S = 2.0
"""Idle connections are closed before common servers close them (uvicorn: 5 s), so that none breaks under a request."""


@dataclass(frozen=True, slots=True)
class Target:
    """A served model and how long to wait for it. Raises LoadError for what is no HTTP URL, header or file of CAs.

    ``base_urls`` (with or without ``/v1``) are replicas of the same service. ``timeout_s`` bounds a request from its
    sending on, ``stall_s`` the silence between two events of its stream. ``ca_file`` has the certificates (PEM) to
    trust besides the system's; ``insecure`` trusts any. ``headers`` go with every request. ``metrics_path`` has the
    engine's figures for Prometheus.
    """

    base_urls: tuple[str, ...]
    model: str
    api_key: str | None = field(default=None, repr=False)
    spread: Spread = "round_robin"
    connect_timeout_s: float = 10.0
    timeout_s: float = 600.0
    stall_s: float = 120.0
    ca_file: str | None = None
    insecure: bool = False
    headers: tuple[Header, ...] = field(default=(), repr=False)
    metrics_path: str = "/metrics"

    def __post_init__(self) -> None:
        if not self.base_urls:
            raise LoadError("base_url: is missing; allowed one or more")
        object.__setattr__(self, "base_urls", tuple(_normal(url) for url in self.base_urls))
        if not self.model:
            raise LoadError("model: is empty; allowed the served model's name")
        for name in ("connect_timeout_s", "timeout_s", "stall_s"):
            if not getattr(self, name) > 0:
                raise LoadError(f"{name}: {getattr(self, name)}; allowed a positive number of seconds")
        if self.ca_file is not None and self.insecure:
            raise LoadError("ca_file: stands beside insecure; allowed one of the two")
        for name, value in self.headers:
            if not name or not (name + value).isprintable() or ":" in name or " " in name:
                raise LoadError(f"header: {name!r} is no header; allowed Name: value, on one line")
        _trust(self)


def _normal(url: str) -> str:
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise LoadError(f"base_url: {url}; allowed http://host:port or https://host:port")
    return url.rstrip("/").removesuffix("/v1").rstrip("/")


def _trust(target: Target) -> ssl.SSLContext | bool:
    """Whom to believe: as aiohttp's ``ssl`` takes it."""
    if target.ca_file is None:
        return not target.insecure
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(target.ca_file)
    except OSError as error:
        reason = "has no certificates" if isinstance(error, ssl.SSLError) else error.strerror
        raise LoadError(f"ca_file: {target.ca_file}: {reason}; allowed a file of certificates (PEM)") from error
    return context


class ConnectionCounter(aiohttp.TraceConfig):
    """Counts the connections that a session opens."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = 0
        self.on_connection_create_end.append(self._count)

    async def _count(
        self, *_: aiohttp.ClientSession | SimpleNamespace | aiohttp.TraceConnectionCreateEndParams
    ) -> None:
        self.opened += 1


def connections_opened(session: aiohttp.ClientSession) -> int:
    """Count the connections that a session of ``open_session`` has opened so far."""
    return sum(trace.opened for trace in session.trace_configs if isinstance(trace, ConnectionCounter))


def open_session(target: Target) -> aiohttp.ClientSession:
    """Open a client that never queues a request: no limit of connections, no cookies, no proxies, no compression."""
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream", "Accept-Encoding": "identity"}
    if target.api_key is not None:
        headers["Authorization"] = f"Bearer {target.api_key}"
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S, ssl=_trust(target)),
        headers={**headers, **dict(target.headers)},
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=target.connect_timeout_s),
        auto_decompress=False,
        trace_configs=[ConnectionCounter()],
    )
