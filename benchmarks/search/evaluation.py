"""What a configuration does on a simulated service: metrics or a failure, and how long it would have taken."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.search.services import Scenario
from scoot_ray.engine.diagnose import Phase, diagnose
from scoot_ray.engine.launch import TooFewGpus
from scoot_ray.load import selection
from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.figures.metrics import request_latencies_s, successes
from scoot_ray.load.formats import read_trace
from scoot_ray.load.trace import RequestRecord
from scoot_ray.search import Config, Failed, FailureKind, Measured, Outcome
from scoot_ray.simulator import messages
from scoot_ray.simulator.boot import Booted, StartRefused
from scoot_ray.simulator.engine import EngineDied
from scoot_ray.simulator.service import Load, Service, replay

REFUSED_S = 30.0
"""How long a start that fails is taken to last; the simulator does not say."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of one configuration, and the virtual seconds from its start to its end."""

    outcome: Outcome
    took_s: float


class Evaluator:
    """Evaluates configurations of one scenario, always under the same arrivals."""

    def __init__(self, scenario: Scenario, order: int = 0) -> None:
        self.scenario, self.problem = scenario, scenario.problem()
        trace = read_trace(scenario.trace)
        chosen = selection.fit(trace.requests, scenario.max_model_len)
        arrivals = schedule(Arrivals(rate=scenario.rate), chosen.requests, duration_s=scenario.duration_s, order=order)
        self._load = Load(chosen.requests, arrivals, scenario.timeout_s)
        self._service = scenario.service()

    def evaluate(self, config: Config, seed: tuple[int, ...] | None) -> Evaluated:
        """Start and load the service; ``seed`` is of this evaluation's noise, None for none at all."""
        service = self._service if seed is not None else replace(self._service, noise=0.0)
        try:
            count, booted = service.replicas(config), service.boot(config)
        except TooFewGpus as error:
            return Evaluated(Failed(FailureKind.REJECTED, str(error)), REFUSED_S)
        except StartRefused as refused:
            return Evaluated(_diagnosed(refused.exit_code, refused.log, "start", config), REFUSED_S)
        return self._under_load(service, booted, count, config, seed or (0,))

    def _under_load(
        self, service: Service, booted: Booted, count: int, config: Config, seed: tuple[int, ...]
    ) -> Evaluated:
        try:
            replayed = replay(booted, count, self._load, service.noise, seed)
        except EngineDied as died:
            exit_code = None if booted.version == "0.4.2" else 0
            failed = _diagnosed(exit_code, (*booted.log, *died.log), "load", config)
            return Evaluated(failed, booted.start_s + self.scenario.duration_s / 2)  # somewhere in the load
        # Who is given up waits to the end of the timeout, whatever the engine does.
        waited_s = [record.scheduled_s + self.scenario.timeout_s for record in replayed.records if record.error]
        took_s = booted.start_s + max([replayed.virtual_s, *waited_s])
        if not successes(replayed.records):
            return Evaluated(Failed(FailureKind.STALLED, "no request succeeded in its time"), took_s)
        return Evaluated(Measured(_metrics(replayed.records)), took_s)


def _diagnosed(exit_code: int | None, log: tuple[str, ...], phase: Phase, config: Config) -> Failed:
    found = diagnose(exit_code, messages.text(log), phase, config)
    return Failed(found.kind, found.evidence)


def _metrics(records: tuple[RequestRecord, ...]) -> Mapping[str, float]:
    """Of the load generator's metrics those that the services need; ITL and its percentiles cost more than the load."""
    done = successes(records)
    latencies = [request_latencies_s(record) for record in done]
    ttft_ms, tpot_ms, e2el_ms = (
        np.array([one[name] for one in latencies if name in one]) * 1e3 for name in ("ttft", "tpot", "e2el")
    )
    ended_s = max(record.done_s for record in done if record.done_s is not None)
    return {
        "error_rate": 1 - len(done) / len(records),
        "request_throughput": len(done) / (ended_s - records[0].scheduled_s),
        "mean_ttft_ms": float(np.mean(ttft_ms)),
        "p95_ttft_ms": float(np.percentile(ttft_ms, 95)),
        "mean_tpot_ms": float(np.mean(tpot_ms)),
        "p95_e2el_ms": float(np.percentile(e2el_ms, 95)),
    }
