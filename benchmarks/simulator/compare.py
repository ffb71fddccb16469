"""The simulator against the engine it was calibrated on: the same requests, schedules and configurations for both.

Everything is measured once: what stands in the output folder already is not measured again. See README.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.simulator.report import METRICS, Row, markdown
from scoot_ray.cluster.cores import client_core
from scoot_ray.engine.catalogue import available_flags
from scoot_ray.engine.launch import EngineOptions, engine_spec
from scoot_ray.engine.process import EngineProcess, free_port, pin, start
from scoot_ray.engine.ready import StartFailed, wait_ready
from scoot_ray.engine.server import reset_prefix_cache
from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.formats import read_trace
from scoot_ray.load.measure import Load, run_replay
from scoot_ray.load.metrics import metrics_of
from scoot_ray.load.selection import fit
from scoot_ray.load.target import Target
from scoot_ray.load.trace import Request
from scoot_ray.search import Config
from scoot_ray.simulator import service
from scoot_ray.simulator.calibrate import Options, calibrate
from scoot_ray.simulator.fitted import Fitted, read_fitted
from scoot_ray.simulator.models import find_model

CONFIGS: tuple[Config, ...] = (
    {},
    {"max_num_seqs": 2},
    {"max_num_seqs": 4},
    {"max_num_seqs": 8},
    {"max_num_seqs": 16},
    {"max_num_seqs": 64, "max_num_batched_tokens": 512},
    {"max_num_seqs": 256, "max_num_batched_tokens": 4096},
    {"max_num_batched_tokens": 256},
    {"enable_prefix_caching": False},
    {"enable_prefix_caching": False, "max_num_batched_tokens": 256},
    {"long_prefill_token_threshold": 64},
    {"max_num_seqs": 8, "enable_prefix_caching": False},
)
REPEATED = (0, 3, 8)
"""Measured a second time, after all others: what the engine agrees with itself."""
SHARES = (0.9, 0.4)
"""Rates, as shares of what the simulator says the default can serve."""
START_S, TIMEOUT_S = 300.0, 300.0
ENV = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"}


@dataclass(frozen=True)
class Comparison:
    """What is compared, and where it is written."""

    engine_python: str
    model: str
    trace: str
    duration_s: float
    max_model_len: int
    out: Path

    @cached_property
    def requests(self) -> tuple[Request, ...]:
        """Those of the trace that the model can take."""
        return fit(read_trace(self.trace).requests, self.max_model_len).requests

    @cached_property
    def options(self) -> EngineOptions:
        """How every engine is started."""
        switches = sorted(available_flags(self.engine_python, ENV).switches)
        return EngineOptions(self.model, self.engine_python, self.args, ENV, switches)

    @property
    def args(self) -> Config:
        """Fixed arguments, for the engine and the simulator."""
        return {"dtype": "bfloat16", "max_model_len": self.max_model_len, "enforce_eager": True}

    @property
    def measured(self) -> Path:
        """One line for each load of the real engine."""
        return self.out / "measured.jsonl"


def main() -> None:
    """Run from the command line."""
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    comparison = Comparison(
        options.engine_python, options.model, options.trace, options.duration, options.max_model_len, options.out
    )
    machine = _calibrated(comparison)
    rates = tuple(options.rate or _rates(comparison, machine))
    chosen = range(min(options.configs, len(CONFIGS)))
    for repeat, numbers in ((0, chosen), (1, [number for number in REPEATED if number in chosen])):
        for number in numbers:
            _measure(comparison, number, repeat, rates)
    text = markdown(_rows(comparison, machine, rates))
    (options.out / "comparison.md").write_text(text, encoding="utf-8")
    print(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine-python", required=True, help="a Python that has vLLM for the CPU")
    parser.add_argument("--model", required=True, help="the model's folder")
    parser.add_argument("--trace", default="traces/bot-small.jsonl")
    parser.add_argument("--rate", type=float, nargs="+", help="requests per second; by default 0.9 and 0.4 of capacity")
    parser.add_argument("--duration", type=float, default=20.0, help="seconds of load")
    parser.add_argument("--max-model-len", type=int, default=2048)
    parser.add_argument("--configs", type=int, default=len(CONFIGS), help="only the first so many configurations")
    parser.add_argument("--out", type=Path, required=True)
    return parser


def _calibrated(comparison: Comparison) -> Fitted:
    path = comparison.out / "machine.json"
    if not path.exists():
        with _engine(comparison, {}) as (target, _, start_s):
            found = calibrate(target, Options(find_model(comparison.model), start_s=start_s), _say)
        (comparison.out / "calibration.json").write_text(json.dumps(found.document(), indent=2) + "\n")
        found.machine.write(path)
        _say(f"calibrated: median error of a step {found.median_error:.1%}")
    return read_fitted(path)


def _rates(comparison: Comparison, machine: Fitted) -> tuple[float, ...]:
    """Below and near what the default serves when all is offered at once."""
    most = _simulated(comparison, machine, {}, 1000.0)["request_throughput"]
    rates = tuple(round(most * share, 1) for share in SHARES)
    _say(f"the simulated default serves {most:.1f} requests per second: rates are {rates}")
    return rates


def _measure(comparison: Comparison, number: int, repeat: int, rates: tuple[float, ...]) -> None:
    """Offer each rate to one engine; append what is seen."""
    done = {(line["config"], line["repeat"], line["rate"]) for line in _lines(comparison)}
    missing = [rate for rate in rates if (number, repeat, rate) not in done]
    if not missing:
        return
    _say(f"configuration {number} {CONFIGS[number]}, repeat {repeat}")
    try:
        with _engine(comparison, CONFIGS[number]) as (target, engine, _):
            for rate in missing:
                reset_prefix_cache(engine.spec.base_url, engine.spec.api_key)
                line = {"config": number, "repeat": repeat, "rate": rate, **_replayed(comparison, target, rate)}
                with comparison.measured.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    except StartFailed as failure:
        _say(f"  {failure}")


def _replayed(comparison: Comparison, target: Target, rate: float) -> dict[str, Any]:
    load = Load(
        comparison.requests,
        Arrivals("poisson", rate),
        salt=f"rate {rate}",
        duration_s=comparison.duration_s,
        drain_s=TIMEOUT_S,
    )
    measurement = run_replay(target, load)
    audit = measurement.replay.audit
    _say(f"  {rate}/s: " + ", ".join(f"{name} {measurement.metrics[name]:.4g}" for name in METRICS))
    return {"valid": audit.valid, "reasons": [*audit.reasons], "metrics": measurement.metrics}


def _simulated(comparison: Comparison, machine: Fitted, config: Config, rate: float) -> Mapping[str, float]:
    """The same load in the simulator, as ``Load`` draws it with seed and order 0."""
    requests = comparison.requests
    timetable = schedule(Arrivals("poisson", rate), requests, duration_s=comparison.duration_s)
    booted = service.Service(find_model(comparison.model), machine, args=comparison.args).boot(config)
    replayed = service.replay(booted, 1, service.Load(requests, timetable, TIMEOUT_S), 0.0, (0,))
    return metrics_of(replayed.records, offered_s=timetable.span_s)


def _rows(comparison: Comparison, machine: Fitted, rates: tuple[float, ...]) -> list[Row]:
    return [
        Row(
            CONFIGS[line["config"]],
            line["rate"],
            line["repeat"],
            line["valid"],
            line["metrics"],
            _simulated(comparison, machine, CONFIGS[line["config"]], line["rate"]),
        )
        for line in _lines(comparison)
        if line["rate"] in rates
    ]


def _lines(comparison: Comparison) -> list[dict[str, Any]]:
    if not comparison.measured.exists():
        return []
    return [json.loads(line) for line in comparison.measured.read_text(encoding="utf-8").splitlines()]


@contextmanager
def _engine(comparison: Comparison, config: Config) -> Iterator[tuple[Target, EngineProcess, float]]:
    """A real engine as an evaluation has it, off the client's core; and the seconds it took to start."""
    with tempfile.TemporaryDirectory() as folder, client_core() as core:
        engine = start(engine_spec(comparison.options, config, Path(folder), free_port()))
        try:
            start_s = wait_ready(engine, START_S, config)
            core.settle(engine.pids, pin)
            yield (
                Target((engine.spec.base_url,), comparison.model, engine.spec.api_key, timeout_s=TIMEOUT_S),
                engine,
                start_s,
            )
        finally:
            engine.stop()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
