"""What is no longer as it was when a trial was measured. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_JUDGED_APART = frozenset({"trace_sha256", "traffic"})  # another trace is refused


@dataclass(frozen=True, slots=True)
class Change:
    """One thing then and now, in words."""

    what: str
    then: str
    now: str


def changes_of(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs between two environments; what only one of them noted is no change."""
    before, after = dict(_flat(then)), dict(_flat(now))
    return tuple(
        Change(what, before[what], after[what])
        for what in before
        if what not in _JUDGED_APART and what in after and before[what] != after[what]
    )


def surroundings(environment: Mapping[str, Any], noted: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The environment that a driver wrote, with what the trial's own node and engine said, which is nearer."""
    own = {name: noted[name] for name in ("engine_version", "max_model_len", "replicas", "gpus") if noted.get(name)}
    kept = {name: value for name, value in environment.items() if name not in _JUDGED_APART}
    return {**kept, **own, "host": host}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif isinstance(value, list):
            yield f"{prefix}{name}", ", ".join(map(str, value))
        elif value is not None:
            yield f"{prefix}{name}", str(value)
