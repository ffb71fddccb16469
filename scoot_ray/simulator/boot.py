"""The start of a simulated engine: its settings, its memory, its log; or why it did not start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scoot_ray.engine.models import ModelShape
from scoot_ray.search import Config
from scoot_ray.simulator import messages
from scoot_ray.simulator.cost import Roofline, StepCost
from scoot_ray.simulator.hardware import GIB, Accelerator
from scoot_ray.simulator.memory import Memory
from scoot_ray.simulator.settings import BLOCK_SIZES, Settings, Version, flags_of, settle

_LOAD_BYTES_PER_S = 1.5e9  # of weights from a warm disk, per GPU
_PROCESS_S: Mapping[Version, float] = {"0.4.2": 12.0, "0.32.0": 25.0}  # imports, workers, communication
_GRAPHS_S: Mapping[Version, float] = {"0.4.2": 18.0, "0.32.0": 12.0}  # capture, and compilation with a warm cache
_SEVENTY_GIB = 70.0
_COUNTS = (
    *("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size", "stream_interval"),
    *("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """What an engine runs on: ``gpus`` accelerators of one kind, all on one node."""

    accelerator: Accelerator
    gpus: int = 1


@dataclass(frozen=True, slots=True)
class Booted:
    """An engine that is ready: ``start_s`` seconds after its start, with ``blocks`` of KV cache in each replica.

    A client waits ``request_s`` more than the engine's steps take.
    """

    settings: Settings
    version: Version
    cost: StepCost
    blocks: int
    start_s: float
    log: tuple[str, ...]
    memory: Memory | None = None
    request_s: float = 0.0


class StartRefused(Exception):  # noqa: N818 - says what happened
    """The engine did not start; its log and exit code say why."""

    def __init__(self, log: tuple[str, ...], exit_code: int = 1) -> None:
        super().__init__(log[-1])
        self.log, self.exit_code = log, exit_code


def boot(model: ModelShape, machine: Machine, version: Version, config: Config) -> Booted:
    """Start one engine with ``config``, its fixed arguments included.

    Raises:
        StartRefused: a combination is refused, or memory does not suffice.
    """
    unknown = [name for name in config if name not in flags_of(version).names]
    if unknown:
        raise StartRefused(messages.unrecognized(unknown), exit_code=2)
    accelerator = machine.accelerator
    large = accelerator.memory_gib >= _SEVENTY_GIB and not accelerator.name.startswith("A100")
    settings = settle(version, config, model.max_model_len, large)
    for cause in refusals(settings, model, machine.gpus, version):
        raise StartRefused(messages.config_refused(cause))
    memory = Memory(model, accelerator, settings, version)
    log = messages.began(version, model.name, settings)
    _check_memory(memory, version, log)
    return Booted(
        settings,
        version,
        Roofline(model, accelerator, settings, version),
        memory.blocks,
        _start_s(memory, version),
        (*log, *messages.ready(version, memory)),
        memory,
    )


def refusals(settings: Settings, model: ModelShape, gpus: int, version: Version) -> Iterator[str]:
    """What the engine's configuration refuses, in the order in which it looks; each as the end of a traceback."""
    for name in _COUNTS:
        if (value := getattr(settings, name)) < 1:
            yield (
                f"pydantic_core._pydantic_core.ValidationError: 1 validation error for EngineConfig\n{name}\n"
                "  Input should be greater than or equal to 1 "
                f"[type=greater_than_equal, input_value={value}, input_type=int]"
            )
    yield from _of_model(settings, model, gpus, version)
    yield from _of_scheduler(settings)
    if settings.block_size not in BLOCK_SIZES[version]:
        yield f"ValueError: No common block size for {settings.block_size} (FLASH_ATTN: [MultipleOf(base=16)])."


def _of_model(settings: Settings, model: ModelShape, gpus: int, version: Version) -> Iterator[str]:
    """What does not go with the model or the machine."""
    length = settings.max_model_len
    if length > model.max_model_len:
        yield (
            f"ValueError: User-specified max_model_len ({length}) is greater than the derived max_model_len "
            f"(max_position_embeddings={model.max_model_len} or model_max_length=None in model's config.json). This "
            "may lead to incorrect model outputs or CUDA errors."
        )
    if settings.gpu_memory_utilization > 1:
        yield f"ValueError: GPU memory utilization must be less than 1.0. Got {settings.gpu_memory_utilization}."
    if version == "0.4.2" and settings.pipeline_parallel_size > 1:
        yield "NotImplementedError: Pipeline parallelism is not supported yet."
    if settings.gpus > gpus:
        yield _too_few_gpus(settings.gpus, gpus, version)
    if model.heads % settings.tensor_parallel_size:
        yield (
            f"ValueError: Total number of attention heads ({model.heads}) must be divisible by tensor parallel size "
            f"({settings.tensor_parallel_size})."
        )


def _of_scheduler(settings: Settings) -> Iterator[str]:
    """What does not go together."""
    tokens, seqs, length = settings.max_num_batched_tokens, settings.max_num_seqs, settings.max_model_len
    if tokens < length and not settings.enable_chunked_prefill:
        yield (
            f"ValueError: max_num_batched_tokens ({tokens}) is smaller than max_model_len ({length}). This effectively "
            "limits the maximum sequence length to max_num_batched_tokens and makes vLLM reject longer sequences. "
            "Please increase max_num_batched_tokens or decrease max_model_len."
        )
    if tokens < seqs:
        yield (f"ValueError: max_num_batched_tokens ({tokens}) must be greater than or equal to max_num_seqs ({seqs}).")
    if settings.long_prefill_token_threshold > length:
        yield (
            f"ValueError: long_prefill_token_threshold ({settings.long_prefill_token_threshold}) cannot be greater "
            f"than the max_model_len ({length})."
        )


def _too_few_gpus(wanted: int, gpus: int, version: Version) -> str:
    if version == "0.4.2":
        return (
            "ValueError: The number of required GPUs exceeds the total number of available GPUs in the cluster: "
            f"{wanted} of {gpus}."
        )
    return f"ValueError: World size ({wanted}) is larger than the number of available GPUs ({gpus}) in this node."


def _check_memory(memory: Memory, version: Version, log: tuple[str, ...]) -> None:
    """Load, profile, make the cache: each may find too little memory."""
    free = memory.total - memory.weights - 0.45 * GIB
    if free < 0:
        layer = memory.weights / memory.model.layers / 4
        cause = messages.out_of_memory(version, memory, layer, free % layer)
        raise StartRefused((*log, *messages.refused(version, cause)))
    if free < memory.profiled:
        cause = messages.out_of_memory(version, memory, memory.profiled / 4, free % (memory.profiled / 4))
        raise StartRefused((*log, *messages.refused(version, cause)))
    if memory.blocks <= 0:
        raise StartRefused((*log, *messages.refused(version, messages.no_cache())))
    if memory.blocks * memory.settings.block_size < memory.settings.max_model_len:
        raise StartRefused((*log, *messages.refused(version, messages.cache_too_small(version, memory))))


def _start_s(memory: Memory, version: Version) -> float:
    """Seconds until it is ready, with weights and compilation in warm caches."""
    graphs_s = 0.0 if memory.settings.enforce_eager else _GRAPHS_S[version]
    return _PROCESS_S[version] + memory.weights / _LOAD_BYTES_PER_S + graphs_s
