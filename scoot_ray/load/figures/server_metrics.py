"""The engine's own account of a load: its ``/metrics`` before, during and after the window.

A thread with a connection of its own asks about once a second and keeps the few lines that matter; nothing is parsed
before the load is over, since parsing would hold the interpreter that the sender needs. A server without ``/metrics``,
or one that is too slow to answer, simply has no account.
"""

from __future__ import annotations

import http.client
import math
import re
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

from prometheus_client.parser import text_string_to_metric_families

from scoot_ray.load.client.target import Target

Values: TypeAlias = Mapping[str, float]

INTERVAL_S = 1.0
DEADLINE_S = 2.0
_SHARE = 0.02  # of the time, at most, that a server spends on answering us: slow ones are asked less often
_MOST_BYTES = 16 << 20
_CHUNK_BYTES = 1 << 16

NAMES: Mapping[str, tuple[str, ...]] = {
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs", "trtllm_num_requests_running"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "trtllm_num_requests_waiting"),
    "kv_usage": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "sglang:token_usage",
        "trtllm_kv_cache_utilization",
    ),
    "preemptions": ("vllm:num_preemptions_total", "sglang:num_retracted_requests_total"),
    "prefix_queries": (
        "vllm:prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_queries_total",
        "sglang:prompt_tokens_total",
    ),
    "prefix_hits": ("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", "sglang:cached_tokens_total"),
    "prompt_tokens": ("vllm:prompt_tokens_total", "sglang:prompt_tokens_total", "trtllm_prompt_tokens_total"),
    "generation_tokens": (
        "vllm:generation_tokens_total",
        "sglang:generation_tokens_total",
        "trtllm_generation_tokens_total",
    ),
    "queue_s": (
        "vllm:request_queue_time_seconds_sum",
        "sglang:queue_time_seconds_sum",
        "trtllm_request_queue_time_seconds_sum",
    ),
    "queued": (
        "vllm:request_queue_time_seconds_count",
        "sglang:queue_time_seconds_count",
        "trtllm_request_queue_time_seconds_count",
    ),
    "step_tokens": ("vllm:iteration_tokens_total_sum",),
    "steps": ("vllm:iteration_tokens_total_count",),
}
"""What we call a value, and what engines call it: vLLM now and formerly, SGLang, TensorRT-LLM. The first counts."""

_LARGEST = frozenset({"kv_usage"})  # of several engines the fullest binds; everything else adds up
_WANTED = re.compile(
    rb"^(?:%b)[{ ].*$" % b"|".join(re.escape(name).encode() for name in sorted({*sum(NAMES.values(), ())})),
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the servers said at one ``time.monotonic()``, by the keys of NAMES; all replicas together."""

    at_s: float
    values: Values


class ServerWatch:
    """Asks the servers until it is stopped. Start it just before the load, stop it when the last answer is in."""

    def __init__(self, target: Target, interval_s: float = INTERVAL_S) -> None:
        self._target, self._interval_s = target, interval_s
        self._scrapes: list[tuple[float, list[bytes]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep_asking, name="server-metrics", daemon=True)

    def start(self) -> None:
        """Take the sample before the load, within DEADLINE_S for each server; without one nothing more is asked."""
        self._ask()
        if self._scrapes:
            self._thread.start()

    def stop(self) -> tuple[Sample, ...]:
        """Take the sample after the load and return all, oldest first; empty where the servers gave none."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(timeout=(DEADLINE_S + 1.0) * len(self._target.base_urls))
        if self._scrapes:
            self._ask()
        return tuple(Sample(at_s, read_values(text)) for at_s, text in self._scrapes)

    def _keep_asking(self) -> None:
        pause_s = self._interval_s
        while not self._over.wait(pause_s):
            began_s = time.monotonic()
            self._ask()
            pause_s = max(self._interval_s, (time.monotonic() - began_s) / _SHARE)

    def _ask(self) -> None:
        """Keep what all servers say now; with one of them silent there is no sample."""
        at_s = time.monotonic()
        texts = [scrape(self._target, url) for url in self._target.base_urls]
        known = [text for text in texts if text]
        if len(known) == len(texts):
            self._scrapes.append((at_s, known))


def scrape(target: Target, base_url: str, deadline_s: float = DEADLINE_S) -> bytes:
    """The lines of the server's metrics that NAMES names; empty where there are none, or not within ``deadline_s``."""
    url = urlsplit(base_url)
    connection = _connection(target, url, deadline_s)
    ends_s = time.monotonic() + deadline_s
    try:
        key = {} if target.api_key is None else {"Authorization": f"Bearer {target.api_key}"}
        connection.request(
            "GET", url.path + target.metrics_path, headers={"Accept": "text/plain", **key, **dict(target.headers)}
        )
        response = connection.getresponse()
        if response.status != http.client.OK:
            return b""
        return b"".join(line + b"\n" for line in _WANTED.findall(_read(response, ends_s)))
    except (OSError, ValueError, http.client.HTTPException):
        return b""
    finally:
        connection.close()


def _connection(target: Target, url: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    host = url.hostname or "127.0.0.1"
    if url.scheme != "https":
        return http.client.HTTPConnection(host, url.port, timeout=timeout_s)
    context = ssl.create_default_context()
    if target.ca_file is not None:
        context.load_verify_locations(target.ca_file)
    if target.insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, url.port, timeout=timeout_s, context=context)


def _read(response: http.client.HTTPResponse, ends_s: float) -> bytes:
    """The whole body. Raises TimeoutError where a slow or endless one does not end in time."""
    body = bytearray()
    while chunk := response.read1(_CHUNK_BYTES):
        body += chunk
        if time.monotonic() > ends_s or len(body) > _MOST_BYTES:
            raise TimeoutError
    return bytes(body)


def read_values(texts: Iterable[bytes]) -> dict[str, float]:
    """The values of NAMES in the Prometheus text of each server, over all engines and servers; absent if not there."""
    found: dict[str, list[float]] = {}
    for text in texts:
        for name, values in _samples(text).items():
            found.setdefault(name, []).extend(values)
    return {name: max(values) if name in _LARGEST else sum(values) for name, values in found.items()}


def _samples(text: bytes) -> dict[str, list[float]]:
    """One server's values, an entry for each of its engines."""
    by_name: dict[str, list[float]] = {}
    try:
        for family in text_string_to_metric_families(text.decode("utf-8", "replace")):
            for sample in family.samples:
                if math.isfinite(sample.value):
                    by_name.setdefault(sample.name, []).append(sample.value)
    except ValueError:  # not the format it seemed to be
        return {}
    named = {key: next((by_name[name] for name in names if name in by_name), []) for key, names in NAMES.items()}
    return {key: values for key, values in named.items() if values}
