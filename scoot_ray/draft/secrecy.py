"""What must never be written into a study."""

from __future__ import annotations

import re

_NAMES = frozenset({"key", "apikey", "token", "secret", "password", "passwd", "credential", "credentials"})
# Hugging Face, OpenAI and those like it, GitHub, AWS; a password within a URL.
_VALUES = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bAKIA[A-Z0-9]{12,}|://[^/\s:@]*:[^/\s@]+@"
    r"|\"[\w-]*(?:token|secret|password|api[_-]?key)\"\s*:\s*\"[^\"]+\"",
    re.IGNORECASE,
)


def is_secret(name: str, value: str) -> bool:
    """Whether a flag or variable of this name and value may be one: by either."""
    return bool(_NAMES & set(re.split(r"[_.-]", name.lower()))) or bool(_VALUES.search(value))
