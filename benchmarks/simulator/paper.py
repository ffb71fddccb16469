"""The SCOOT paper's observations on the simulated services of its Table II, from the runs of a sweep.

    scoot-ray sweep studies/paper/*.yaml --output runs/paper
    python benchmarks/simulator/paper.py runs/paper

Prints Markdown. Every figure is simulated; configurations are judged without noise, on arrival order 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoot_ray.resolve import Resolved, resolve
from scoot_ray.search import Config, Failed, Measured, Origin, Outcome, Trial
from scoot_ray.simulation import Simulation
from scoot_ray.study import Study, read_study

SERVICES = {"A": "sql-13b-2a100", "B": "bot-13b-2a100", "C": "bot-13b-2a10", "D": "bot-13b-4a10", "E": "bot-7b-4a10"}
X, Y = "mean_ttft_ms", "mean_tpot_ms"


class Service:
    """One run of the sweep: its study without noise, and what it found."""

    def __init__(self, folder: Path) -> None:
        path = folder / "study.yaml"
        study = read_study(path)
        quiet = Study.model_validate({**study.model_dump(), "engine": {**study.engine.model_dump(), "noise": 0.0}})
        self.resolved: Resolved = resolve(quiet, path)
        self.result: Mapping[str, Any] = json.loads((folder / "result.json").read_text())
        self._simulation = Simulation(self.resolved.study, self.resolved.trace.requests)

    def outcome(self, config: Config) -> Outcome:
        """What a configuration does here."""
        sizes = {"tensor_parallel_size": min(int(config["tensor_parallel_size"]), self.resolved.study.gpus)}
        return self._simulation.evaluate(Trial(0, {**config, **sizes}, Origin.MODEL))[0].outcome

    @property
    def default(self) -> Config:
        """The engine's own configuration."""
        return self.resolved.problem.space.default or {}

    def best(self, metric: str | None = None) -> Config:
        """The configuration of the front with the least ``metric``; without one, of the paper's equation 11."""
        front = self.result["front"]
        reference = self.result["default"].get("metrics") or {X: 1e9, Y: 1e9}

        def volume(one: Mapping[str, Any]) -> float:
            ttft_ms, tpot_ms = (max(0.0, reference[name] - float(one["metrics"][name])) for name in (X, Y))
            return float(ttft_ms * tpot_ms)

        chosen = max(front, key=volume) if metric is None else min(front, key=lambda one: one["metrics"][metric])
        config: Config = chosen["config"]
        return config


def shown(outcome: Outcome, reference: Outcome) -> str:
    """TTFT / TPOT relative to the default's, or why there are none."""
    match outcome, reference:
        case Measured(metrics=metrics), Measured(metrics=before):
            failed = f", {metrics['error_rate']:.0%} failed" if metrics["error_rate"] else ""
            return f"{metrics[X] / before[X] - 1:+.0%} / {metrics[Y] / before[Y] - 1:+.0%}{failed}"
        case Failed(kind=kind), _:
            return kind.value
        case _:
            return "the default fails"


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, help="folder of the sweep")
    runs = parser.parse_args().runs
    services = {name: Service(runs / folder) for name, folder in SERVICES.items()}
    references = {name: one.outcome(one.default) for name, one in services.items()}
    print("Best configurations (equation 11), simulated:\n")
    print("| service | " + " | ".join(services["A"].default) + " |")
    print("| --- " * (1 + len(services["A"].default)) + "|")
    for name, one in services.items():
        print(f"| {name} | " + " | ".join(_value(value) for value in one.best().values()) + " |")
    print("\nThe best of one applied to another, TTFT / TPOT against the other's default, simulated:\n")
    print("| best of | " + " | ".join(f"on {name}" for name in services) + " |")
    print("| --- " * (1 + len(services)) + "|")
    for name, one in services.items():
        cells = [shown(other.outcome(one.best()), references[key]) for key, other in services.items()]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print("\nThe ends of each front, TTFT / TPOT against the default, simulated:\n")
    print("| service | least TTFT | least TPOT |\n| --- | --- | --- |")
    for name, one in services.items():
        ends = [shown(one.outcome(one.best(metric)), references[name]) for metric in (X, Y)]
        print(f"| {name} | {ends[0]} | {ends[1]} |")


def _value(value: object) -> str:
    return f"{value:.2g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
