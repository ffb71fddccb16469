"""Questions to a running server, each one short request over HTTP. No answer is None or False, never an exception."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

_DEADLINE_S = 5.0
_RESET_DEADLINE_S = 30.0


def healthy(base_url: str, timeout_s: float = _DEADLINE_S) -> bool:
    """Whether ``GET /health`` answers 200."""
    return _ask("GET", base_url, "/health", None, timeout_s) is not None


def server_version(base_url: str) -> str | None:
    """Return the engine's version from ``GET /version``."""
    answer = _ask("GET", base_url, "/version", None, _DEADLINE_S)
    return str(answer["version"]) if isinstance(answer, dict) and "version" in answer else None


def max_model_len(base_url: str, token: str | None = None) -> int | None:
    """Return the longest sequence in tokens, prompt and output together, from ``GET /v1/models``."""
    answer = _ask("GET", base_url, "/v1/models", token, _DEADLINE_S)
    try:
        return int(answer["data"][0]["max_model_len"])
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def reset_prefix_cache(base_url: str, token: str | None = None) -> bool:
    """Empty the prefix cache; False where the engine cannot, or still has requests running.

    vLLM offers ``POST /reset_prefix_cache`` only in development mode, which :mod:`scoot_ray.engine.launch` turns on.
    """
    answer = _ask("POST", base_url, "/reset_prefix_cache", token, _RESET_DEADLINE_S)
    # Versions before 0.12 answer 200 without a body.
    return answer is not None and (not isinstance(answer, dict) or bool(answer.get("success", True)))


def _ask(method: str, base_url: str, path: str, token: str | None, timeout_s: float) -> Any:
    """Return the JSON of a 200 answer ("" where it has no body), None for anything else. Proxies are not asked."""
    url = urlsplit(base_url)
    connection = http.client.HTTPConnection(url.hostname or "127.0.0.1", url.port, timeout=timeout_s)
    try:
        connection.request(method, path, headers={"Authorization": f"Bearer {token}"} if token else {})
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            return None
        return json.loads(body) if body else ""
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()
