"""The load generators that are compared: how each is started, and where it leaves its figures."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks.load.judge import Reported

TOOLS = ("scoot-ray", "vllm", "guidellm", "aiperf")
PROMPT_TOKENS = 32
_PREFIX = "bench-"

# `vllm bench serve` itself; the CPU build's command line fails for want of package metadata
_VLLM_BENCH_SERVE = (
    "import argparse; from vllm.benchmarks.serve import add_cli_args, main; "
    "parser = argparse.ArgumentParser(); add_cli_args(parser); main(parser.parse_args())"
)


@dataclass(frozen=True, slots=True)
class Setup:
    """One run: the server, a folder for files, requests per second, seconds, and tokens of each answer."""

    url: str
    folder: Path
    rate: float
    seconds: float
    tokens: int
    seed: int
    tokenizer: str | None

    @property
    def requests(self) -> int:
        """How many requests are to be sent."""
        return max(1, round(self.rate * self.seconds))


def command_of(tool: str, path: str, setup: Setup) -> list[str]:
    """Build the command that sends the load. Raises ValueError for a tool that wants a tokenizer and has none."""
    if tool == "scoot-ray":
        return _scoot_ray(path, setup)
    if setup.tokenizer is None:
        raise ValueError(f"--tokenizer: is missing; {tool} makes its prompts with one")
    return {"vllm": _vllm, "guidellm": _guidellm, "aiperf": _aiperf}[tool](path, setup, setup.tokenizer)


def read_result(tool: str, setup: Setup) -> list[Reported] | dict[int, float]:
    """Read what a tool reported: requests where it gives their times, else TTFT percentiles (rank to ms)."""
    if tool == "scoot-ray":
        requests = json.loads((setup.folder / "out.json").read_text())["requests"]
        return [Reported(str(row["i"]), row["sched"], row["sent"], row["ev"]) for row in requests if not row["error"]]
    if tool == "vllm":
        return _vllm_result(setup)
    if tool == "guidellm":
        return _guidellm_result(setup)
    return _aiperf_result(setup)


def _scoot_ray(path: str, setup: Setup) -> list[str]:
    trace = setup.folder / "trace.jsonl"
    row = {"timestamp": 0, "input_length": PROMPT_TOKENS, "output_length": setup.tokens}
    trace.write_text((json.dumps(row) + "\n") * 8)
    command = [path, "-m", "scoot_ray", "replay", "--base-url", setup.url, "--model", "timing", "--trace", str(trace)]
    command += ["--rate", str(setup.rate), "--duration", str(setup.seconds), "--seed", str(setup.seed)]
    return [*command, "--json", str(setup.folder / "out.json"), "--processes", "1"]


def _vllm(path: str, setup: Setup, tokenizer: str) -> list[str]:
    command = [path, "-c", _VLLM_BENCH_SERVE, "--base-url", setup.url, "--model", "timing"]
    command += ["--tokenizer", tokenizer, "--dataset-name", "random", "--random-input-len", str(PROMPT_TOKENS)]
    command += ["--random-output-len", str(setup.tokens), "--num-prompts", str(setup.requests), "--ignore-eos"]
    command += ["--request-rate", str(setup.rate), "--seed", str(setup.seed), "--request-id-prefix", _PREFIX]
    command += ["--disable-tqdm", "--ready-check-timeout-sec", "0", "--save-result", "--save-detailed"]
    return [*command, "--result-dir", str(setup.folder), "--result-filename", "out.json"]


def _vllm_result(setup: Setup) -> list[Reported]:
    result = json.loads((setup.folder / "out.json").read_text())
    rows = zip(result["start_times"], result["ttfts"], result["itls"], strict=True)
    return [
        Reported(f"{_PREFIX}{index}", None, start_s, list(accumulate(gaps_s, initial=start_s + ttft_s)))
        for index, (start_s, ttft_s, gaps_s) in enumerate(rows)
        if ttft_s
    ]


def _guidellm(path: str, setup: Setup, tokenizer: str) -> list[str]:
    shape = f"prompt_tokens={PROMPT_TOKENS},output_tokens={setup.tokens}"
    command = [path, "benchmark", "run", "--target", setup.url, "--model", "timing", "--processor", tokenizer]
    command += ["--profile", "poisson", "--rate", str(setup.rate), "--max-requests", str(setup.requests)]
    return [*command, "--data", shape, "--output-dir", str(setup.folder), "--outputs", "json"]


def _guidellm_result(setup: Setup) -> dict[int, float]:
    (path,) = setup.folder.glob("bench*.json")
    metrics = json.loads(path.read_text())["benchmarks"][0]["metrics"]
    percentiles = metrics["time_to_first_token_ms"]["successful"]["percentiles"]
    return {50: percentiles["p50"], 99: percentiles["p99"]}


def _aiperf(path: str, setup: Setup, tokenizer: str) -> list[str]:
    command = [path, "profile", "--url", setup.url, "--model", "timing", "--tokenizer", tokenizer, "--streaming"]
    command += ["--endpoint-type", "completions", "--request-rate", str(setup.rate), "--ui", "none"]
    command += ["--request-count", str(setup.requests), "--random-seed", str(setup.seed)]
    command += ["--isl", str(PROMPT_TOKENS), "--osl", str(setup.tokens), "--extra-inputs", "ignore_eos:true"]
    return [*command, "--artifact-dir", str(setup.folder / "artifacts")]


def _aiperf_result(setup: Setup) -> dict[int, float]:
    (path,) = (setup.folder / "artifacts").rglob("profile_export_aiperf.json")
    figures = json.loads(path.read_text())["time_to_first_token"]
    return {50: figures["p50"], 99: figures["p99"]}
