"""The winner as a file to deploy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from scoot_ray.engine.flags import quoted


def serve_script(result: Mapping[str, Any], now: datetime | None = None) -> str:
    """A shell script that serves with the recommended configuration, headed by what it was proved for."""
    recommended = result["recommended"]
    header = [
        f"study   {result['study']}",
        f"date    {(now or datetime.now(UTC)).date().isoformat()}",
        f"trace   sha256 {result['trace']['sha256']}",
        *(["SIMULATED: proved for a model of the engine, never measured on hardware"] if result["simulated"] else []),
        f"verdict {result['sentence']}",
        *_replicas(recommended["replicas"]),
        *_promised(result),
    ]
    exports = [_export(name, value) for name, value in recommended["env"].items()]
    comments = [f"# {_printable(line)}" for line in header]
    files = [_here(name, text) for name, text in recommended.get("files", {}).items()]
    lines = ["#!/bin/sh", *comments, *exports, *files, f"exec {quoted(recommended['command'])}", ""]
    return "\n".join(lines)


def _replicas(count: int) -> list[str]:
    return [f"serve   {count} replicas of this on GPUs of their own, behind a balancer"] if count > 1 else []


def _export(name: str, value: str | Mapping[str, str]) -> str:
    """A variable of the engine; a secret is taken from the variable that the study names."""
    if isinstance(value, str):
        return f"export {name}={shlex.quote(value)}"
    return f'export {name}="${{{value["from_env"]}:?}}"'


def _here(name: str, text: str) -> str:
    """Write a file that the command reads, beside the script's caller."""
    return f"cat > {shlex.quote(name)} <<'END_OF_FILE'\n{text}END_OF_FILE"


def _promised(result: Mapping[str, Any]) -> list[str]:
    """The promise of the recommended configuration, a line per metric."""
    config = result["recommended"]["config"]
    standing = next((one for one in result["confirmation"] if one["config"] == config), None)
    promises = standing["promises"] if standing else []
    return [
        f"promise {one['metric']}: worst of {len(one['runs'])} runs {one['worst']:.4g}"
        + (f", 95% bound for a further run {one['bound']:.4g}" if one["bound"] is not None else "")
        for one in promises
    ]


def _printable(text: str) -> str:
    """No line break may end the comment."""
    return "".join(character if character.isprintable() else "?" for character in text)
