"""The engines of one evaluation: started side by side, believed when ready, stopped, their memory seen free again."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from scoot_ray.cluster.cores import ClientCore, engine_cores, shared_out
from scoot_ray.cluster.task import Task
from scoot_ray.engine.caches import MAY_BE_THE_CACHE, NodeCaches, discard, is_warm, staging, variables
from scoot_ray.engine.gpu_memory import used_mib, wait_freed
from scoot_ray.engine.launch import device_slices, engine_spec
from scoot_ray.engine.ports import claimed_port
from scoot_ray.engine.process import EngineProcess, EngineSpec
from scoot_ray.engine.ready import StartFailed, wait_ready
from scoot_ray.engine.service import begin, end
from scoot_ray.search import Trial
from scoot_ray.serving import kind_of, options_of
from scoot_ray.simulation import server_program

Timed = Callable[[str], AbstractContextManager[None]]


def unfreed_mib(notes: Mapping[str, object]) -> tuple[int, ...] | None:
    """What the GPUs held before, in MiB, where they still held more when the engine had gone."""
    held = notes.get("gpu_memory_before_mib")
    return held if isinstance(held, tuple) else None


@dataclass(frozen=True, slots=True)
class Start:
    """How one evaluation's engines are started. ``timed`` measures a phase; ``notes`` takes what is worth keeping."""

    task: Task
    trial: Trial
    scratch: Path
    enter: Callable[[str], None]
    timed: Timed
    notes: dict[str, object]

    @contextmanager
    def engines(self, gpus: Sequence[str], client: ClientCore) -> Iterator[list[EngineProcess]]:
        """Ready engines, until the context ends.

        Raises:
            StartFailed: they do not start, nor with a clean cache where a warm one may have been the cause.
            TooFewGpus, GuardianError: as device_slices and begin.
        """
        with ExitStack() as stack:
            cores = stack.enter_context(self._cores(client))
            if self.task.study.resources.pin:
                self.notes["cores"] = list(cores)
            caches = NodeCaches(self.task.study.engine.python)
            generation = caches.present()
            warm = not self._simulated and bool(self._variables(generation)) and is_warm(generation)
            try:
                engines = self._staged(stack, gpus, cores, generation)
            except StartFailed as failure:
                if not warm or failure.kind not in MAY_BE_THE_CACHE:
                    raise
                engines = self._again(stack, gpus, cores, caches, failure)
            yield engines

    @property
    def _simulated(self) -> bool:
        return self.task.study.engine.simulated

    def _cores(self, client: ClientCore) -> AbstractContextManager[tuple[int, ...]]:
        """The engines' own cores, where the study wants that: those reserved, but for the client's."""
        resources = self.task.study.resources
        count = max(1, int(resources.cpus) - (client.core is not None)) if resources.pin else 0
        return engine_cores(count, client.others)

    def _again(
        self,
        stack: ExitStack,
        gpus: Sequence[str],
        cores: Sequence[int],
        caches: NodeCaches,
        failure: StartFailed,
    ) -> list[EngineProcess]:
        """Start once more, with nothing compiled before; what that shows is what counts."""
        self.notes["failed_with_warm_cache"] = str(failure)
        for log in [*self.scratch.glob("engine.log"), *self.scratch.glob("*/engine.log")]:
            log.rename(log.with_name("engine-warm-cache.log"))
        generation = caches.fresh()
        try:
            engines = self._staged(stack, gpus, cores, generation)
        except BaseException:
            discard(generation)
            raise
        caches.adopt(generation)
        return engines

    def _staged(
        self, stack: ExitStack, gpus: Sequence[str], cores: Sequence[int], generation: Path
    ) -> list[EngineProcess]:
        """Start all replicas; the first engine of this service on the node alone, so that others find it loaded."""
        engine = self.task.study.engine
        service = [engine.model, engine.args]
        with ExitStack() as attempt, ExitStack() as staged:
            self.enter("waiting for another engine to load the model")
            with self.timed("stage_s"):
                alone = staged.enter_context(staging(generation, service, engine.start_timeout_s))
            self.enter("starting the engine")
            # Undone last, when the engines have stopped: the next ones may not meet their memory.
            attempt.callback(self._see_free, gpus, used_mib(gpus))
            engines: list[EngineProcess] = []
            ends_s = monotonic() + engine.start_timeout_s
            with self.timed("start_s"):
                for spec in self._specs(attempt, gpus, cores, generation):
                    engines.append(attempt.enter_context(self._stopping(begin(spec))))
                    if alone and len(engines) == 1:
                        self._wait_ready(engines, ends_s, generation)
                        staged.close()
                self._wait_ready(engines, ends_s, generation)
            stack.push(attempt.pop_all())
        return engines

    def _specs(
        self, stack: ExitStack, gpus: Sequence[str], cores: Sequence[int], generation: Path
    ) -> Iterator[EngineSpec]:
        """One server for each replica, with its own GPUs, cores, port and folder."""
        study = self.task.study
        devices = [str(number) for number in range(study.gpus)] if self._simulated else gpus
        slices = device_slices(devices, {**study.engine.args, **self.trial.config}, kind_of(study))
        options = options_of(study, {**self._variables(generation), **self.task.env}, self.task.switches)
        api_key = secrets.token_urlsafe(24)
        for replica, (own, pinned) in enumerate(zip(slices, shared_out(cores, len(slices)), strict=True)):
            folder = self.scratch if len(slices) == 1 else self.scratch / f"replica-{replica}"
            folder.mkdir(exist_ok=True)
            if self._simulated:
                seed = (study.seed * 1_000 + self.trial.id) * 16 + replica
                options = replace(options, program=server_program(study, len(own), seed))
            port = stack.enter_context(claimed_port())
            yield engine_spec(options, self.trial.config, folder, port, own, api_key, pinned)

    def _variables(self, generation: Path) -> Mapping[str, str]:
        return variables(generation, self.task.env)

    @contextmanager
    def _stopping(self, engine: EngineProcess) -> Iterator[EngineProcess]:
        try:
            yield engine
        finally:
            self.enter("stopping the engine")
            with self.timed("stop_s"):
                end(engine)

    def _wait_ready(self, engines: Sequence[EngineProcess], ends_s: float, generation: Path) -> None:
        for engine in engines:
            # A service elsewhere logs elsewhere: the silence of the command that started it says nothing.
            silence_s = math.inf if engine.spec.external else self.task.study.engine.silence_timeout_s
            wait_ready(engine, max(0.0, ends_s - monotonic()), self.trial.config, silence_s, generation)

    def _see_free(self, gpus: Sequence[str], before: tuple[int, ...] | None) -> None:
        self.enter("freeing GPU memory")
        with self.timed("stop_s"):
            if not wait_freed(gpus, before):
                self.notes.update(gpu_memory_freed=False, gpu_memory_before_mib=before)
