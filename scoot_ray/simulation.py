"""One evaluation in virtual time: what ``cluster.evaluation`` measures, computed. No Ray, no clock."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scoot_ray.engine.diagnose import Phase, diagnose
from scoot_ray.engine.launch import TooFewGpus
from scoot_ray.hopeless import Rule, Watch, watch
from scoot_ray.load import selection
from scoot_ray.load.arrivals import Arrivals, schedule
from scoot_ray.load.capacity.decision import Probe, Try, find, judge
from scoot_ray.load.capacity.probing import ORDERS_APART, evaluation_search
from scoot_ray.load.figures.goodput import Limit
from scoot_ray.load.figures.intervals import intervals_of
from scoot_ray.load.figures.metrics import metrics_of
from scoot_ray.load.figures.records import record_to_json
from scoot_ray.load.figures.runs import mean_of, with_per_gpu
from scoot_ray.load.hooks import NO_HOOKS, Hooks
from scoot_ray.load.trace import Request, RequestRecord
from scoot_ray.search import SLO, Failed, FailureKind, Measured, Metrics, Observation, Origin, Outcome, Trial
from scoot_ray.simulator import messages
from scoot_ray.simulator.boot import Booted, Machine, StartRefused
from scoot_ray.simulator.engine import EngineDied
from scoot_ray.simulator.fitted import read_fitted
from scoot_ray.simulator.hardware import find_accelerator
from scoot_ray.simulator.models import find_model
from scoot_ray.simulator.service import Load, Replayed, Service, replay
from scoot_ray.simulator.settings import NEWEST
from scoot_ray.soak import PREEMPTIONS, drift, soak_load
from scoot_ray.study import MAX_RATE, Study

WHERE = "simulated"
NOISE = 0.02
"""Relative, where the study does not say: what two runs of one configuration on a quiet GPU differ by."""
_CHARACTERS_PER_TOKEN = 4


def service_of(study: Study) -> Service:
    """The service that a study simulates.

    Raises:
        UnknownModel, BadCalibration: as find_model and read_fitted.
    """
    engine = study.engine
    assert engine.hardware is not None  # the study has been checked
    machine = (
        Machine(find_accelerator(engine.hardware.accelerator), engine.hardware.count)
        if engine.hardware.accelerator
        else read_fitted(Path(engine.hardware.calibration or ""))
    )
    noise = NOISE if engine.noise is None else engine.noise
    return Service(find_model(engine.model), machine, engine.version or NEWEST, engine.args, noise)


def server_program(study: Study, gpus: int, seed: int) -> tuple[str, ...]:
    """What starts a simulated engine in real time, on ``gpus`` accelerators of its own."""
    engine = study.engine
    assert engine.hardware is not None  # the study has been checked
    machine = (
        ("--sim-accelerator", engine.hardware.accelerator, "--sim-gpus", str(gpus))
        if engine.hardware.accelerator
        else ("--sim-calibration", engine.hardware.calibration or "")
    )
    noise = NOISE if engine.noise is None else engine.noise
    own = ("--sim-version", engine.version or NEWEST, "--sim-noise", str(noise), "--sim-seed", str(seed))
    return (sys.executable, "-m", "scoot_ray.simulator.server", *machine, *own)


@dataclass(eq=False, slots=True)
class Simulation:
    """Evaluates trials of one study; may be used for any number of them, in any order.

    Those that have lost by the ``rule``, where there is one, end early.
    """

    study: Study
    requests: Sequence[Request]
    goodput: Sequence[Limit] = ()
    rate_slos: Sequence[SLO] = ()
    rule: Rule | None = None
    _service: Service = field(init=False)

    def __post_init__(self) -> None:
        self._service = service_of(self.study)
        self.requests = tuple(_with_length(request) for request in self.requests)

    def evaluate(self, trial: Trial) -> tuple[Observation, dict[str, bytes]]:
        """Start, load and stop the simulated engine; return the observation, and the files that belong to it.

        Timings are virtual: what the evaluation would have taken.
        """
        run = _Run(
            self.study, self._service, self.requests, self.goodput, self.rate_slos, trial, watch(self.rule, trial)
        )
        outcome = run.outcome()
        return Observation(trial, outcome, WHERE, run.timings), run.files()


@dataclass(eq=False, slots=True)
class _Run:
    study: Study
    service: Service
    requests: Sequence[Request]
    goodput: Sequence[Limit]
    rate_slos: Sequence[SLO]
    trial: Trial
    watch: Watch | None = None
    timings: dict[str, float] = field(default_factory=dict)
    log: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=lambda: {"simulated": True})
    records: dict[int, tuple[RequestRecord, ...]] = field(default_factory=dict)

    def outcome(self) -> Outcome:
        """What came of it."""
        try:
            count = self.service.replicas(self.trial.config)
            booted = self.service.boot(self.trial.config)
        except TooFewGpus as error:
            return Failed(FailureKind.REJECTED, str(error))
        except StartRefused as refused:
            self.log = refused.log
            return self._diagnosed(refused.exit_code, "start")
        self.log = booted.log
        self.timings["start_s"] = min(booted.start_s, self.study.engine.start_timeout_s)
        if booted.start_s > self.study.engine.start_timeout_s:
            return self._diagnosed(None, "start")
        self.notes["engine_version"] = f"{booted.version} (simulated)"
        self.notes["max_model_len"], self.notes["replicas"] = booted.settings.max_model_len, count
        try:
            measure = self._soak if self.trial.origin is Origin.SOAK else self._load
            runs = [measure(booted, count, order) for order in self.trial.orders]
        except EngineDied as died:
            self.log += died.log
            return self._diagnosed(None if booted.version == "0.4.2" else 0, "load")
        return self._judged(runs)

    def _judged(self, runs: Sequence[Metrics]) -> Outcome:
        if self.watch is not None and self.watch.lost is not None:
            return self.watch.lost
        if not all(run.get("completed") for run in runs):
            return Failed(FailureKind.STALLED, "no request succeeded in its time")
        return Measured(mean_of(runs), tuple(runs))

    def files(self) -> dict[str, bytes]:
        """The engine's log, the circumstances, and, of a confirmation, every request."""
        files = {
            "engine.log": messages.text(self.log).encode(),
            "circumstances.json": (json.dumps(self.notes, indent=2) + "\n").encode(),
        }
        if self.trial.origin is Origin.CONFIRMATION:  # of every trial they would be gigabytes, and can be had again
            for order, records in self.records.items():
                lines = [json.dumps(record_to_json(record)) + "\n" for record in records]
                files[f"requests-{order}.jsonl"] = "".join(lines).encode()
        return files

    def _load(self, booted: Booted, count: int, order: int) -> Metrics:
        hooks = NO_HOOKS if self.watch is None else Hooks(hopeless=self.watch.hopeless, goodput=tuple(self.goodput))
        replayed, metrics = self._replay(booted, count, order, self.study.workload.arrivals.rate, hooks)
        self.records[order] = replayed.records
        notes = _notes(replayed)
        if self.trial.origin is Origin.CONFIRMATION:  # the bootstrap takes longer than a simulated load
            notes["intervals"] = intervals_of(replayed.records)
        self.notes[f"order {order}"] = notes
        found = {**metrics, **self._max_rate(booted, count, order, replayed, metrics)}
        return with_per_gpu(found, self.study.gpus)

    def _soak(self, booted: Booted, count: int, order: int) -> Metrics:
        """The longest requests, for long. Simulated memory does not leak."""
        requests, arrivals, duration_s = soak_load(self.study, self._fitting(booted))
        timetable = schedule(arrivals, requests, duration_s=duration_s, seed=self.study.seed, order=order)
        load = Load(requests, timetable, self.study.workload.request_timeout_s)
        replayed, metrics = self._offered(booted, count, load, order)
        self.notes[f"order {order}"] = _notes(replayed)
        return {**metrics, **drift(replayed.records), PREEMPTIONS: float(replayed.preemptions)}

    def _fitting(self, booted: Booted) -> tuple[Request, ...]:
        chosen = selection.fit(self.requests, booted.settings.max_model_len, self.study.workload.too_long)
        self.notes["dropped"], self.notes["clipped"] = chosen.dropped, chosen.clipped
        return chosen.requests

    def _offered(
        self, booted: Booted, count: int, load: Load, order: int, hooks: Hooks = NO_HOOKS
    ) -> tuple[Replayed, Metrics]:
        replayed = replay(booted, count, load, self.service.noise, (self.study.seed, self.trial.id, order), hooks)
        self.timings["load_s"] = self.timings.get("load_s", 0.0) + replayed.virtual_s
        return replayed, metrics_of(replayed.records, offered_s=load.schedule.span_s, goodput=self.goodput)

    def _replay(
        self, booted: Booted, count: int, order: int, rate: float | None, hooks: Hooks = NO_HOOKS
    ) -> tuple[Replayed, Metrics]:
        workload = self.study.workload
        requests = self._fitting(booted)
        arrivals = workload.arrivals
        timetable = schedule(
            Arrivals(arrivals.process, rate, arrivals.burstiness, arrivals.time_scale, arrivals.end_rate),
            requests,
            duration_s=workload.duration_s,
            seed=self.study.seed,
            order=order,
        )
        load = Load(requests, timetable, workload.request_timeout_s, workload.sessions, workload.think_s)
        return self._offered(booted, count, load, order, hooks)

    def _max_rate(
        self, booted: Booted, count: int, order: int, replayed: Replayed, metrics: Metrics
    ) -> Mapping[str, float]:
        """The highest rate that holds the SLOs, where the study asks for it; the load just replayed is the first."""
        rate, slos = self.study.workload.arrivals.rate, self.rate_slos
        if not slos or rate is None:
            return {}

        def probe(step: Try) -> Probe:
            tried, figures = self._replay(booted, count, order + ORDERS_APART * step.repeat, step.rate)
            return judge(step.rate, figures, intervals_of(tried.records), slos)

        first = judge(rate, metrics, intervals_of(replayed.records), slos)
        capacity = find(evaluation_search(rate, self.study.workload.duration_s), probe, [first])
        return {} if capacity.rate is None else {MAX_RATE: capacity.rate}

    def _diagnosed(self, exit_code: int | None, phase: Phase) -> Failed:
        found = diagnose(exit_code, messages.text(self.log), phase, self.trial.config)
        return Failed(found.kind, found.evidence)


def _notes(replayed: Replayed) -> dict[str, Any]:
    queried = replayed.queried_tokens
    return {
        "steps": replayed.steps,
        "preemptions": replayed.preemptions,
        "prefix_hit_rate": replayed.hit_tokens / queried if queried else 0.0,
    }


def _with_length(request: Request) -> Request:
    """Text is taken to have a token for every four characters, since no tokenizer is asked."""
    if request.input_tokens is not None:
        return request
    said = request.prompt or "".join(str(message.get("content", "")) for message in request.messages or ())
    return replace(request, input_tokens=max(1, len(said) // _CHARACTERS_PER_TOKEN))
