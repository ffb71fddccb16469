"""How much faster than real time the simulator is: ``python -m benchmarks.simulator.speed``.

For each service of the paper's Table II one evaluation of the default configuration: CPU seconds of this process
against the virtual seconds that the load lasts, best of three.
"""

from __future__ import annotations

import time
from pathlib import Path

from scoot_ray.resolve import resolve
from scoot_ray.search import Measured, Origin, Trial
from scoot_ray.simulation import Simulation
from scoot_ray.study import read_study

SERVICES = ("sql-13b-2a100", "bot-13b-2a100", "bot-13b-2a10", "bot-13b-4a10", "bot-7b-4a10")
STUDIES = Path(__file__).parents[2] / "studies" / "paper"


def main() -> None:
    """Print a table in Markdown."""
    print("| service | requests | tokens/s | virtual s | CPU s of an evaluation | times faster than real time |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in SERVICES:
        path = STUDIES / f"{name}.yaml"
        resolved = resolve(read_study(path), path)
        simulation = Simulation(resolved.study, resolved.trace.requests)
        trial = Trial(0, resolved.problem.space.default or {}, Origin.DEFAULT)
        took_s = []
        for _ in range(3):
            began_s = time.process_time()
            observation, _ = simulation.evaluate(trial)
            took_s.append(time.process_time() - began_s)
        assert isinstance(observation.outcome, Measured)
        metrics, virtual_s = observation.outcome.metrics, observation.timings["load_s"]
        print(
            f"| {name} | {metrics['completed']:.0f} | {metrics['total_token_throughput']:,.0f} | {virtual_s:.0f} "
            f"| {min(took_s):.2f} | {virtual_s / min(took_s):,.0f} |"
        )


if __name__ == "__main__":
    main()
