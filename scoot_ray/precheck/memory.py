"""What an engine needs of a GPU's memory at least: weights, one step's activations, one sequence's KV cache.

The engine gives ``gpu_memory_utilization`` of the memory to all of them, and does not start where one sequence of
``max_model_len`` does not fit into the rest. Everything here is a lower bound, so that nothing that could start is
refused:

- weights without norms and biases, spread evenly over all GPUs; quantised ones at the fewest bits of their method;
- of a step of ``max_num_batched_tokens``, two copies of the hidden state and one layer's widened one, where the
  profiling run holds more (``simulator.memory`` says how much);
- no CUDA context, graphs, communication buffers, adapters or drafting models;
- and 5% off the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoot_ray.engine.models import ModelFacts, ModelShape
from scoot_ray.precheck.hardware import GpuMemory
from scoot_ray.search import Config, Value

GIB = 2**30
MARGIN = 0.95
_BITS = {
    "fp8": 8,
    "fbgemm_fp8": 8,
    "ptpc_fp8": 8,
    "awq": 4,
    "awq_marlin": 4,
    "bitsandbytes": 4,
    "mxfp4": 4,
    "gptq": 2,
    "gptq_marlin": 4,
    "modelopt": 4,
    "modelopt_fp4": 4,
    "compressed-tensors": 2,
}
_FEWEST_BITS = 1
_TOKEN_COPIES = 2
_UNKNOWN = frozenset(
    {"config", "cpu_offload_gb", "hf_overrides", "kv_cache_memory_bytes", "num_gpu_blocks_override", "nnodes"}
    | {"prefill_context_parallel_size", "hf_config_path", "config_format", "model_loader_extra_config"}
)
"""Flags after which this arithmetic does not hold."""
_DECISIVE = frozenset({"dtype", "quantization", "kv_cache_dtype"})
"""Flags it must know: where they are searched, there is none."""


class NoArithmetic(ValueError):  # noqa: N818 - says what is so
    """Nothing can be said of the memory; one line: why."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model needs at least, in bytes, and what there is.

    ``weights`` and ``experts`` are all of them, over all GPUs; ``per_token`` is the KV cache of one token over all
    GPUs; ``wide`` and ``hidden`` are one step's activations per token, the first split by tensor parallelism.
    """

    shape: ModelShape
    weights: float
    experts: float
    bytes_per_param: float
    per_token: float
    wide: float
    hidden: float
    memory: GpuMemory

    def text(self, tokens: str, length: str) -> str:
        """The known constraint, in GiB. Names are flags; ``tokens`` of a step and ``length`` are numbers or names."""
        spread = "(tensor_parallel_size * pipeline_parallel_size)"
        each = f"({_gib(self.weights)} + {_gib(self.per_token)} * {length} + {_gib(self.wide)} * {tokens}) / {spread}"
        experts = f" + {_gib(self.experts)} / ({spread} * data_parallel_size)" if self.experts else ""
        step = f" + {_gib(self.hidden)} * {tokens}"
        return f"{MARGIN} * ({each}{experts}{step}) <= gpu_memory_utilization * {self.memory.gib:.2f}"


def needs(facts: ModelFacts, args: Config, searched: frozenset[str], memory: GpuMemory | None) -> Needs:
    """Return what the model needs with the fixed arguments; ``searched`` are the space's names.

    Raises:
        NoArithmetic: the model or the GPU is not known well enough, or a flag changes the rules.
    """
    if memory is None:
        raise NoArithmetic(
            "the GPU's memory is not known: no nvidia-smi here, and no resources.accelerator it is told by"
        )
    if facts.shape is None:
        raise NoArithmetic("the parameters of this architecture are not counted")
    changed = [name for name in (*args, *searched) if name in _UNKNOWN or name.startswith("offload_")]
    if changed := [*changed, *(searched & _DECISIVE)]:
        raise NoArithmetic(f"{changed[0]} changes it")
    width = _weight_bytes(facts, args)
    shape = facts.shape
    experts = shape.experts * shape.expert_params if shape.experts > 1 else 0
    activation = 4.0 if _is_float32(args) else 2.0
    return Needs(
        shape=shape,
        weights=(shape.params - experts) * width,
        experts=experts * width,
        bytes_per_param=width,
        per_token=0.0 if facts.sliding_window else shape.kv_bytes_per_token(_kv_bytes(facts, args)),
        wide=0.0 if experts else 2 * shape.intermediate * activation,
        hidden=_TOKEN_COPIES * shape.hidden * activation,
        memory=memory,
    )


def arithmetic(found: Needs, values: Mapping[str, Value], tokens: int, length: int) -> str:
    """Return the sum for one configuration in one line; ``values`` has every flag that the constraint names."""
    gpus = int(values["tensor_parallel_size"]) * int(values["pipeline_parallel_size"])
    shape = found.shape
    weights = found.weights / gpus + found.experts / gpus / int(values["data_parallel_size"])
    cache = found.per_token * length / gpus
    step = tokens * (found.wide / gpus + found.hidden)
    over = f", over {gpus} GPUs" if gpus > 1 else ""
    each = f"{shape.params / 1e9:.2f} billion parameters, {found.bytes_per_param:g} bytes each{over}"
    parts = [
        f"weights {_shown(weights)} ({each})",
        f"KV cache {_shown(cache)} (one sequence of {length} tokens)" if cache else "",
        f"activations {_shown(step)} (a step of {tokens} tokens)" if step else "",
    ]
    share = float(values["gpu_memory_utilization"])
    return (
        f"{' + '.join(part for part in parts if part)} = at least {_shown(weights + cache + step)} per GPU; there is "
        f"{_shown(share * found.memory.gib * GIB)} ({share:g} × {found.memory.gib:.1f} GiB, {found.memory.source})"
    )


def _weight_bytes(facts: ModelFacts, args: Config) -> float:
    """Bytes of one weight, at least."""
    method = _method(facts, args)
    if method is None:
        return 4.0 if _is_float32(args) else 2.0
    bits = facts.bits if facts.bits and method == facts.quantization else _BITS.get(method, _FEWEST_BITS)
    return bits / 8


def _method(facts: ModelFacts, args: Config) -> str | None:
    """How weights are quantised, None where they are not."""
    given = str(args.get("quantization", "none"))
    return facts.quantization if given.lower() == "none" else given


def _is_float32(args: Config) -> bool:
    """Whether weights and activations are of 32 bits; ``auto`` makes 16 of them in every version."""
    return str(args.get("dtype", "auto")) in {"float32", "float"}


def _kv_bytes(facts: ModelFacts, args: Config) -> float:
    """Bytes of a key's or value's element, at least; a quantised checkpoint may bring a cache of 8 bits with it."""
    kind = str(args.get("kv_cache_dtype", "auto"))
    if kind == "auto":
        return 1.0 if _method(facts, args) else (4.0 if _is_float32(args) else 2.0)
    if kind.startswith("fp8") or kind == "int8":
        return 1.0
    return {"bfloat16": 2.0, "float16": 2.0, "half": 2.0}.get(kind, 0.25)


def _gib(size: float) -> str:
    """Bytes as GiB in plain digits, cut off rather than rounded up."""
    return f"{max(size / GIB - 5e-10, 0.0):.9f}".rstrip("0").rstrip(".") or "0"


def _shown(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / GIB:.2f} GiB"
