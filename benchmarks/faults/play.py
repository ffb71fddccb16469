"""One small study on simulated engines in real processes, run by the command line as a user would."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks.faults.invariants import Event, settled
from benchmarks.faults.machines import RAY, Stage

BUDGET = 6
_SCOOT_RAY = (sys.executable, "-m", "scoot_ray")


def document(name: str, seed: int) -> dict[str, Any]:
    """The study: no configuration of it fails, an evaluation takes two seconds and the engine's start."""
    counts = {"type": "integer", "low": 16, "high": 256, "scale": "powers_of_two", "default": 128}
    return {
        "name": name,
        "tuner": "random",
        "seed": seed,
        "engine": {
            "kind": "simulated",
            "clock": "real",
            "model": "Llama-2-7b-hf",
            "args": {"max-model-len": 2048},
            "hardware": {"accelerator": "A100-80G", "count": 1},
        },
        "resources": {"cpus": 1},
        "parallelism": 3,
        "workload": {
            "trace": "trace.jsonl",
            "arrivals": {"process": "constant", "rate": 4},
            "duration_s": 2,
            "warmup": 1,
            "request_timeout_s": 20,
        },
        "objectives": "interactive",
        "space": {
            "max_num_seqs": counts,
            "max_num_batched_tokens": {**counts, "low": 2048, "high": 8192, "default": 2048},
        },
        "budget": {"observations": BUDGET},
        "confirmation": {"finalists": 0},
    }


@dataclass(slots=True)
class Play:
    """A study in a folder of its own, and its drivers."""

    stage: Stage
    folder: Path
    seed: int
    drivers: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        rows = ({"timestamp": 250 * i, "input_length": 30 + i, "output_length": 4 + i % 3} for i in range(40))
        self.folder.joinpath("trace.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        study = {**document("study", self.seed), "output": str(self.folder)}
        self.folder.joinpath("study.yaml").write_text(yaml.safe_dump(study))

    @property
    def output(self) -> Path:
        """The run's folder."""
        return self.folder / "study"

    def tune(self) -> None:
        """Start the study."""
        self._drive([*_SCOOT_RAY, "tune", "study.yaml", "--ray-address", self.stage.address])

    def submit(self) -> None:
        """Start the study as a Ray job; the command here follows it."""
        tune = [*_SCOOT_RAY, "tune", str(self.folder / "study.yaml"), "--ray-address", self.stage.address]
        self._drive([*self._job("submit"), "--submission-id=faults", "--", *tune])

    def stop_job(self) -> None:
        """What ``ray job stop`` does."""
        command = [*self._job("stop"), "faults"]
        subprocess.run(command, env=self.stage.environment(), capture_output=True, check=True, timeout=120)

    def resume(self) -> None:
        """Go on with it."""
        self._drive([*_SCOOT_RAY, "resume", str(self.output), "--ray-address", self.stage.address])

    @property
    def driver(self) -> subprocess.Popen[str]:
        """The last one started."""
        return self.drivers[-1]

    @property
    def said(self) -> str:
        """What the last driver has printed last."""
        lines = self._log(len(self.drivers) - 1).read_text().strip().splitlines()
        return lines[-1] if lines else ""

    def wait(self, deadline_s: float) -> int | None:
        """The last driver's exit code; None where it does not end in time."""
        try:
            return self.driver.wait(deadline_s)
        except subprocess.TimeoutExpired:
            return None

    @property
    def events(self) -> list[Event]:
        """The journal as it is."""
        return [_read(path) for path in sorted(self.output.joinpath("journal").glob("[0-9]*.json"))]

    @property
    def settled(self) -> int:
        """How many trials have their outcome."""
        return len(settled(self.events))

    @property
    def result(self) -> Mapping[str, Any] | None:
        """result.json, where there is one."""
        path = self.output / "result.json"
        return _read(path) if path.is_file() else None

    @property
    def saved(self) -> dict[int, Any]:
        """The outcome in each trial's own file."""
        paths = self.output.joinpath("trials").glob("*/result.json")
        return {int(path.parent.name): _read(path)["outcome"] for path in paths}

    def close(self) -> None:
        """Kill the drivers that still run."""
        for driver in self.drivers:
            if driver.poll() is None:
                for child in psutil.Process(driver.pid).children(recursive=True):
                    child.kill()
                driver.send_signal(signal.SIGKILL)
                driver.wait(timeout=30)

    def _job(self, verb: str) -> list[str]:
        return [RAY, "job", verb, "--address", f"http://127.0.0.1:{self.stage.dashboard_port}"]

    def _drive(self, command: list[str]) -> None:
        with self._log(len(self.drivers)).open("w") as log:
            self.drivers.append(
                subprocess.Popen(
                    command,
                    cwd=self.folder,
                    env=self.stage.environment(),
                    stdout=log,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
            )

    def _log(self, number: int) -> Path:
        return self.folder / f"driver-{number}.log"


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found
