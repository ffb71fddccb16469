"""Which fields of a request's body a row may set: a closed list, for the rest is ours or the engine's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from scoot_ray.load.formats import fields
from scoot_ray.load.formats.records import Row
from scoot_ray.load.formats.source import Place


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return _is_integer(value) or (isinstance(value, float) and abs(value) < float("inf"))


def _is_stop(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(item, str) for item in value))


_Check = tuple[Callable[[Any], bool], str]
_NUMBER: _Check = (_is_number, "a finite number")
_INTEGER: _Check = (_is_integer, "an integer")
SAMPLING_FIELDS: Mapping[str, _Check] = {
    "temperature": _NUMBER,
    "top_p": _NUMBER,
    "top_k": _INTEGER,
    "min_p": _NUMBER,
    "presence_penalty": _NUMBER,
    "frequency_penalty": _NUMBER,
    "repetition_penalty": _NUMBER,
    "seed": _INTEGER,
    "stop": (_is_stop, "text or a list of texts"),
    "logprobs": (lambda value: isinstance(value, int), "an integer, or true or false"),
    "response_format": (lambda value: isinstance(value, dict), "an object"),
}


def sampling(value: object, place: Place) -> Row | None:
    """The ``sampling`` of a native row. Raises TraceError for a field that is not on the list."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise place.error("sampling", fields.shown(value), "an object")
    if any(name not in SAMPLING_FIELDS for name in value):
        raise place.error("sampling", "has an unknown field", ", ".join(SAMPLING_FIELDS))
    return _checked(value, place, "sampling.")


def sampling_of_body(body: Row, place: Place) -> Row | None:
    """The fields on the list that an OpenAI body sets; others are left out."""
    chosen = {name: body[name] for name in SAMPLING_FIELDS if body.get(name) is not None}
    return _checked(chosen, place, "body.") or None


def _checked(values: Row, place: Place, prefix: str) -> Row:
    for name, value in values.items():
        is_allowed, allowed = SAMPLING_FIELDS[name]
        if not is_allowed(value):
            raise place.error(f"{prefix}{name}", fields.shown(value), allowed)
    return values
