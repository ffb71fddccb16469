"""The section ``space``: a name, a name with changes, or a mapping of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from scoot_ray.study.base import Scalar, Section, tupled, underscored

SpaceName: TypeAlias = Literal["vllm", "vllm-0.4.2", "sglang", "tensorrt-llm"]


def _names(value: object) -> object:
    """A list of engine parameters."""
    return tuple(str(name).lstrip("-").replace("-", "_") for name in value) if isinstance(value, list) else value


class ParameterSpec(Section):
    """One parameter of the search space."""

    type: Literal["integer", "float", "choice", "boolean"]
    low: int | float | None = None
    high: int | float | None = None
    scale: Literal["linear", "log", "powers_of_two"] = "linear"
    values: tuple[Scalar, ...] | None = None
    default: Scalar | None = None

    @model_validator(mode="before")
    @classmethod
    def _sequence(cls, value: object) -> object:
        if isinstance(value, dict) and isinstance(value.get("values"), list):
            return {**value, "values": tuple(value["values"])}
        return value


class ParameterChange(Section):
    """What a study changes of a parameter that a named space has; the rest stays."""

    low: int | float | None = None
    high: int | float | None = None
    scale: Literal["linear", "log", "powers_of_two"] | None = None
    values: Annotated[tuple[Scalar, ...] | None, BeforeValidator(tupled)] = None
    default: Scalar | None = None


class SpaceFrom(Section):
    """A named space with a study's own changes. An added parameter without a word is as the engine describes it."""

    base: SpaceName
    add: Annotated[dict[str, ParameterSpec | None], BeforeValidator(underscored)] = Field(default_factory=dict)
    remove: Annotated[tuple[str, ...], BeforeValidator(_names)] = ()
    override: Annotated[dict[str, ParameterChange], BeforeValidator(underscored)] = Field(default_factory=dict)


def _space_form(value: object) -> str:
    """Which of its three forms ``space:`` has."""
    if isinstance(value, str):
        return "name"
    return "from" if isinstance(value, SpaceFrom) or (isinstance(value, Mapping) and "base" in value) else "mapping"


SpaceSection: TypeAlias = Annotated[
    Annotated[SpaceName, Tag("name")]
    | Annotated[SpaceFrom, Tag("from")]
    | Annotated[dict[str, ParameterSpec], BeforeValidator(underscored), Tag("mapping")],
    Discriminator(_space_form),
]
