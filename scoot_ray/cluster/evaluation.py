"""One evaluation, from engine start to engine stop. The engine and the load generator meet here, through a URL.

No Ray in here: the worker actor is a shell around ``evaluate``.
"""

from __future__ import annotations

import json
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from scoot_ray.cluster.account import account_of_load, account_of_search, gpus_here, limits_of, phases_of
from scoot_ray.cluster.cores import client_core
from scoot_ray.cluster.loads import MemoryWatch, offered, soak_metrics
from scoot_ray.cluster.scratch import scratch
from scoot_ray.cluster.starting import Start, unfreed_mib
from scoot_ray.cluster.task import Task
from scoot_ray.engine.diagnose.stall import stalled
from scoot_ray.engine.flags import merged
from scoot_ray.engine.kinds import Kind
from scoot_ray.engine.launch import TooFewGpus
from scoot_ray.engine.post_mortem import post_mortem
from scoot_ray.engine.process import EngineProcess, GuardianError, pin
from scoot_ray.engine.ready import StartFailed
from scoot_ray.engine.server import answers, max_model_len, reset_prefix_cache, server_version
from scoot_ray.hopeless import watch
from scoot_ray.load.capacity.decision import Probe, Try, find
from scoot_ray.load.capacity.probing import evaluation_search, judged, probe_rate
from scoot_ray.load.client.target import Target
from scoot_ray.load.errors import LoadError
from scoot_ray.load.figures.records import record_to_json
from scoot_ray.load.figures.runs import mean_of, with_per_gpu
from scoot_ray.load.hooks import Hooks
from scoot_ray.load.measure import Load, Measurement, run_replay
from scoot_ray.load.selection import Selection, fit
from scoot_ray.search import Config, Failed, FailureKind, Measured, Metrics, Observation, Origin, Outcome, Trial
from scoot_ray.serving import kind_of, served_name
from scoot_ray.study import MAX_RATE


@dataclass(frozen=True, slots=True)
class Finished:
    """An observation and the files that belong to it: the engine's logs, a record per request, the circumstances.

    ``unfreed_mib``: what its GPUs held before, in MiB, where they still hold more; None where they are free again.
    """

    observation: Observation
    files: Mapping[str, bytes]
    unfreed_mib: tuple[int, ...] | None = None


class _Failure(Exception):  # noqa: N818 - carries an outcome, which may be ours or the configuration's
    """Ends an evaluation with a reason."""

    def __init__(self, kind: FailureKind, detail: str, ambiguous: bool = False) -> None:
        super().__init__(kind, detail, ambiguous)
        self.outcome = Failed(kind, detail, ambiguous)


def evaluate(
    task: Task, trial: Trial, gpus: Sequence[str], where: str, enter: Callable[[str], None], attempt: str | None = None
) -> Finished:
    """Start the engine with the trial's configuration, replay each arrival order, stop the engine.

    ``enter`` is told each phase; ``attempt`` names the scratch folder. Whatever goes wrong comes back as the
    observation's outcome.
    """
    with scratch(attempt or uuid.uuid4().hex) as folder:
        evaluation = _Evaluation(task, trial, folder, enter)
        try:
            outcome: Outcome = evaluation.run(gpus)
        except _Failure as failure:
            outcome = failure.outcome
        except StartFailed as failure:
            outcome = Failed(failure.kind, evaluation.masked(failure.detail), failure.diagnosis.ambiguous)
        except TooFewGpus as error:
            outcome = Failed(FailureKind.REJECTED, str(error))
        except (GuardianError, LoadError, OSError) as error:
            outcome = Failed(FailureKind.INTERNAL, evaluation.masked(str(error)))
        return Finished(
            Observation(trial, outcome, where, evaluation.timings),
            evaluation.files(),
            unfreed_mib(evaluation.circumstances),
        )


