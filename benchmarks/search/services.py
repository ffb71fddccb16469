"""The simulated services: on ``dev`` the search may be tuned, ``judge`` is looked at for the verdict alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from benchmarks.search.space import vllm_0_32
from scoot_ray.engine.presets import Preset, vllm_0_4_2
from scoot_ray.search import SLO, Config, Problem, SearchSpace, preset
from scoot_ray.simulator.boot import Machine
from scoot_ray.simulator.hardware import find_accelerator
from scoot_ray.simulator.models import find_model
from scoot_ray.simulator.service import Service
from scoot_ray.simulator.settings import Version

Split: TypeAlias = Literal["dev", "judge"]
Application: TypeAlias = Literal["sql", "bot", "cls", "rec"]

TRACES = Path(__file__).parents[2] / "traces"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One service with its load: ``rate`` Poisson arrivals per second for ``duration_s``, all virtual.

    ``objectives`` is a preset; ``tensor_parallel`` is the default's; ``noise`` is relative. A request is given up after
    ``timeout_s``.
    """

    name: str
    split: Split
    application: Application
    rate: float
    objectives: Literal["throughput", "tail_latency", "interactive"]
    model: str
    accelerator: str
    gpus: int
    tensor_parallel: int
    version: Version
    slos: Sequence[str] = ()
    noise: float = 0.02
    max_model_len: int = 4096
    duration_s: float = 40.0
    timeout_s: float = 300.0

    @property
    def trace(self) -> Path:
        """The requests, in the repository."""
        return TRACES / f"{self.application}.jsonl"

    def service(self) -> Service:
        """What is simulated."""
        machine = Machine(find_accelerator(self.accelerator), self.gpus)
        args: Config = {"dtype": "float16", "max_model_len": self.max_model_len}
        return Service(find_model(self.model), machine, self.version, args, self.noise)

    def problem(self) -> Problem:
        """What is searched: the paper's Table I for 0.4.2, the newest engine's parameters otherwise."""
        found = self._preset()
        sizes: Config = {"tensor_parallel_size": self.tensor_parallel} if self.gpus > 1 else {}
        default = {**found.default, **sizes}
        constants = {"gpus": self.gpus, "max_model_len": self.max_model_len}
        space = SearchSpace(found.parameters, found.constraints, default, constants)
        return Problem(space, preset(self.objectives), [SLO.parse(text) for text in self.slos])

    def _preset(self) -> Preset:
        if self.version == "0.4.2":
            return vllm_0_4_2(self.gpus, self.max_model_len)
        return vllm_0_32(self.gpus, self.accelerator)


_7B, _13B = "Llama-2-7b-hf", "Llama-2-13b-hf"
_8B, _70B, _MIXTRAL = "Meta-Llama-3-8B", "Meta-Llama-3-70B", "Mixtral-8x7B-v0.1"
_OLD: Version = "0.4.2"
_NEW: Version = "0.32.0"

SERVICES: tuple[Scenario, ...] = (
    Scenario("sql-13b-2a100", "dev", "sql", 7, "interactive", _13B, "A100-80G", 2, 2, _OLD),
    Scenario("bot-13b-2a10", "dev", "bot", 2.5, "interactive", _13B, "A10", 2, 2, _OLD),
    Scenario("sql-8b-2l4", "dev", "sql", 6, "interactive", _8B, "L4", 2, 2, _NEW),
    Scenario("bot-13b-a100", "dev", "bot", 6.5, "interactive", _13B, "A100-40G", 1, 1, _NEW, noise=0.03),
    Scenario("cls-7b-2a10", "dev", "cls", 10, "tail_latency", _7B, "A10", 2, 1, _OLD, noise=0.04),
    Scenario("cls-13b-2l40s", "dev", "cls", 14, "tail_latency", _13B, "L40S", 2, 1, _NEW),
    Scenario("rec-7b-a100", "dev", "rec", 25, "throughput", _7B, "A100-80G", 1, 1, _OLD),
    Scenario("rec-70b-4h100", "dev", "rec", 35, "throughput", _70B, "H100", 4, 4, _NEW),
    Scenario("bot-7b-2a10", "dev", "bot", 8, "throughput", _7B, "A10", 2, 1, _OLD, ("tpot:mean<70ms",)),
    Scenario("bot-13b-2a10-slo", "dev", "bot", 2.5, "interactive", _13B, "A10", 2, 2, _OLD, ("ttft:p95<1s",)),
    Scenario("bot-13b-4a10", "dev", "bot", 4, "interactive", _13B, "A10", 4, 2, _OLD, noise=0.03),
    Scenario("sql-7b-4a10", "dev", "sql", 6, "interactive", _7B, "A10", 4, 4, _OLD),
    Scenario("bot-7b-4a10", "judge", "bot", 7, "interactive", _7B, "A10", 4, 1, _OLD, noise=0.03),
    Scenario("sql-13b-2a10", "judge", "sql", 2, "interactive", _13B, "A10", 2, 2, _OLD),
    Scenario("sql-13b-2l40s", "judge", "sql", 8, "interactive", _13B, "L40S", 2, 2, _NEW),
    Scenario("bot-8b-a10", "judge", "bot", 3, "interactive", _8B, "A10", 1, 1, _NEW),
    Scenario("cls-13b-4a10", "judge", "cls", 7, "tail_latency", _13B, "A10", 4, 2, _OLD, noise=0.04),
    Scenario("cls-8b-4l4", "judge", "cls", 14, "tail_latency", _8B, "L4", 4, 2, _NEW),
    Scenario("bot-mixtral-2a100", "judge", "bot", 12, "tail_latency", _MIXTRAL, "A100-80G", 2, 2, _NEW, noise=0.03),
    Scenario("rec-13b-2a10", "judge", "rec", 8, "throughput", _13B, "A10", 2, 2, _OLD, noise=0.04),
    Scenario("rec-13b-a100", "judge", "rec", 16, "throughput", _13B, "A100-40G", 1, 1, _NEW),
    Scenario("bot-13b-l40s", "judge", "bot", 6, "throughput", _13B, "L40S", 1, 1, _NEW, ("tpot:mean<110ms",)),
    Scenario("sql-13b-2l40s-slo", "judge", "sql", 8, "interactive", _13B, "L40S", 2, 2, _NEW, ("tpot:mean<100ms",)),
)
