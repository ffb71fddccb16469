"""Whether models can be fetched. Offline is fine where they are here already."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

from scoot_ray.doctor.finding import Finding, fine, note

_DEADLINE_S = 5.0
_ENDPOINT = "https://huggingface.co"
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def hub(env: Mapping[str, str] | None = None, deadline_s: float = _DEADLINE_S) -> Iterator[Finding]:
    """Ask the hub for its front page, and say whether there is a token, never which."""
    env = os.environ if env is None else env
    offline = next((name for name in _OFFLINE if env.get(name, "0") not in {"", "0"}), None)
    if offline is not None:
        yield fine("hub", f"not asked, since {offline} is set; models must be here already")
        return
    endpoint = env.get("HF_ENDPOINT") or _ENDPOINT
    host = _without_password(endpoint)
    trouble = _trouble(endpoint, deadline_s)
    if trouble is None:
        yield fine("hub", f"{host} answers; {_token(env)}")
    else:
        said = f"{host} does not answer ({trouble}); models must be folders, or in the cache already"
        yield note("hub", said, "export HF_HUB_OFFLINE=1  # so that nothing waits for it")


def _trouble(endpoint: str, deadline_s: float) -> str | None:
    """Why there is no answer; any answer at all is one."""
    if not endpoint.startswith(("http://", "https://")):
        return "HF_ENDPOINT is no http URL"
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=deadline_s):  # noqa: S310 - http alone, checked above
            return None
    except urllib.error.HTTPError:
        return None
    except urllib.error.URLError as error:
        return str(getattr(error.reason, "strerror", None) or error.reason)
    except (OSError, ValueError) as error:
        return str(error) or type(error).__name__


def _token(env: Mapping[str, str]) -> str:
    named = next((name for name in _TOKENS if env.get(name)), None)
    return f"{named} is set" if named else "no token is set, so gated models cannot be fetched"


def _without_password(endpoint: str) -> str:
    return endpoint.rpartition("@")[2].removeprefix("https://").removeprefix("http://").rstrip("/")
