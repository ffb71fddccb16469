"""What all sections of a study file have in common."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

Scalar = bool | int | float | str


class StudyError(ValueError):
    """The study cannot be used; the message is one line for its author."""


class Section(BaseModel):
    """What all sections have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def underscored(value: object) -> object:
    """Engine parameters may be written with - or _."""
    if isinstance(value, Mapping):
        return {str(key).lstrip("-").replace("-", "_"): entry for key, entry in value.items()}
    return value


def tupled(value: object) -> object:
    """YAML has lists; frozen studies have tuples."""
    return tuple(value) if isinstance(value, list) else value
