"""Questions to a running server, each one short request over HTTP. No answer is None or False, never an exception."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

_DEADLINE_S = 5.0
_RESET_DEADLINE_S = 30.0


def answers(url: str, timeout_s: float = _DEADLINE_S) -> bool:
    """Whether GET answers 200 there."""
    return _ask("GET", url, "", None, timeout_s) is not None


def server_version(base_url: str, path: str = "/version") -> str | None:
    """Return the engine's version, ``version`` in the JSON of ``path``."""
    answer = _ask("GET", base_url, path, None, _DEADLINE_S)
    return str(answer["version"]) if isinstance(answer, dict) and "version" in answer else None


def max_model_len(base_url: str, token: str | None = None) -> int | None:
    """Return the longest sequence in tokens, prompt and output together, from ``GET /v1/models``."""
    answer = _ask("GET", base_url, "/v1/models", token, _DEADLINE_S)
    try:
        return int(answer["data"][0]["max_model_len"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def reset_prefix_cache(base_url: str, token: str | None = None, path: str | None = "/reset_prefix_cache") -> bool:
    """Empty the prefix cache by POST to ``path``; False where there is no such, or requests still run.

    vLLM offers ``/reset_prefix_cache`` only in development mode, which :mod:`scoot_ray.engine.kinds.vllm` turns on.
    """
    answer = path and _ask("POST", base_url, path, token, _RESET_DEADLINE_S)
    # Versions before 0.12 answer 200 without a body.
    return answer is not None and (not isinstance(answer, dict) or bool(answer.get("success", True)))


def _ask(method: str, base_url: str, path: str, token: str | None, timeout_s: float) -> Any:
    """Return the JSON of a 200 answer (its text where it is none), None for anything else. Proxies are not asked."""
    url = urlsplit(base_url)
    connect = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connect(url.hostname or "127.0.0.1", url.port, timeout=timeout_s)
    where = url.path.rstrip("/") + path if path else url._replace(scheme="", netloc="", fragment="").geturl()
    try:
        connection.request(method, where or "/", headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            return None
        return _parsed(body)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
