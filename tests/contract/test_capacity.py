"""The capacity verb against a live server whose limits are known."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from scoot_ray.cli import main

FAKE_VLLM = str(Path(__file__).parents[1] / "fake_vllm")
STARTED_WITHIN_S = 60.0


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A fake engine with two seats: one request takes some 50 ms, so it serves about 40 a second."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", "m", "--port", str(port)]
    env = {**os.environ, "PYTHONPATH": FAKE_VLLM}
    with subprocess.Popen([*command, "--max-num-seqs", "2"], env=env, stderr=subprocess.DEVNULL) as process:
        _wait_healthy(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
        process.terminate()


def _wait_healthy(base_url: str) -> None:
    deadline_s = time.monotonic() + STARTED_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            urllib.request.urlopen(f"{base_url}/health", timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(base_url)


def capacity(url: str, folder: Path, *options: str) -> Result:
    trace = folder / "trace.jsonl"
    trace.write_text(json.dumps({"timestamp": 0, "input_length": 40, "output_length": 10}) + "\n")
    arguments = ["capacity", "--base-url", url, "--model", "m", "--trace", str(trace), "--json", "-", *options]
    return CliRunner().invoke(main, arguments)


def document(done: Result) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    if any(probe["verdict"] == "invalid" for probe in found["probes"]):
        pytest.skip("this machine is too busy to measure on")
    return found


def test_the_servers_limit_is_found_and_explained(url: str, tmp_path: Path) -> None:
    options = ("--slo", "ttft:p90<400ms", "--start-rate", "10", "--max-rate", "640", "--duration", "2")
    done = capacity(url, tmp_path, *options, "--precision", "40%")
    found = document(done)
    assert done.exit_code == 0
    assert found["limited_by"] == "server"
    assert 10 <= found["capacity"] < found["not_held"] <= 160
    worst = max(found["probes"], key=lambda probe: probe["rate"])
    assert worst["verdict"] == "broken"
    assert worst["bound_by"] == "sequences"
    assert worst["why"][0].startswith("p90_ttft_ms<400: ")
    assert "rates tried" in done.stderr
    assert found["sentence"] in done.stderr


def test_what_holds_up_to_the_highest_rate_is_no_limit_of_the_server(url: str, tmp_path: Path) -> None:
    done = capacity(url, tmp_path, "--slo", "e2el:p50<60s", "--start-rate", "4", "--max-rate", "8", "--duration", "1.5")
    found = document(done)
    assert (done.exit_code, found["capacity"], found["not_held"]) == (0, 8.0, None)
    assert "the service may hold more" in found["sentence"]


def test_an_slo_that_never_holds_is_a_failure(url: str, tmp_path: Path) -> None:
    options = (
        "--slo",
        "ttft:p50<0.001ms",
        "--start-rate",
        "4",
        "--max-rate",
        "8",
        "--duration",
        "1",
        "--max-probes",
        "2",
    )
    done = capacity(url, tmp_path, *options)
    assert done.exit_code == 1
    assert document(done)["capacity"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--slo", "ttft<500ms", "--max-rate", "8"), "slo: SLO 'ttft<500ms': say which statistic"),
        (("--slo", "ttft:p99<1s", "--max-rate", "0"), "rate: from 0 to 0"),
        (("--slo", "ttft:p99<1s", "--max-rate", "8", "--start-rate", "9"), "rate: from 9 to 8"),
        (("--slo", "ttft:p99<1s", "--max-rate", "8", "--precision", "500%"), "precision: 5; allowed between 0 and 1"),
        (("--slo", "ttft:p99<1s", "--max-rate", "8", "--precision", "tight"), "'tight' is no share"),
        (("--slo", "ttft:p99<1s", "--max-rate", "8", "--duration", "-1"), "duration_s: -1"),
        (("--max-rate", "8"), "--slo"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_sent(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    done = capacity("http://127.0.0.1:9", tmp_path, *options)
    assert done.exit_code == 2
    assert words in done.stderr
    assert done.stdout == ""