class _Evaluation:
    """The phases of one evaluation, with the seconds each took."""

    def __init__(self, task: Task, trial: Trial, scratch: Path, enter: Callable[[str], None]) -> None:
        self._task, self._trial, self._scratch, self._enter = task, trial, scratch, enter
        self.circumstances: dict[str, object] = {}
        self._watch = watch(task.rule, trial)
        self.timings: dict[str, float] = {}

    @property
    def _kind(self) -> Kind:
        return kind_of(self._task.study)

    @property
    def _flags(self) -> Config:
        return merged(self._task.study.engine.args, self._trial.config)

    def run(self, gpus: Sequence[str]) -> Outcome:
        start = Start(self._task, self._trial, self._scratch, self._enter, self._timed, self.circumstances)
        with client_core() as core, start.engines(gpus, core) as engines:
            self._note(engines)
            core.settle([] if self._task.study.resources.pin else [pid for one in engines for pid in one.pids], pin)
            if self._trial.origin is Origin.SOAK:
                runs = [self._soak(engines)]
            else:
                runs = [self._measure(engines, order, first=at == 0) for at, order in enumerate(self._trial.orders)]
        if self._watch is not None and self._watch.lost is not None:
            return self._watch.lost
        return Measured(mean_of(runs), tuple(runs))

    def files(self) -> dict[str, bytes]:
        """What is worth keeping, with every secret masked."""
        self._scratch.joinpath("circumstances.json").write_text(json.dumps(self.circumstances, indent=2) + "\n")
        kept = {
            str(path.relative_to(self._scratch)): path.read_bytes()
            for pattern in ("*.log", "*/*.log", "*.jsonl", "*.json")
            for path in sorted(self._scratch.glob(pattern))
        }
        return {name: self._task.masked(content) for name, content in kept.items()}

    def _note(self, engines: Sequence[EngineProcess]) -> None:
        """What the engine says of itself."""
        first = engines[0].spec
        self.circumstances["engine_version"] = server_version(first.base_url, self._kind.version)
        # TensorRT-LLM does not say: then what it was told counts.
        told = self._flags.get(self._kind.longest)
        self.circumstances["max_model_len"] = max_model_len(first.base_url, first.api_key) or told
        self.circumstances["replicas"] = len(engines)
        if self._task.study.resources.gpus:
            self.circumstances["gpus"] = gpus_here()

    def _measure(self, engines: Sequence[EngineProcess], order: int, first: bool) -> Metrics:
        """Replay one arrival order, with no prefix left in the cache from the one before."""
        if not first:
            cleared = [reset_prefix_cache(one.spec.base_url, one.spec.api_key, self._kind.reset) for one in engines]
            self.circumstances["prefix_cache_cleared"] = all(cleared)
        try:
            return self._replay(engines, order)
        except LoadError:
            self._check_alive(engines)  # a server that has just died cannot be asked either
            raise

    def _soak(self, engines: Sequence[EngineProcess]) -> Metrics:
        """The longest requests, for long; how the engine's memory grows is watched."""
        (order,) = self._trial.orders
        load = self._load(order)
        memory = MemoryWatch(lambda: [pid for one in engines for pid in one.pids], load.duration_s or 0.0)
        measurement = self._measured(engines, load, memory.beside(self._hooks(engines, "the soak")))
        _check_any_succeeded(measurement)
        return {**measurement.metrics, **soak_metrics(measurement, memory)}

    def _measured(self, engines: Sequence[EngineProcess], load: Load, hooks: Hooks) -> Measurement:
        """One load, noted; nothing that the engine or the client has spoilt comes back."""
        measurement = run_replay(self._target(engines), load, hooks)
        self._account(measurement, load.order, len(engines))
        self._check_alive(engines)
        _check_sent_in_time(measurement)
        return measurement

    def _replay(self, engines: Sequence[EngineProcess], order: int) -> Metrics:
        hooks = self._hooks(engines, f"order {order}")
        if self._watch is not None:
            hooks = replace(hooks, hopeless=self._watch.hopeless, goodput=self._task.goodput)
        measurement = self._measured(engines, self._load(order), hooks)
        if self._watch is not None and self._watch.lost is not None:
            return {}
        _check_any_succeeded(measurement)
        metrics = {**measurement.metrics, **self._max_rate(engines, order, measurement)}
        return with_per_gpu(metrics, self._task.study.gpus)

    def _max_rate(self, engines: Sequence[EngineProcess], order: int, measured: Measurement) -> Metrics:
        """Search for the highest rate that holds the SLOs; the load just measured is the first probe."""
        load, slos = self._load(order), self._task.rate_slos
        rate = load.arrivals.rate
        if not slos or rate is None:
            return {}

        def probe(step: Try) -> Probe:
            hooks = self._hooks(engines, f"order {order} at {step.rate:.3g} requests/s")
            found, measurement = probe_rate(self._target(engines), load, step, slos, hooks)
            self._add_timings(measurement)
            self._check_alive(engines)
            return found

        search = evaluation_search(rate, self._task.study.workload.duration_s)
        capacity = find(search, probe, [judged(measured, rate, slos)])
        self.circumstances[f"max_rate of order {order}"] = account_of_search(capacity)
        if capacity.limited_by == "client":
            raise _Failure(FailureKind.CLIENT_LAGGED, capacity.sentence)
        return {} if capacity.rate is None else {MAX_RATE: capacity.rate}

    def _target(self, engines: Sequence[EngineProcess]) -> Target:
        study = self._task.study
        return Target(
            tuple(one.spec.base_url for one in engines),
            served_name(study),
            engines[0].spec.api_key,
            timeout_s=study.workload.request_timeout_s,
            metrics_path=self._kind.metrics,
        )

    def _load(self, order: int) -> Load:
        return offered(self._task, self._trial, self._selection(), order)

    def _selection(self) -> Selection:
        longest = self.circumstances["max_model_len"]
        selection = fit(
            self._task.trace.requests,
            longest if isinstance(longest, int) else None,
            self._task.study.workload.too_long,
        )
        self.circumstances["dropped"], self.circumstances["clipped"] = selection.dropped, selection.clipped
        return selection

    def _hooks(self, engines: Sequence[EngineProcess], what: str) -> Hooks:
        self._enter(f"warming up for {what}")
        return Hooks(
            engine_alive=lambda: all(engine.poll() is None for engine in engines),
            on_progress=lambda progress: self._enter(
                f"replaying {what}: {progress.completed + progress.failed} of {progress.planned} requests"
            ),
        )

    def _account(self, measurement: Measurement, order: int, replicas: int) -> None:
        self._add_timings(measurement)
        limits = limits_of(self._kind.in_words_of_vllm(self._flags), replicas)
        self.circumstances[f"order {order}"] = account_of_load(measurement, limits)
        lines = [json.dumps(record_to_json(record)) + "\n" for record in measurement.replay.records]
        self._scratch.joinpath(f"requests-{order}.jsonl").write_text("".join(lines))

    def _add_timings(self, measurement: Measurement) -> None:
        for name, seconds in phases_of(measurement).items():
            self.timings[name] = self.timings.get(name, 0.0) + seconds

    def _check_alive(self, engines: Sequence[EngineProcess]) -> None:
        """What happened to the engine comes before anything the client has to say.

        Older versions of vLLM die without ending: they answer ``/health`` no more, and their log says why.
        """
        for engine in engines:
            code = engine.poll()
            if code is None and answers(engine.spec.health_url):
                continue
            found = post_mortem(engine, "load", self._trial.config)
            if code is not None or found.kind is not FailureKind.STALLED:
                raise _Failure(found.kind, self.masked(found.evidence), found.ambiguous)

    def masked(self, text: str) -> str:
        """The text without the value of any secret."""
        return self._task.masked(text.encode()).decode()

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        began_s = time.monotonic()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.monotonic() - began_s


def _check_sent_in_time(measurement: Measurement) -> None:
    """A load that was sent late is no measurement."""
    audit = measurement.replay.audit
    if not audit.valid:
        raise _Failure(FailureKind.CLIENT_LAGGED, "; ".join(audit.reasons))


def _check_any_succeeded(measurement: Measurement) -> None:
    """A load without a single success is a stall."""
    if not measurement.metrics.get("completed"):
        errors = Counter(record.error for record in measurement.replay.records if record.error)
        reason = ", ".join(f"{count} × {error}" for error, count in errors.most_common(3))
        samples = [sample.values for sample in measurement.server.samples]
        found = stalled(samples)
        raise _Failure(found.kind, f"{found.evidence}: {reason}", found.ambiguous)
