"""How exact the load generator is, and what it costs, beside others, against a server that knows when it sent what.

    python benchmarks/load/run.py [--tokens-per-s 1000 5000 20000] [--lockstep] [--repeat 3]
        [--vllm-python PATH --tokenizer FOLDER] [--guidellm PATH] [--aiperf PATH]

Client and server have a core each. Every stream gets a token each 22.5 ms (45 ms in lockstep); the number of streams
follows from the rate. Errors are in ms, p50 and p99 over requests (TTFT, TPOT, lateness) or tokens (lag):

- TTFT error: the reported first token after sending, less what the server did between receiving and sending it.
- TPOT error: the reported mean gap of a request less the server's.
- lag: when a token was noticed less when it was sent.
- late: when the server received a request less when it should have been sent.

CPU is the client's, all its processes', from the first request's arrival to the last token's sending, in ms per 1,000
tokens. Tools that say no times of single requests are judged by their percentiles: TTFT error p50 is then the
difference of the medians, p99 that of the 99th percentiles.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.judge import Judgement, judge_percentiles, judge_times
from benchmarks.load.tools import TOOLS, Setup, command_of, read_result
from benchmarks.load.usage import run_measured

CLIENT_CORE, SERVER_CORE = 0, 1
GAP_MS, LOCKSTEP_GAP_MS = 22.5, 45.0
TTFT_MS = 50.0
TOKENS = 200


@dataclass(frozen=True, slots=True)
class Case:
    """One load."""

    tokens_per_s: int
    lockstep: bool
    seconds: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.tokens_per_s / TOKENS


@contextmanager
def timing_server(lockstep: bool) -> Iterator[str]:
    """Run the server on its core; yield its URL."""
    command = [sys.executable, str(Path(__file__).with_name("timing_server.py")), f"--core={SERVER_CORE}"]
    command += [f"--ttft-ms={TTFT_MS}", f"--gap-ms={LOCKSTEP_GAP_MS if lockstep else GAP_MS}"]
    command += ["--lockstep"] if lockstep else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def measure(tool: str, path: str, case: Case, options: argparse.Namespace) -> Judgement:
    """Run one tool once against a server of its own."""
    with timing_server(case.lockstep) as url, tempfile.TemporaryDirectory() as folder:
        setup = Setup(url, Path(folder), case.rate, case.seconds, TOKENS, options.seed, options.tokenizer)
        usage = run_measured(command_of(tool, path, setup), CLIENT_CORE, Path(folder) / "output.log", options.timeout)
        with urllib.request.urlopen(f"{url}/log", timeout=60) as response:
            log: dict[str, Any] = json.load(response)
        times = [entry for entry in log.values() if entry["sent"]]
        tokens = sum(len(entry["sent"]) for entry in times)
        first_s = min(entry["received"] for entry in times)
        last_s = max(entry["sent"][-1] for entry in times)
        cpu_ms = usage.between(first_s, last_s) * 1e3 / tokens * 1e3
        share = usage.between(first_s, last_s) / (last_s - first_s)
        result = read_result(tool, setup)
        judge: Callable[..., Judgement] = judge_times if isinstance(result, list) else judge_percentiles
        return judge(result, log, cpu_ms, share)


def best_of(judgements: list[Judgement]) -> Judgement:
    """Each figure's best over the repetitions: the machine's other work only ever adds."""
    return Judgement(
        *(
            min((value for value in values if value is not None), default=None)
            for values in zip(*judgements, strict=True)
        )
    )


def chosen(options: argparse.Namespace) -> dict[str, str]:
    """The tools to run, each with the path of its interpreter or command."""
    given = {name: getattr(options, f"{name}_path") for name in TOOLS if name != "scoot-ray"}
    return {"scoot-ray": sys.executable} | {name: path for name, path in given.items() if path is not None}


def show(case: Case, tool: str, judgement: Judgement) -> None:
    """Print one row."""
    cells = [f"{value:9.3f}" if value is not None else "        -" for value in judgement]
    kind = "lockstep" if case.lockstep else "poisson"
    print(f"{case.tokens_per_s:8d} {kind:8s} {tool:10s} " + " ".join(cells), flush=True)


def main() -> None:
    """Print a row for each load and tool."""
    parser = argparse.ArgumentParser(description="Accuracy and cost of load generators against a timing server.")
    parser.add_argument("--tokens-per-s", type=int, nargs="+", default=[1000, 5000, 10000, 20000, 35000, 50000])
    parser.add_argument("--lockstep", action="store_true", help="all streams send at the same moments")
    parser.add_argument("--seconds", type=float, default=15.0, help="of arrivals")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each, of which the best is shown")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for one run of one tool")
    parser.add_argument("--vllm-python", dest="vllm_path", help="a Python that has vLLM")
    parser.add_argument("--guidellm", dest="guidellm_path", help="guidellm's command")
    parser.add_argument("--aiperf", dest="aiperf_path", help="aiperf's command")
    parser.add_argument("--tokenizer", help="a tokenizer's folder, which the other tools want")
    options = parser.parse_args()
    others = os.getloadavg()[0]
    print(f"one core for the client, one for the server; load average before: {others:.1f}")
    print(f"{'tokens/s':>8s} {'arrivals':8s} {'tool':10s} " + " ".join(f"{name:>9s}" for name in Judgement._fields))
    for tokens_per_s in options.tokens_per_s:
        case = Case(tokens_per_s, options.lockstep, options.seconds)
        judgements: dict[str, list[Judgement]] = {tool: [] for tool in chosen(options)}
        for _ in range(options.repeat):  # in turns, so that all meet the same neighbours
            for tool, path in chosen(options).items():
                judgements[tool].append(measure(tool, path, case, options))
        for tool, seen in judgements.items():
            show(case, tool, best_of(seen))


if __name__ == "__main__":
    main()
