"""The section ``parallelism``: how many evaluations at once, and when."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BeforeValidator, PositiveInt, field_validator, model_validator

from scoot_ray.study.base import Section, tupled
from scoot_ray.windows import Window, parse_window

_IDLE, _ALWAYS = "idle", "always"


class Parallelism(Section):
    """From ``min`` to ``max`` evaluations at once; a plain number is both, always.

    ``when``: ``idle``, ``min`` and what else is idle; ``always``, all of ``max``; or windows, in which it is as with
    ``idle`` and out of which nothing starts.
    """

    min: PositiveInt = 1
    max: PositiveInt
    when: Annotated[str | tuple[str, ...], BeforeValidator(tupled)] = _IDLE

    @field_validator("when")
    @classmethod
    def _known(cls, when: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if when not in (_IDLE, _ALWAYS):
            texts = (when,) if isinstance(when, str) else when
            if not texts:
                raise ValueError("allowed are idle, always, and windows such as '22:00-07:00 Europe/Berlin'")
            for text in texts:
                parse_window(text)
        return when

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min: {self.min}; allowed: up to max, which is {self.max}")
        return self

    @property
    def asked(self) -> int:
        """How many evaluations resources are asked for, free or not."""
        return self.max if self.when == _ALWAYS else self.min

    @property
    def windows(self) -> tuple[Window, ...]:
        """When evaluations may start; none: at any time."""
        if self.when in (_IDLE, _ALWAYS):
            return ()
        return tuple(parse_window(text) for text in ((self.when,) if isinstance(self.when, str) else self.when))


def numbered(value: object) -> object:
    """A plain number means so many, always."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"min": value, "max": value, "when": _ALWAYS}
    return value
