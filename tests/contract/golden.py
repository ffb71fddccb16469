"""The golden server as tests see it, and what its behaviours must be taken for."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scoot_ray.load.client.loop import PreciseEventLoop
from scoot_ray.load.client.target import Target
from scoot_ray.load.hooks import Hooks
from scoot_ray.load.plan import Call, ScheduledCall
from scoot_ray.load.replay import ReplayResult, replay

TOKENS = 6
CLOSE_S = 0.25
"""Far more than scheduling on a busy machine costs, far less than a confusion of events would."""

HARMLESS = (
    "plain", "role_delta", "pings", "crlf", "split", "coalesced", "paired", "utf8_cut", "reasoning", "hostile_text",
    "slow_head", "short_usage", "no_usage", "open_end", "reset_after_done", "trickled_head", "until_close",
)  # fmt: skip
FAULTS = {
    "in_stream_error": "in_stream",
    "aborted": "in_stream",
    "clean_cut": "cut",
    "rude_cut": "cut",
    "cut_inside_event": "cut",
    "broken_chunk": "cut",
    "reset": "cut",
    "zero_tokens": "empty",
    "no_content": "cut",
    "unavailable": "http_503",
    "redirected": "http_307",
    "garbage": "malformed",
    "json_error": "cut",
    "hang": "timeout",
    "stall": "stalled",
    "stall_with_pings": "stalled",
}
WHOLE = {
    "whole": None,
    "whole_empty": "empty",
    "whole_aborted": "in_stream",
    "json_error": "in_stream",
    "whole_no_json": "malformed",
    "whole_cut": "cut",
    "unavailable": "http_503",
    "reset": "cut",
    "hang": "timeout",
}


class Golden:
    """The server's process, seen from a test."""

    def __init__(self, port: int, ca_file: str | None = None) -> None:
        self.url = f"{'http' if ca_file is None else 'https'}://127.0.0.1:{port}"
        self._context = None if ca_file is None else ssl.create_default_context(cafile=ca_file)

    def script(self, **behaviours: Any) -> None:
        data = json.dumps({key.lstrip("_"): value for key, value in behaviours.items()}).encode()
        urllib.request.urlopen(f"{self.url}/script", data, timeout=30, context=self._context).close()

    def log(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/log", timeout=30, context=self._context) as response:
            entries: dict[str, Any] = json.load(response)
            return entries

    def target(self, **options: Any) -> Target:
        return Target(base_urls=(self.url,), model="golden", **options)


@contextmanager
def golden_server(certificate: str | None = None, key: str = "") -> Iterator[Golden]:
    command = [sys.executable, str(Path(__file__).with_name("golden_server.py"))]
    with subprocess.Popen(
        command if certificate is None else [*command, certificate, key], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield Golden(int(process.stdout.readline()), certificate)
        finally:
            process.kill()


def call(
    index: int, path: str = "/v1/completions", tokens: int = TOKENS, prompt_tokens: int = 3, **options: Any
) -> Call:
    content = {"messages": [{"role": "user", "content": "hi"}]} if "chat" in path else {"prompt": [5] * prompt_tokens}
    body = json.dumps({"max_tokens": tokens, **content}).encode()
    return Call(str(index), path, body, None if "chat" in path else prompt_tokens, tokens, **options)


def plan_of(count: int, gap_s: float = 0.01, **options: Any) -> list[ScheduledCall]:
    return [ScheduledCall(index, index * gap_s, call(index, **options)) for index in range(count)]


def fly(target: Target, plan: list[ScheduledCall], hooks: Hooks | None = None, drain_s: float = 60.0) -> ReplayResult:
    with asyncio.Runner(loop_factory=PreciseEventLoop) as runner:
        return runner.run(replay(target, plan, hooks=hooks or Hooks(), drain_s=drain_s))
