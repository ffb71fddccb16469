"""A drafted study as YAML with comments for the one who goes on with it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from scoot_ray.engine.flags import quoted, to_flags
from scoot_ray.search import Value
from scoot_ray.study import ParameterSpec

_SIMPLE = ("type", "values", "low", "high", "scale", "default")


@dataclass(frozen=True, slots=True)
class Draft:
    """All that is written. ``refused`` flags are those the engine here does not have: as comments, with its version."""

    name: str
    model: str
    trace: str
    rate: float
    duration_s: float
    gpus: int
    objectives: str
    space: Mapping[str, ParameterSpec]
    space_note: str
    args: Mapping[str, Value] = field(default_factory=dict)
    baseline: Mapping[str, Value] = field(default_factory=dict)
    refused: Mapping[str, Value] = field(default_factory=dict)
    refused_note: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    taken: Mapping[str, str] = field(default_factory=dict)
    kind: str = "vllm"
    constraints: tuple[str, ...] = ()
    python: str | None = None
    python_note: str = ""
    notes: tuple[str, ...] = ()


def text_of(draft: Draft) -> str:
    """Return the study file."""
    return (
        "\n".join([*_head(draft), *_engine(draft), *_workload(draft), *_goal(draft), *_space(draft), *_rest()]) + "\n"
    )


def _head(draft: Draft) -> Iterator[str]:
    yield "# Drafted by scoot-ray init; every key is described in docs/study.md."
    yield "# Check it with: scoot-ray validate, then: scoot-ray tune"
    for note in draft.notes:
        yield f"# {note}"
    yield f"name: {_flow(draft.name)}"


def _engine(draft: Draft) -> Iterator[str]:
    yield "engine:"
    if draft.kind != "vllm":
        yield f"  kind: {draft.kind}"
    yield f"  model: {_flow(draft.model)}"
    if draft.python is not None:
        yield f"  python: {_flow(draft.python)}" + (f"  # {draft.python_note}" if draft.python_note else "")
    if draft.args or draft.refused:
        yield "  args:  # flags that stay as they are" if draft.args else "  args: {}"
        for name, value in draft.args.items():
            yield f"    {name}: {_flow(value)}"
        for name, value in draft.refused.items():
            yield f"    # {name}: {_flow(value)}  # {draft.refused_note}"
    if draft.env or draft.taken:
        yield "  env:"
        for name, text in draft.env.items():
            yield f"    {name}: {_flow(text)}"
        for name, variable in draft.taken.items():
            yield f"    {name}: {{from_env: {_flow(variable)}}}  # set it before tuning; it is never written down"
    yield f"resources: {{gpus: {draft.gpus}}}  # for one evaluation; the GPUs that one service has"


def _workload(draft: Draft) -> Iterator[str]:
    yield "workload:"
    yield f"  trace: {_flow(draft.trace)}"
    yield f"  arrivals: {{process: poisson, rate: {draft.rate:g}}}  # requests per second, as in the trace"
    yield f"  duration_s: {draft.duration_s:g}"


def _goal(draft: Draft) -> Iterator[str]:
    yield f"objectives: {_flow(draft.objectives)}  # interactive, tail_latency, throughput, or metrics of your own"
    yield '# slos: ["ttft:p95<500ms", "error_rate<1%"]'


def _space(draft: Draft) -> Iterator[str]:
    if draft.baseline:
        yield "# What runs today, among what is searched; it is measured, and the gain is reported against it."
        yield f"baseline: {_flow(quoted(to_flags(draft.baseline)))}"
    yield f"space:  # {draft.space_note}"
    for name, spec in draft.space.items():
        yield f"  {name}: {_flow(_plain(spec))}"
    if draft.constraints:
        yield f"constraints: {_flow(list(draft.constraints))}"


def _rest() -> Iterator[str]:
    yield "budget: {observations: 30}"


def _plain(spec: ParameterSpec) -> dict[str, object]:
    """The keys of a parameter that say something, in the order people read them."""
    said = spec.model_dump(exclude_none=True, mode="json")
    if spec.scale == "linear":
        said.pop("scale", None)
    return {key: said[key] for key in _SIMPLE if key in said}


def _flow(value: object) -> str:
    """A value as YAML within one line, whatever a text holds."""
    style = '"' if isinstance(value, str) and not value.isprintable() else None
    text = yaml.safe_dump(value, default_flow_style=True, default_style=style, sort_keys=False, width=10**6)
    return text.removesuffix("\n").removesuffix("\n...")
