"""The space of a drafted study: what is searched, with today's values as its default. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scoot_ray.search import Constraint, Value
from scoot_ray.study import ParameterSpec


@dataclass(frozen=True, slots=True)
class Split:
    """Today's flags: those that are searched as ``space`` with their values as defaults, the rest in ``args``."""

    space: Mapping[str, ParameterSpec]
    args: Mapping[str, Value]
    searched: Mapping[str, Value]


def usual_space(gpus: int) -> dict[str, ParameterSpec]:
    """What every vLLM since 0.4 can be tuned on, where there is none here to ask; defaults of the newest."""
    space = {
        "max_num_seqs": ParameterSpec(type="integer", low=8, high=2048, scale="log", default=256),
        "max_num_batched_tokens": ParameterSpec(type="integer", low=256, high=32768, scale="log", default=2048),
        "enable_prefix_caching": ParameterSpec(type="boolean", default=True),
        "enable_chunked_prefill": ParameterSpec(type="boolean", default=True),
    }
    if gpus > 1:
        tp = ParameterSpec(type="integer", low=1, high=gpus, scale="powers_of_two", default=1)
        return {"tensor_parallel_size": tp, **space}
    return space


def split(flags: Mapping[str, Value], space: Mapping[str, ParameterSpec]) -> Split:
    """Divide today's flags between the space, whose ranges are widened where they lie outside, and the arguments.

    A flag stays an argument, and out of the space, where its value is not of the parameter's kind.
    """
    merged = {name: _with_default(spec, flags[name]) if name in flags else spec for name, spec in space.items()}
    searched = {name: spec for name, spec in merged.items() if spec is not None}
    return Split(
        space=searched,
        args={name: value for name, value in flags.items() if name not in searched},
        searched={name: _default(spec) for name, spec in searched.items() if name in flags},
    )


def holding(rules: Sequence[str], parts: Split, gpus: int) -> tuple[str, ...]:
    """The rules whose names the drafted study knows, and which its default configuration keeps."""
    values = {**parts.args, **{name: _default(spec) for name, spec in parts.space.items()}, "gpus": gpus}
    return tuple(rule for rule in rules if (one := Constraint(rule)).names <= values.keys() and one.holds(values))


def gpus_needed(flags: Mapping[str, Value], parallel: Sequence[str]) -> int:
    """GPUs that the command itself asks for: the product of the ``parallel`` sizes."""
    needed = 1
    for name in parallel:
        size = flags.get(name, 1)
        needed *= size if isinstance(size, int) and not isinstance(size, bool) and size > 0 else 1
    return needed


def _with_default(spec: ParameterSpec, value: Value) -> ParameterSpec | None:
    """The same with this default, and a range that holds it; None where no such range does."""
    changes: dict[str, object] | None = None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    match spec.type:
        case "boolean" if (truth := _truth(value)) is not None:
            changes = {"default": truth}
        case "choice" if spec.values is not None and type(value) in {type(one) for one in spec.values}:
            changes = {"default": value, "values": _holding(spec.values, value)}
        case "integer" if isinstance(value, int) and number and (spec.scale == "linear" or value >= 1):
            between = spec.scale == "powers_of_two" and value & (value - 1)
            changes = {"default": value, **_ends(spec, value), **({"scale": "log"} if between else {})}
        case "float" if number:
            changes = {"default": float(value), **_ends(spec, float(value))}
    return None if changes is None else spec.model_copy(update=changes)


def _ends(spec: ParameterSpec, value: float) -> dict[str, float]:
    assert spec.low is not None  # numbers have both ends
    assert spec.high is not None
    return {"low": min(spec.low, value), "high": max(spec.high, value)}


def _holding(values: tuple[Value, ...], value: Value) -> tuple[Value, ...]:
    """The choice with this value in it, numbers in their order."""
    if value in values:
        return values
    longer = (*values, value)
    return longer if any(isinstance(one, str | bool) for one in longer) else tuple(sorted(longer, key=float))


def _truth(value: Value) -> bool | None:
    """A boolean, also as older versions spell it: ``--enable-chunked-prefill False``."""
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).lower())


def _default(spec: ParameterSpec) -> Value:
    assert spec.default is not None  # it has just been given
    return spec.default
