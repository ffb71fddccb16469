from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from scoot_ray.load.server_metrics import ServerWatch, read_values, scrape
from scoot_ray.load.target import Target

VLLM = b"""\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m {1}"} 3.0
vllm:num_requests_running{engine="1",model_name="m {1}"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 5.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 5.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:kv_cache_usage_perc{engine="1"} 0.75
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{engine="0"} 2.0
vllm:num_preemptions_created{engine="0"} 1.7e+09
vllm:prefix_cache_queries_total{engine="0"} 1e+03
vllm:prefix_cache_hits_total{engine="0"} 400.0
vllm:iteration_tokens_total_bucket{engine="0",le="1.0"} 9.0
vllm:iteration_tokens_total_sum{engine="0"} 640.0
vllm:iteration_tokens_total_count{engine="0"} 10.0
"""
VLLM_VALUES = {
    "running": 7.0,
    "waiting": 5.0,
    "kv_usage": 0.75,
    "preemptions": 2.0,
    "prefix_queries": 1000.0,
    "prefix_hits": 400.0,
    "step_tokens": 640.0,
    "steps": 10.0,
}
SGLANG = b"""\
sglang:num_running_reqs{model_name="m"} 6.0
sglang:num_queue_reqs{model_name="m"} 2.0
sglang:token_usage{model_name="m"} 0.5
sglang:num_retracted_requests_total{model_name="m"} 1.0
sglang:prompt_tokens_total{model_name="m"} 900.0
sglang:cached_tokens_total{cache_source="device",model_name="m"} 300.0
sglang:cached_tokens_total{cache_source="host",model_name="m"} 30.0
sglang:generation_tokens_total{model_name="m"} 80.0
"""


def at(*urls: str) -> Target:
    return Target(urls, "m")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[BaseHTTPRequestHandler], None]
    asked: int = 0


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked += 1
        self.server.answer(self)

    def log_message(self, *_: object, **__: object) -> None:
        """Say nothing."""


def body(content: bytes, status: int = 200) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def trickle(handler: BaseHTTPRequestHandler) -> None:
    """A body that never ends, each piece well within a socket's timeout."""
    handler.send_response(200)
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"vllm:num_requests_running 1.0\n")
            time.sleep(0.02)
    except OSError:
        pass


@contextmanager
def serving(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[tuple[str, Server]]:
    server = Server(("127.0.0.1", 0), Handler)
    server.answer = answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server
    finally:
        server.shutdown()
        thread.join(timeout=10)
        server.server_close()


def test_engines_of_one_server_add_up_and_the_fullest_cache_counts() -> None:
    with serving(body(VLLM)) as (url, _):
        text = scrape(at(url), url)
    assert b"_by_reason" not in text
    assert b"_bucket" not in text
    assert read_values([text]) == VLLM_VALUES


def test_replicas_add_up() -> None:
    values = read_values([VLLM, VLLM])
    assert (values["running"], values["kv_usage"], values["prefix_hits"]) == (14.0, 0.75, 800.0)


def test_sglang_is_understood() -> None:
    values = read_values([SGLANG])
    assert (values["running"], values["waiting"], values["kv_usage"], values["preemptions"]) == (6.0, 2.0, 0.5, 1.0)
    assert (values["prefix_queries"], values["prefix_hits"]) == (900.0, 330.0)


def test_older_names_are_understood_and_what_is_no_number_is_absent() -> None:
    assert read_values([b'vllm:gpu_cache_usage_perc{model_name="m"} 0.5\nvllm:num_requests_running NaN\n']) == {
        "kv_usage": 0.5
    }


@pytest.mark.parametrize("text", [b"vllm:num_requests_running{", b"vllm:num_requests_running not-a-number\n", b"\xff"])
def test_what_is_no_prometheus_text_has_no_values(text: bytes) -> None:
    assert read_values([text]) == {}


@pytest.mark.parametrize("answer", [body(b"gone", 404), body(b"<html>hello</html>"), trickle])
def test_a_server_without_an_account_has_none(answer: Callable[[BaseHTTPRequestHandler], None]) -> None:
    with serving(answer) as (url, server):
        assert scrape(at(url), url, deadline_s=0.3) == b""
        watch = ServerWatch(at(url), interval_s=0.01)
        if answer is not trickle:
            watch.start()
            asked = server.asked
            assert watch.stop() == ()
            assert server.asked == asked


def test_nobody_listening_is_no_account() -> None:
    with serving(body(VLLM)) as (url, _):
        pass
    watch = ServerWatch(at(url))
    watch.start()
    assert watch.stop() == ()


def test_a_watch_has_a_sample_before_samples_during_and_one_after() -> None:
    with serving(body(VLLM)) as (url, server):
        watch = ServerWatch(at(url, url), interval_s=0.01)
        watch.start()
        while server.asked < 8:
            time.sleep(0.01)
        before_stop_s = time.monotonic()
        samples = watch.stop()
        asked = server.asked
        time.sleep(0.1)
        assert server.asked == asked
    assert len(samples) >= 4
    assert [sample.at_s for sample in samples] == sorted(sample.at_s for sample in samples)
    assert samples[-1].at_s >= before_stop_s
    assert samples[0].values["running"] == 14.0
